"""Readers of the files that data sets are published in.

Each gives ((images, labels) of the training part, the same of the test part): uint8 (N, C, H, W), int64 (N,).
They read what lies there and write nothing; downloading is left to torchvision.
"""

from __future__ import annotations

import gzip
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Pair = tuple[Images, Labels]


def found(path: Path) -> Path | None:
    """``path``, or the gzipped file beside it, or None."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Bytes in LeCun's IDX format: 0, 0, type 8, rank, sizes as big-endian int32, values. Gzipped or not."""
    there = found(path)
    if there is None:
        raise FileNotFoundError(path)
    raw = gzip.decompress(there.read_bytes()) if there.suffix == ".gz" else there.read_bytes()
    rank = raw[3] if raw[:3] == b"\0\0\x08" else 0
    shape = tuple(np.frombuffer(raw, ">i4", count=rank, offset=4).tolist()) if rank else ()
    if not rank or len(raw) != 4 + 4 * rank + math.prod(shape):
        raise ValueError(f"{there} is not a whole IDX file of bytes")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_mnist(folder: Path) -> tuple[Pair, Pair]:
    """(train, test) of MNIST and the sets published in its format."""

    def part(prefix: str) -> Pair:
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte")
        return images[:, None].copy(), read_idx(folder / f"{prefix}-labels-idx1-ubyte").astype(np.int64)

    return part("train"), part("t10k")


def read_cifar10(folder: Path) -> tuple[Pair, Pair]:
    return _cifar(folder, [f"data_batch_{i}" for i in range(1, 6)], "labels"), _cifar(folder, ["test_batch"], "labels")


def read_cifar100(folder: Path) -> tuple[Pair, Pair]:
    return _cifar(folder, ["train"], "fine_labels"), _cifar(folder, ["test"], "fine_labels")


def _cifar(folder: Path, names: list[str], key: str) -> Pair:
    """Pickles of {"data": uint8 (N, 3072), key: [int]}."""
    parts: list[dict[str, Any]] = [pickle.loads((folder / name).read_bytes(), encoding="latin1") for name in names]
    images = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
    return images, np.concatenate([np.asarray(part[key], np.int64) for part in parts])


def read_svhn(folder: Path) -> tuple[Pair, Pair]:
    """MATLAB files of X (32, 32, 3, N) and y (N, 1), where the digit 0 has the label 10."""
    from scipy.io import loadmat  # comes with scikit-learn

    def part(name: str) -> Pair:
        content: dict[str, Any] = loadmat(folder / f"{name}_32x32.mat")
        images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
        return images, content["y"].astype(np.int64).reshape(-1) % 10

    return part("train"), part("test")


def read_stl10(folder: Path) -> tuple[Pair, Pair]:
    """Raw bytes (N, 3, 96, 96), columns before rows; labels from 1."""

    def part(name: str) -> Pair:
        images = np.fromfile(folder / f"{name}_X.bin", np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
        return np.ascontiguousarray(images), np.fromfile(folder / f"{name}_y.bin", np.uint8).astype(np.int64) - 1

    return part("train"), part("test")
