"""Digits, synthetic data and torchvision's sets: parts, sizes, statistics, digests, and what is refused."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.data.source import Arrays, Source, Spec, Splits
from runner.data.sources import Digits, Synthetic, TorchvisionSource
from runner.data.sources.in_memory import resize
from runner.data.statistics import channel_statistics

PARTS = ("train", "valid", "test")


def tensors(splits: Splits, part: str) -> tuple[Tensor, Tensor]:
    examples = getattr(splits, part)
    assert isinstance(examples, Arrays)
    images, labels = examples.tensors
    return images, labels


def test_specs_need_no_torch() -> None:
    code = (
        "import sys; from runner.data.sources import *; import runner.data.sources as s\n"
        "for source in (Digits(), Synthetic(), TorchvisionSource(name='mnist', root='nowhere'),"
        " ImageFolder(root='nowhere'), Sequences(), TextPairs(file='nowhere')): source.problems()\n"
        "Digits().spec, Sequences().spec; assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- digits


def test_digits_are_split_by_class_apart_and_the_same_each_time() -> None:
    splits = Digits(image_size=None).load()
    assert splits.notes == {"train_size": 1294, "valid_size": 144, "test_size": 359, "split_seed": 0}
    counts = [tensors(splits, part)[1].bincount() for part in PARTS]
    whole = torch.stack(counts).sum(0)
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for count, share in zip(counts, (0.72, 0.08, 0.2), strict=True):
        assert ((count - share * whole).abs() < 1.5).all()
    rows = torch.cat([tensors(splits, part)[0] for part in PARTS]).flatten(1)
    assert len(torch.unique(rows, dim=0)) == 1797  # no two digits are alike, so the parts are disjoint
    assert splits.digest == Digits(image_size=None).load().digest
    assert splits.digest != Digits(image_size=None, split_seed=1).load().digest


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    from runner.data.sources.digits import read_digits

    bunch: Any = load_digits()
    table = read_digits()
    assert (table[:, :64] == bunch.data).all()
    assert (table[:, 64] == bunch.target).all()


@pytest.mark.parametrize(("image_size", "expected"), [(None, (8, 8)), (32, (32, 32)), ([16, 24], (16, 24))])
def test_digits_come_in_the_size_that_is_asked_for(
    image_size: int | list[int] | None, expected: tuple[int, int]
) -> None:
    source = Digits(image_size=image_size)
    images, _ = tensors(source.load(), "train")
    assert source.problems() == []
    assert source.spec == Spec(channels=1, height=expected[0], width=expected[1], num_classes=10)
    assert images.shape[1:] == (1, *expected)
    assert images.dtype == torch.uint8
    assert images.max() > 250


def test_statistics_are_those_of_the_training_part() -> None:
    splits = Digits().load()
    images, _ = tensors(splits, "train")
    assert (list(splits.mean), list(splits.std)) == channel_statistics(images)
    assert list(splits.mean) != channel_statistics(tensors(splits, "test")[0])[0]


def test_resizing_keeps_the_native_pixels_and_the_mean() -> None:
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    assert resize(images, (8, 8)) is images
    assert resize(images, (32, 32)).float().mean() == pytest.approx(float(images.float().mean()), rel=0.05)


# --- synthetic


def test_synthetic_has_any_shape_and_its_classes_are_even() -> None:
    source = Synthetic(channels=2, height=5, width=9, num_classes=3, train_size=31, valid_size=7, test_size=8)
    splits = source.load()
    assert source.problems() == []
    assert [len(getattr(splits, part)) for part in PARTS] == [31, 7, 8]
    images, labels = tensors(splits, "train")
    assert (images.shape, images.dtype) == ((31, 2, 5, 9), torch.uint8)
    assert sorted(labels.bincount().tolist()) == [10, 10, 11]
    assert splits.digest == source.load().digest != replace(source, seed=1).load().digest


def test_synthetic_is_learnt_by_a_linear_model() -> None:
    splits = Synthetic(channels=1, height=8, width=8, num_classes=4, train_size=400, valid_size=100).load()
    images, labels = tensors(splits, "train")
    features = torch.cat([images.flatten(1).double() / 255, torch.ones(400, 1)], 1)
    weights = torch.linalg.lstsq(features, torch.eye(4, dtype=torch.float64)[labels]).solution
    images, labels = tensors(splits, "valid")
    scores = torch.cat([images.flatten(1).double() / 255, torch.ones(100, 1)], 1) @ weights
    assert (scores.argmax(1) == labels).double().mean() > 0.9


# --- settings


@pytest.mark.parametrize(
    ("source", "key", "text"),
    [
        (Digits(image_size=0), "image_size", "must be pixels or [height, width], got 0"),
        (Digits(image_size=[8, 8, 8]), "image_size", "got [8, 8, 8]"),
        (Digits(image_size="big"), "image_size", "got 'big'"),  # type: ignore[arg-type]
        (Digits(test_fraction=1.0), "test_fraction", "must lie between 0 and 1, got 1.0"),
        (Digits(valid_fraction=0), "valid_fraction", "must lie between 0 and 1, got 0"),
        (Digits(split_seed=-1), "split_seed", "must be a whole number, at least 0, got -1"),
        (Synthetic(channels=0), "channels", "at least 1, got 0"),
        (Synthetic(num_classes=1), "num_classes", "at least 2, got 1"),
        (Synthetic(train_size=2.5), "train_size", "got 2.5"),  # type: ignore[arg-type]
        (TorchvisionSource(name="minst"), "name", "must be one of mnist,"),
        (TorchvisionSource(name="mnist", mean=[0.1, 0.2], std=[0.3]), "mean", "or one for each of 1 channels"),
        (TorchvisionSource(name="mnist", mean=[0.1]), "std", "must be given when the other"),
        (TorchvisionSource(name="mnist", mean=[0.1], std=[0.0]), "std", "must be above 0"),
    ],
)
def test_a_wrong_setting_is_a_problem(source: Source, key: str, text: str) -> None:
    problem = next(problem for problem in source.problems() if problem.key == key)
    assert text in problem.text
    assert problem.remedy


def test_a_wrong_size_is_refused_by_the_spec() -> None:
    with pytest.raises(ValueError, match=r"dataset\.image_size must be pixels"):
        _ = Digits(image_size=-3).spec


# --- torchvision's sets, from files that are there


def write_idx(path: Path, array: NDArray[np.uint8], *, compress: bool) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.tobytes()
    path = path.with_name(path.name + ".gz") if compress else path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if compress else content)


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write_mnist(root: Path, *, compress: bool, folder: str = "MNIST") -> None:
    for part, count in (("train", 40), ("t10k", 20)):
        raw = root / folder / "raw"
        write_idx(raw / f"{part}-images-idx3-ubyte", pixels(count, 28, 28), compress=compress)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10, compress=compress)


def write_cifar(root: Path, *, hundred: bool) -> None:
    folder = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    folder.mkdir()
    names = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        content = {"data": pixels(20, 3072), "fine_labels" if hundred else "labels": [i % 2 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content))


def write_svhn(root: Path) -> None:
    from scipy.io import savemat

    for name in ("train", "test"):
        labels = np.arange(1, 21, dtype=np.uint8)[:, None] % 10 + 1
        savemat(root / f"{name}_32x32.mat", {"X": pixels(32, 32, 3, 20), "y": labels})


def write_stl10(root: Path) -> None:
    (root / "stl10_binary").mkdir()
    for name in ("train", "test"):
        pixels(20, 3, 96, 96).tofile(root / "stl10_binary" / f"{name}_X.bin")
        (np.arange(20, dtype=np.uint8) % 10 + 1).tofile(root / "stl10_binary" / f"{name}_y.bin")


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_read_compressed_or_not(tmp_path: Path, name: str, folder: str, compress: bool) -> None:
    write_mnist(tmp_path, compress=compress, folder=folder)
    before = sorted(tmp_path.rglob("*"))
    source = TorchvisionSource(name=name, root=str(tmp_path), download=False, valid_fraction=0.25)
    assert source.problems() == []
    splits = source.load()
    images, labels = tensors(splits, "test")
    assert torch.equal(images[:, 0], torch.from_numpy(pixels(20, 28, 28)))
    assert torch.equal(labels, torch.arange(20) % 10)
    assert tensors(splits, "valid")[1].bincount().tolist() == [1] * 10
    assert len(splits.train) == 30
    assert len(splits.class_names) == 10
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written


def test_cifar10_and_cifar100(tmp_path: Path) -> None:
    for hundred in (False, True):
        write_cifar(tmp_path, hundred=hundred)
        source = TorchvisionSource(name=f"cifar{100 if hundred else 10}", root=str(tmp_path), download=False)
        splits = source.load()
        images, labels = tensors(splits, "test")
        assert torch.equal(images, torch.from_numpy(pixels(20, 3072).reshape(20, 3, 32, 32)))
        assert labels.tolist() == [0, 1] * 10
        assert len(splits.train) == (18 if hundred else 90)
        assert source.spec.num_classes == (100 if hundred else 10)


def test_svhn(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    splits = TorchvisionSource(name="svhn", root=str(tmp_path), download=False).load()
    images, labels = tensors(splits, "test")
    given = pixels(32, 32, 3, 20)
    assert images[3, 2, 5, 7] == given[5, 7, 2, 3]
    assert labels.tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1] * 2  # 10 means 0


def test_stl10_and_smaller(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    splits = TorchvisionSource(name="stl10", root=str(tmp_path), download=False).load()
    images, labels = tensors(splits, "test")
    assert images[3, 2, 5, 7] == pixels(20, 3, 96, 96)[3, 2, 7, 5]  # columns before rows
    assert labels.tolist() == [*range(10), *range(10)]
    small = TorchvisionSource(name="stl10", root=str(tmp_path), download=False, image_size=32)
    assert tensors(small.load(), "train")[0].shape == (18, 3, 32, 32)
    assert small.spec.image_size == (32, 32)


def test_given_statistics_are_kept(tmp_path: Path) -> None:
    write_mnist(tmp_path, compress=True)
    splits = TorchvisionSource(name="mnist", root=str(tmp_path), mean=[0.1307], std=[0.3081]).load()
    assert (splits.mean, splits.std) == ((0.1307,), (0.3081,))


def test_absent_files_are_a_problem_unless_they_may_be_downloaded(tmp_path: Path) -> None:
    source = TorchvisionSource(name="mnist", root=str(tmp_path), download=False)
    (problem,) = source.problems()
    assert problem.key == "root"
    assert "train-images-idx3-ubyte" in problem.text
    assert "set dataset.download=true" in problem.remedy
    assert TorchvisionSource(name="mnist", root=str(tmp_path)).problems() == []
    with pytest.raises(
        ValueError, match=r"does not hold mnist; put train-images-idx3-ubyte.*set dataset\.download=true"
    ):
        source.load()


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "stl10"])
def test_offline_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there
    for exception in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(exception, raising=False)
    source = TorchvisionSource(name=name, root=str(tmp_path))
    with pytest.raises(ValueError, match="could not be downloaded") as caught:
        source.load()
    assert source.entry.files[0] in str(caught.value)
    assert str(source.folder) in str(caught.value)
    assert "set dataset.root to the folder that holds" in str(caught.value)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path, compress=False)
    broken = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"mnist in .* cannot be read .*t10k-images-idx3-ubyte is not a whole IDX file"
    ):
        TorchvisionSource(name="mnist", root=str(tmp_path)).load()


@pytest.mark.slow
def test_real_mnist() -> None:
    root = os.environ.get("RUNNER_TEST_DATA", "")
    if not (Path(root) / "MNIST").is_dir() or not root:
        pytest.skip("RUNNER_TEST_DATA does not name a folder that holds MNIST/raw")
    splits = TorchvisionSource(name="mnist", root=root, download=False).load()
    parts = {part: tensors(splits, part)[1] for part in PARTS}
    assert [len(labels) for labels in parts.values()] == [54000, 6000, 10000]
    official = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert torch.equal(parts["train"].bincount() + parts["valid"].bincount(), official)
    assert ((parts["valid"].bincount() - official / 10).abs() < 1).all()
    assert splits.mean == pytest.approx([0.1307], abs=5e-4)
    assert splits.std == pytest.approx([0.3081], abs=5e-4)
