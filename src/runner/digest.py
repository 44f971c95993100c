"""SHA-256 of tensors: equal digests are equal bits."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def of_tensor(tensor: Tensor) -> str:
    """Over dtype, shape and bytes, as 64 hexadecimal digits. Copies to the host what is elsewhere."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def of_named(digests: Mapping[str, str]) -> str:
    """One digest over names and the digests of what they name, in that order."""
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests.items()).encode()).hexdigest()


def of_tensors(tensors: Iterable[Tensor]) -> str:
    """One digest over tensors in their order: of a batch."""
    return of_named({str(place): of_tensor(tensor) for place, tensor in enumerate(tensors)})


def weights(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name; a shared one once."""
    return dict(itertools.chain(module.named_parameters(), module.named_buffers()))


def of_weights(module: nn.Module) -> str:
    """One digest over all weights and buffers."""
    return of_named({name: of_tensor(tensor) for name, tensor in weights(module).items()})


def of_metrics(metrics: Mapping[str, float]) -> str:
    """One digest over the exact values; their order does not matter."""
    return of_named({name: float(metrics[name]).hex() for name in sorted(metrics)})
