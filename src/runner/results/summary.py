"""A model as a table: what each layer gives out, holds and costs."""

from __future__ import annotations

import copy
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from runner.batch import Batch, map_tensors, size_of, tensors
from runner.tasks.task import Task

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Layer:
    """One row. FLOPs and parameters are the module's own, without its children's, so that columns add up."""

    name: str
    type: str
    shape: str = "-"  # of the last output; "-" for a module that was not called
    parameters: int = 0
    trainable: int = 0
    flops: int = 0
    leaf: bool = True

    @property
    def matters(self) -> bool:
        return self.leaf or self.parameters > 0 or self.flops > 0


SAMPLES = 2  # of the example: enough for shapes


def layer_table(module: nn.Module, example_inputs: Batch, *, samples: int | None = None) -> str:
    """Name, type, output shape, parameters and FLOPs of each layer, and the totals, as text.

    ``example_inputs`` is the input or the tuple of inputs; for a task it is a batch, and what runs is all its losses;
    the first ``samples`` of it are used. FLOPs are those of that forward pass in eval mode, two for a multiply-add, of
    convolutions, matrix products and attention (``torch.utils.flop_counter``). Shared parameters count once.
    Neither the module nor the random state is touched: a copy runs, where the module is. (The meta device would need
    no copy of the weights, but its operations import torch's compiler.) Where it cannot, the table says why and has
    parameters only.
    """
    layers = _parameters_of(module)
    try:
        with _random_state_kept(module):
            inputs = map_tensors(lambda tensor: tensor[:samples] if tensor.ndim else tensor, example_inputs)
            _measure(copy.deepcopy(module).eval(), inputs, layers)
        flops = sum(layer.flops for layer in layers.values())
        count = size_of(inputs)
        note = f"FLOPs: {flops // count:,} a sample, one forward pass; the table has a batch of {count}."
    except Exception as error:  # whatever a model does that needs values: the run itself can go on
        layers = _parameters_of(module)
        note = f"No shapes and FLOPs: they need more than shapes of inputs. {type(error).__name__}: {error}"
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
    return f"{_text(list(layers.values()))}\nParameters take {size / 2**20:.2f} MiB.\n{note}\n"


def _parameters_of(module: nn.Module) -> dict[str, Layer]:
    seen: set[int] = set()
    layers = {}
    for name, child in module.named_modules():
        layer = Layer(name or "(itself)", type(child).__name__, leaf=next(child.children(), None) is None)
        for parameter in child.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                layer.parameters += parameter.numel()
                layer.trainable += parameter.numel() if parameter.requires_grad else 0
        layers[name] = layer
    return layers


def _measure(module: nn.Module, inputs: Batch, layers: dict[str, Layer]) -> None:
    """Run ``module`` once and fill in shapes and FLOPs."""
    counter = _flop_counter()
    open_calls: list[list[int]] = []  # for each module being called: FLOPs before it, FLOPs of its children

    def hook(layer: Layer, child: nn.Module) -> None:
        def before(_module: nn.Module, _inputs: Any) -> None:
            open_calls.append([counter.get_total_flops(), 0])

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            start, of_children = open_calls.pop()
            total = counter.get_total_flops() - start
            layer.flops += total - of_children
            layer.shape = ", ".join(str(tuple(tensor.shape)) for tensor in tensors(output)) or "-"
            if open_calls:
                open_calls[-1][1] += total

        child.register_forward_pre_hook(before)
        child.register_forward_hook(after)

    for name, child in module.named_modules():
        hook(layers[name], child)
    with _attention_in_parts(), torch.no_grad(), _unguarded(counter):
        if isinstance(module, Task):
            for _ in module.losses(inputs):
                pass
        else:
            module(*inputs) if isinstance(inputs, (tuple, list)) else module(inputs)


def _flop_counter() -> FlopCounterMode:
    """Torch's, which imports triton for kernels written in it, a fifth of a second: no layer of a module is one."""
    first = "triton" not in sys.modules
    log = logging.getLogger("torch.utils.flop_counter")  # it would warn of its absence
    if first:
        log.disabled, sys.modules["triton"] = True, None  # type: ignore[assignment]
    try:
        from torch.utils.flop_counter import FlopCounterMode
    finally:
        if first:
            log.disabled = False
            del sys.modules["triton"]
    return FlopCounterMode(display=False)


@contextmanager
def _unguarded(counter: FlopCounterMode) -> Iterator[None]:
    """Counts, without the guard for ``torch.compile`` that would import torch's compiler, a second of a run's start."""
    with counter:
        mode: Any = type(counter.mode)
        guarded = mode.__torch_dispatch__
        mode.__torch_dispatch__ = inspect.unwrap(guarded)
        try:
            yield
        finally:
            mode.__torch_dispatch__ = guarded


@contextmanager
def _random_state_kept(module: nn.Module) -> Iterator[None]:
    devices = {tensor.device for tensor in module.parameters() if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Without the fused paths of attention, whose FLOPs not every device's counter knows."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _text(layers: list[Layer]) -> str:
    rows = [
        (layer.name, layer.type, layer.shape, f"{layer.parameters:,}", f"{layer.flops:,}")
        for layer in layers
        if layer.matters
    ]
    total, trainable = sum(layer.parameters for layer in layers), sum(layer.trainable for layer in layers)
    header = ("layer", "type", "output shape", "parameters", "FLOPs")
    footer = ("total", "", "", f"{total:,}", f"{sum(layer.flops for layer in layers):,}")
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, footer, strict=True)]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)

    def line(cells: Sequence[str]) -> str:
        texts = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
        counts = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
        return "  ".join([*texts, *counts])

    table = [line(header), rule, *map(line, rows), rule, line(footer)]
    return "\n".join([*table, f"Trainable: {trainable:,}. Frozen: {total - trainable:,}."])
