"""The well-known small data sets, downloaded by torchvision on first use."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data.source import Problem, Spec, Splits
from runner.data.sources.catalogue import CATALOGUE, Entry
from runner.data.sources.settings import (
    ImageSize,
    Statistics,
    class_problems,
    fraction_problems,
    image_size_problems,
    number_problems,
    size_or,
    statistics_problems,
)

if TYPE_CHECKING:
    from runner.data.sources.formats import Pair


@dataclass(frozen=True, kw_only=True)
class TorchvisionSource:
    """mnist, fashion_mnist, kmnist, cifar10, cifar100, svhn (without "extra") or stl10, below ``root``.

    The official test part is the test part; ``valid_fraction`` of the official training part is held out by
    class. Files that are there are read as they are, also MNIST's when still compressed; nothing is written
    unless something has to be downloaded.
    """

    name: str
    root: str = "data"
    download: bool = True
    valid_fraction: float = 0.1
    split_seed: int = 0
    image_size: ImageSize = None  # None: as published
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None
    novel_classes: Sequence[int] = ()  # in the test part only
    labelled_fraction: float | None = None  # None: all of the training part

    @property
    def entry(self) -> Entry:
        if self.name not in CATALOGUE:
            raise ValueError(f"dataset.name must be one of {', '.join(CATALOGUE)}, got {self.name!r}")
        return CATALOGUE[self.name]

    @property
    def folder(self) -> Path:
        return Path(self.root).expanduser() / self.entry.folder

    @property
    def spec(self) -> Spec:
        native = self.entry.spec
        height, width = size_or(self.image_size, native.image_size)
        return Spec(channels=native.channels, height=height, width=width, num_classes=native.num_classes)

    def problems(self) -> list[Problem]:
        if self.name not in CATALOGUE:
            text = f"must be one of {', '.join(CATALOGUE)}, got {self.name!r}"
            return [Problem("name", self.name, text, "set dataset.name=mnist")]
        found = [
            *image_size_problems(self.image_size),
            *fraction_problems(valid_fraction=self.valid_fraction),
            *number_problems(0, split_seed=self.split_seed),
            *statistics_problems(self.mean, self.std, channels=self.entry.spec.channels),
            *class_problems(self.novel_classes, num_classes=self.entry.spec.num_classes),
            *([] if self.labelled_fraction is None else fraction_problems(labelled_fraction=self.labelled_fraction)),
        ]
        missing = self.missing()
        if missing and not self.download:
            text = f"does not hold {self.name}: {', '.join(missing)} not found in {self.folder}"
            found.append(Problem("root", self.root, text, f"{self._remedy(missing)}, or set dataset.download=true"))
        return found

    def missing(self) -> list[str]:
        """The files that are not in the folder, neither plain nor gzipped."""
        idx = self.entry.reader == "read_mnist"
        return [
            name
            for name in self.entry.files
            if not (self.folder / name).is_file() and not (idx and (self.folder / f"{name}.gz").is_file())
        ]

    def _remedy(self, missing: list[str]) -> str:
        what = "them" if self.entry.folder == "." else self.entry.folder
        files = ", ".join(missing)
        return f"put {files} into {self.folder}, or set dataset.root to the folder that holds {what}"

    def load(self) -> Splits:
        """Raises ``ValueError`` when files are absent and cannot be downloaded, or cannot be read."""
        import torch

        from runner.data.sources.in_memory import Labelled, splits_of

        if self.missing():
            self._download()
        (images, labels), (test_images, test_labels) = self._read()
        everything = Labelled(torch.from_numpy(images), torch.from_numpy(labels))
        train, valid = everything.hold_out(self.valid_fraction, seed=self.split_seed, purpose="valid")
        return splits_of(
            train,
            valid,
            Labelled(torch.from_numpy(test_images), torch.from_numpy(test_labels)),
            spec=self.spec,
            mean=self.mean,
            std=self.std,
            class_names=self.entry.class_names,
            notes={"split_seed": self.split_seed},
            novel_classes=self.novel_classes,
            labelled_fraction=self.labelled_fraction,
            split_seed=self.split_seed,
        )

    def _read(self) -> tuple[Pair, Pair]:
        from runner.data.sources import formats

        try:
            parts: tuple[Pair, Pair] = getattr(formats, self.entry.reader)(self.folder)
        except Exception as error:  # a damaged file makes numpy, gzip, pickle and scipy raise what they like
            raise ValueError(
                f"dataset.root={self.root}: the files of {self.name} in {self.folder} cannot be read "
                f"({type(error).__name__}: {error}); delete them and put whole ones there"
            ) from error
        return parts

    def _download(self) -> None:
        missing = self.missing()
        if not self.download:
            raise ValueError(
                f"dataset.root={self.root} does not hold {self.name}; {self._remedy(missing)}, "
                "or set dataset.download=true"
            )
        try:
            with _one_at_a_time(Path(self.root).expanduser()):
                if self.missing():  # another job may have fetched them meanwhile
                    self._fetch()
        except Exception as error:  # no network, no such host, no space, a folder that cannot be written, a bad digest
            raise ValueError(
                f"dataset.root={self.root} does not hold {self.name} and it could not be downloaded "
                f"({type(error).__name__}: {' '.join(str(error).split())}); {self._remedy(missing)}"
            ) from error

    def _fetch(self) -> None:
        import torchvision.datasets

        dataset: Any = getattr(torchvision.datasets, self.entry.torchvision_name)
        for arguments in self.entry.download:
            dataset(str(Path(self.root).expanduser()), download=True, **arguments)


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Jobs of one sweep must not download into the same folder at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"runner-download-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
