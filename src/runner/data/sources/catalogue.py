"""What is known of each data set that torchvision can download. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from runner.data.source import Spec

IDX = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Entry:
    """Where a data set lies below ``root``, what it consists of, and what reads it."""

    torchvision_name: str
    folder: str
    files: tuple[str, ...]
    reader: str  # a function in formats.py
    spec: Spec
    class_names: tuple[str, ...] = ()
    download: tuple[dict[str, object], ...] = ({"train": True},)  # the arguments of each call that downloads


def _idx(name: str, class_names: tuple[str, ...]) -> Entry:
    spec = Spec(channels=1, height=28, width=28, num_classes=10)
    return Entry(name, f"{name}/raw", IDX, "read_mnist", spec, class_names)


def _colour(size: int, num_classes: int) -> Spec:
    return Spec(channels=3, height=size, width=size, num_classes=num_classes)


CATALOGUE = {
    "mnist": _idx("MNIST", DIGITS),
    "fashion_mnist": _idx(
        "FashionMNIST",
        (
            "t-shirt",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    ),
    "kmnist": _idx("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    "cifar10": Entry(
        "CIFAR10",
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
        "read_cifar10",
        _colour(32, 10),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "cifar100": Entry("CIFAR100", "cifar-100-python", ("train", "test"), "read_cifar100", _colour(32, 100)),
    "svhn": Entry(
        "SVHN",
        ".",
        ("train_32x32.mat", "test_32x32.mat"),
        "read_svhn",
        _colour(32, 10),
        DIGITS,
        ({"split": "train"}, {"split": "test"}),
    ),
    "stl10": Entry(
        "STL10",
        "stl10_binary",
        ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"),
        "read_stl10",
        _colour(96, 10),
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        ({"split": "train"},),
    ),
}
