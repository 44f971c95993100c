"""From whole arrays to ``Splits``: resized once, validation held out, statistics, digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.data.source import Arrays, Spec, Splits
from runner.data.sources.settings import Statistics
from runner.data.splits import hold_out
from runner.data.statistics import channel_statistics, given_or

UNLABELLED = -100  # which cross-entropy leaves out


@dataclass(frozen=True)
class Labelled:
    """images: uint8 (N, C, H, W); labels: int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, index: Tensor) -> Labelled:
        """``index``: int64 (n,), or a mask (N,). Selecting is several times as fast as indexing bytes."""
        places = index.nonzero()[:, 0] if index.dtype == torch.bool else index
        return Labelled(self.images.index_select(0, places), self.labels[places])

    def resized(self, size: tuple[int, int]) -> Labelled:
        return Labelled(resize(self.images, size), self.labels)

    def without(self, classes: Sequence[int]) -> Labelled:
        return self[~torch.isin(self.labels, torch.tensor(list(classes), dtype=torch.int64))]

    def partly_labelled(self, fraction: float, *, seed: int) -> Labelled:
        """The same images, of which ``fraction`` of each class keep their label; the others have ``UNLABELLED``."""
        unlabelled, _ = hold_out(self.labels, fraction, seed=seed, purpose="labelled")
        labels = self.labels.clone()
        labels[unlabelled] = UNLABELLED
        return Labelled(self.images, labels)

    def hold_out(self, fraction: float, *, seed: int, purpose: str) -> tuple[Labelled, Labelled]:
        """(kept, held out), stratified."""
        kept, held = hold_out(self.labels, fraction, seed=seed, purpose=purpose)
        return self[kept], self[held]


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing, rounded back to uint8. images: uint8 (N, C, H, W)."""
    if tuple(images.shape[2:]) == size:
        return images
    chunks = torch.split(images, 1024)  # a float copy of everything would take four times its memory
    resized = [F.interpolate(c.float(), size, mode="bilinear", antialias=True).round_().byte() for c in chunks]
    return torch.cat(resized)


def digest(tensors: list[Tensor]) -> str:
    """SHA-256 over type, shape and bytes of each tensor in turn."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()


def splits_of(
    train: Labelled,
    valid: Labelled,
    test: Labelled,
    *,
    spec: Spec,
    mean: Statistics = None,
    std: Statistics = None,
    class_names: tuple[str, ...] = (),
    notes: dict[str, object] | None = None,
    novel_classes: Sequence[int] = (),
    labelled_fraction: float | None = None,
    split_seed: int = 0,
) -> Splits:
    """Parts of the spec's size as ``Splits``; mean and std that are not given come from ``train`` alone.

    ``novel_classes`` are taken out of ``train`` and ``valid``. With ``labelled_fraction`` so much of each class of
    ``train`` keeps its labels, chosen by ``split_seed``. The digest is over all three parts, as resized.
    """
    if novel_classes:
        train, valid = train.without(novel_classes), valid.without(novel_classes)
    if labelled_fraction is not None:
        train = train.partly_labelled(labelled_fraction, seed=split_seed)
    parts = [part.resized(spec.image_size) for part in (train, valid, test)]
    mean, std = given_or(mean, std, lambda: channel_statistics(parts[0].images))
    sizes = {f"{name}_size": len(part.labels) for name, part in zip(("train", "valid", "test"), parts, strict=True)}
    arrays = [Arrays(part.images, part.labels) for part in parts]
    return Splits(
        train=arrays[0],
        valid=arrays[1],
        test=arrays[2],
        spec=spec,
        mean=mean,
        std=std,
        class_names=class_names,
        digest=digest([tensor for array in arrays for tensor in array.tensors]),
        notes={**sizes, **(notes or {})},
        novel_classes=tuple(novel_classes),
    )
