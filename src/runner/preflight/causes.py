"""What an error says that came while the parts of a configuration were tried: of them, or only of the place.

| raised | on meta tensors | on the CPU |
| --- | --- | --- |
| for want of content (``NotImplementedError``, "meta", "fake impl") | tried on the CPU | wrong |
| for want of a GPU | tried on the CPU | wrong if the run is on this CPU, else not checked |
| for want of memory, or more weights than ``CPU_LIMIT_BYTES`` | wrong | not checked |
| by a training step, but not for every content | | not checked |
| anything else: shapes, types, names | wrong | wrong |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

T = TypeVar("T")
B = TypeVar("B")

CPU_LIMIT_BYTES = 2**31  # of weights: beyond, initialising them alone takes longer than a check may
CONTENT = re.compile(r"\bmeta\b|\bfake impl|data-dependent", re.IGNORECASE)
GPU = re.compile(r"\bCUDA|\bGPUs?\b|\bNVIDIA\b|\bROCm\b|\bTriton\b|from the 'CPU' backend", re.IGNORECASE)
MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)
OF_BACKENDS = (RuntimeError, AssertionError, ValueError)  # which torch and extensions raise for a missing device


class TooLarge(Exception):
    """More weights than are tried on the CPU."""


class DependsOnContent(Exception):
    """A step fails for some samples and not for others."""


def lacks_content(error: Exception) -> bool:
    """Whether the meta device may be to blame, so that the CPU has to tell."""
    return isinstance(error, NotImplementedError) or bool(CONTENT.search(str(error))) or lacks_gpu(error)


def lacks_gpu(error: Exception) -> bool:
    return isinstance(error, OF_BACKENDS) and bool(GPU.search(str(error)))


def obstacle(error: Exception, *, runs_on_cpu: bool) -> str:
    """Why something cannot be tried on the CPU; empty where its error is the configuration's own."""
    if isinstance(error, TooLarge | DependsOnContent):
        return str(error)
    if isinstance(error, MemoryError) or MEMORY.search(str(error)):
        return f"there is not the memory to try it on the CPU ({_short(error)})"
    if lacks_gpu(error) and not runs_on_cpu:
        return f"it cannot be tried without a GPU ({_short(error)})"
    return ""


def for_any(work: Callable[[B], T], batches: Iterable[B]) -> T:
    """What ``work`` makes of the first batch.

    Raises what it raised for the first, if it fails for all; ``DependsOnContent`` if it does not.
    """
    first: Exception | None = None
    for batch in batches:
        try:
            made = work(batch)
        except Exception as error:
            first = first or error
            continue
        if first is not None:
            raise DependsOnContent(f"whether it works depends on the samples ({_short(first)})") from first
        return made
    assert first is not None, "there are batches"
    raise first


@contextmanager
def limited(limit_bytes: int | None = None) -> Iterator[None]:
    """Inside, modules with more weights than ``limit_bytes`` raise ``TooLarge`` before their memory is touched."""
    limit_bytes = CPU_LIMIT_BYTES if limit_bytes is None else min(limit_bytes, CPU_LIMIT_BYTES)
    seen = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal seen
        seen += 0 if parameter is None else parameter.nbytes
        if seen > limit_bytes:
            raise TooLarge(f"it has more than {limit_bytes / 2**30:.3g} GiB of weights, too many to try on the CPU")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _short(error: Exception) -> str:
    """Type and first sentence."""
    text = re.split(r"[.;]\s|\n", str(error), maxsplit=1)[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
