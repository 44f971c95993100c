"""Mean and standard deviation of pixels, exact: from counts of the 256 values, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import torch
from torch import Tensor

from runner.data.source import Examples

Given = Sequence[float] | None


def value_counts(images: Tensor) -> Tensor:
    """How often each value occurs in each channel. images: uint8 (N, C, H, W); result: int64 (C, 256)."""
    return torch.stack([torch.bincount(images[:, c].reshape(-1), minlength=256) for c in range(images.shape[1])])


def moments(counts: Tensor) -> tuple[list[float], list[float]]:
    """(mean, std) per channel of pixels scaled to [0, 1], from counts. A constant channel gets std 1."""
    values = torch.arange(256, dtype=torch.float64) / 255
    weights = counts.double() / counts.sum(1, keepdim=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(1)
    return mean.tolist(), torch.where(variance > 0, variance.sqrt(), 1.0).tolist()


def channel_statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """(mean, std) per channel of uint8 images (N, C, H, W), scaled to [0, 1]."""
    return moments(sum_of(value_counts(chunk) for chunk in torch.split(images, 4096)))


def example_statistics(examples: Examples, pool: Executor) -> tuple[list[float], list[float]]:
    """The same for examples that are read one by one; ``pool`` reads them."""
    return moments(sum_of(pool.map(lambda i: value_counts(examples[i][0][None]), range(len(examples)))))


def statistics_by_threads(examples: Examples) -> tuple[list[float], list[float]]:
    """``example_statistics`` of files, which PIL decodes without holding Python's lock."""
    with ThreadPoolExecutor() as pool:
        return example_statistics(examples, pool)


def given_or(
    mean: Given, std: Given, measure: Callable[[], tuple[Sequence[float], Sequence[float]]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """``mean`` and ``std``, or where one of them is None what ``measure`` finds."""
    if mean is None or std is None:
        mean, std = measure()
    return tuple(mean), tuple(std)


def sum_of(counts: Iterable[Tensor]) -> Tensor:
    total = torch.zeros(1, 1, dtype=torch.int64)
    for part in counts:
        total = total + part
    return total
