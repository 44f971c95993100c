"""Which of torch's implementations of an optimizer runs: its fused kernels where the device has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # with kernels for DEVICES and all their options
DEVICES = ("cpu", "cuda")
CHOICES = ("fused", "foreach")


def fused_where_possible(factory: Callable[..., Optimizer], module: nn.Module) -> dict[str, bool]:
    """``{"fused": True}`` for ``factory`` where that is possible and neither choice was made; else nothing.

    torch itself would take "foreach" on a GPU, and one operation after the other on the CPU, where the fused kernel of
    Adam takes a quarter of the time.
    """
    if not isinstance(factory, functools.partial) or factory.func not in FUSED:
        return {}
    if factory.keywords.get("differentiable") or any(factory.keywords.get(choice) is not None for choice in CHOICES):
        return {}
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    sparse = any(getattr(child, "sparse", False) for child in module.modules())  # embeddings with sparse gradients
    possible = not sparse and all(p.device.type in DEVICES and p.is_floating_point() for p in trained)
    return {"fused": True} if possible else {}


def keep_own_kernels(optimizer: Optimizer) -> Optimizer:
    """``optimizer``, whose choice no state that it loads replaces: the state may come from another device."""

    def own(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        groups = [
            theirs | {choice: ours[choice] for choice in CHOICES if choice in ours}
            for ours, theirs in zip(optimizer.param_groups, state["param_groups"], strict=False)  # torch compares them
        ]
        return {**state, "param_groups": groups + state["param_groups"][len(groups) :]}

    optimizer.register_load_state_dict_pre_hook(own)
    return optimizer
