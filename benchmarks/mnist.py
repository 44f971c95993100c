"""MNIST's files, unpacked, where both torchvision and the runner find them."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np

SIZES = {"train": 60_000, "t10k": 10_000}
SYNTHETIC = "random images of MNIST's sizes"


def unpacked(root: Path | None, into: Path, *, train_size: int | None = None) -> tuple[Path, str]:
    """``into`` with ``MNIST/raw`` in it, and what is there: real images if ``root`` has them, otherwise random ones.

    With ``train_size`` the images are random and fewer, a sixth of that number to test on.
    """
    folder = into / "MNIST" / "raw"
    folder.mkdir(parents=True)
    if train_size is None and root is not None and (root / "MNIST" / "raw").is_dir():
        for file in sorted((root / "MNIST" / "raw").glob("*-ubyte*")):
            _copy(file, folder / file.name.removesuffix(".gz"))
        return into, "MNIST"
    sizes = SIZES if train_size is None else {"train": train_size, "t10k": max(train_size // 6, 1)}
    _write_random(folder, sizes)
    return into, SYNTHETIC


def _copy(file: Path, to: Path) -> None:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as source, to.open("wb") as target:
        shutil.copyfileobj(source, target)


def _write_random(folder: Path, sizes: dict[str, int]) -> None:
    draws = np.random.default_rng(0)
    for prefix, size in sizes.items():
        images = draws.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = draws.integers(0, 10, size, dtype=np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(_idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(_idx(labels))


def _idx(values: np.ndarray) -> bytes:
    """LeCun's IDX format, of bytes."""
    return struct.pack(f">HBB{values.ndim}i", 0, 8, values.ndim, *values.shape) + values.tobytes()
