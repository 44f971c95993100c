"""Process-wide settings of torch that a run needs, and that its end takes back."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
CPUINFO = Path("/proc/cpuinfo")
MALLOC = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")  # a user's own settings of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT_BYTES = 2**30


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` means here.

    Raises ``ValueError`` for a name that is none of these and for a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"must be auto, cpu, cuda, cuda:<n> or mps, got {name!r}") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ValueError(f"this machine has {count} CUDA devices that torch can use")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError("torch finds no MPS device on this machine")
    elif device.type != "cpu":
        raise ValueError(f"must be auto, cpu, cuda, cuda:<n> or mps, got {name!r}")
    return device


@contextmanager
def numerics(
    device: torch.device, *, threads: int | None = None, tf32: bool = True, deterministic: bool | None = None
) -> Iterator[None]:
    """Run with these settings; afterwards those from before hold again, so that one job leaves no trace in the next.

    ``threads`` and ``deterministic`` that are None stay as they are. Only ``keep_freed_memory`` is not taken back.
    """
    before_threads = torch.get_num_threads()
    before_deterministic = torch.are_deterministic_algorithms_enabled()
    before_matmul = torch.get_float32_matmul_precision()
    before_cublas = os.environ.get(CUBLAS)
    before_cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        keep_freed_memory()
    if deterministic:
        os.environ.setdefault(CUBLAS, ":4096:8")  # read when CUDA's libraries start
    if deterministic is None:
        deterministic = before_deterministic
    if deterministic != before_deterministic:  # the call imports torch's compiler, a second and a half
        torch.use_deterministic_algorithms(deterministic)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = not deterministic
    try:
        yield
    finally:
        if before_cublas is None:  # the next job would record it as a switch of its own
            os.environ.pop(CUBLAS, None)
        if deterministic != before_deterministic:
            torch.use_deterministic_algorithms(before_deterministic)
        if device.type == "cuda":
            torch.set_float32_matmul_precision(before_matmul)
            torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before_cudnn
        if threads is not None:
            torch.set_num_threads(before_threads)


def keep_freed_memory() -> bool:
    """Let glibc keep what a step frees for the next one; whether it could be told so.

    It gives large blocks back to the system otherwise, which zeroes their pages again at the next step: 5 to 10 % of
    the time of a convolutional network (``benchmarks/allocator.py``). Settings of the user's own are left.
    """
    if sys.platform != "linux" or any(name in os.environ for name in MALLOC):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and all(mallopt(which, KEPT_BYTES) for which in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))


def has_amx(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (Intel's AMX), as far as the system tells: Linux."""
    if not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    return "amx_bf16" in flags.split()
