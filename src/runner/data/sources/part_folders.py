"""Folders of images below one root, a folder for each part of the data: what is where, and what is held out."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from runner.data.sources.image_folder import PARTS, images_in

T = TypeVar("T")


def images_of(root: str, pattern: str, part: str) -> dict[str, Path]:
    """The images of a part by their names below its folder, without suffix; none where it has no folder.

    In ``pattern``, "{part}" stands for train, valid (or val) and test. Without it everything is of the training part.
    """
    folder = _folder(Path(root).expanduser(), pattern, part)
    if folder is None or not folder.is_dir():
        return {}
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in images_in(folder)}


def _folder(root: Path, pattern: str, part: str) -> Path | None:
    if "{part}" not in pattern:
        return root / pattern if part == "train" else None
    folders = (root / pattern.replace("{part}", name) for name in PARTS[part])
    return next((folder for folder in folders if folder.is_dir()), None)


def held_out(items: list[T], fraction: float, *, part: str, seed: int) -> tuple[list[T], list[T]]:
    """(kept, held out as ``part``), both in the order of ``items``."""
    import torch

    from runner.data.splits import hold_out

    labels = torch.zeros(len(items), dtype=torch.int64)
    kept, held = hold_out(labels, fraction, seed=seed, purpose=part)
    return [items[i] for i in kept.tolist()], [items[i] for i in held.tolist()]
