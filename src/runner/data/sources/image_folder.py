"""Images in class folders, of any sizes and formats."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.source import Problem, Spec, Splits
from runner.data.sources.settings import (
    Statistics,
    colour_problems,
    fraction_problems,
    image_size_problems,
    number_problems,
    size_or,
)

if TYPE_CHECKING:
    from runner.data.sources.image_files import ImageFiles

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
PARTS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
SHOWN = 20  # defects that are listed one by one

Labelled = list[tuple[Path, int]]


def subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def images_in(folder: Path) -> list[Path]:
    """All image files below ``folder``, by name, in an order that depends on their names only."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """``root`` holds class folders, or ``train``, ``valid`` (or ``val``) and ``test`` that hold them.

    A part that has no folder is held out of the training part by class: first ``test_fraction`` of it, then
    ``valid_fraction`` of the rest. Images are resized to ``image_size`` and converted to ``channels``
    (1: grey, 3: colour) when they are read. ``root`` has parts when ``train`` is there and holds folders.
    """

    root: str
    image_size: int | Sequence[int] = 64
    channels: int = 3
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    mean: Statistics = None  # None: computed from the training part, which reads all of it once
    std: Statistics = None
    verify: bool = True  # open every image before work starts

    @property
    def folder(self) -> Path:
        return Path(self.root).expanduser()

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the training part's class folders, sorted; a class's number is its place."""
        return tuple(folder.name for folder in subfolders(self.part_folder("train") or self.folder))

    def part_folder(self, part: str) -> Path | None:
        """Where ``part`` lies, None when it has to be held out. Without parts, "train" is None too."""
        if not (self.folder / "train").is_dir() or not subfolders(self.folder / "train"):
            return None
        return next((self.folder / name for name in PARTS[part] if (self.folder / name).is_dir()), None)

    @property
    def spec(self) -> Spec:
        if not self.folder.is_dir():
            raise ValueError(f"dataset.root={self.root} is not a folder; set dataset.root to a folder of class folders")
        height, width = size_or(self.image_size, (0, 0))
        return Spec(channels=self.channels, height=height, width=width, num_classes=len(self.class_names))

    def listing(self, part: str) -> Labelled:
        """(file, class) of a part that has a folder, by class and name; without parts, of everything."""
        folder = self.part_folder(part) or self.folder
        return [(p, c) for c, name in enumerate(self.class_names) for p in images_in(folder / name)]

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size, optional=False),
            *fraction_problems(valid_fraction=self.valid_fraction, test_fraction=self.test_fraction),
            *number_problems(0, split_seed=self.split_seed),
        ]
        found += colour_problems(self.channels, self.mean, self.std)
        return found + self._folder_problems()

    def _folder_problems(self) -> list[Problem]:
        def problem(text: str, remedy: str) -> Problem:
            return Problem("root", self.root, text, remedy)

        if not self.folder.is_dir():
            return [problem(f"is not a folder: {self.folder}", "set dataset.root to a folder of class folders")]
        try:
            found = [
                problem(f"holds a class folder without images: {folder}", "remove it or put images there")
                for folder in self._class_folders()
                if not images_in(folder)
            ]
            if len(self.class_names) < 2:
                text = f"must hold at least two class folders, got {len(self.class_names)}: {self.folder}"
                found.append(problem(text, "put the images of each class into a folder of its own"))
            files = [path for part in self.parts() for path, _ in self.listing(part)]
        except OSError as error:
            return [problem(f"cannot be read: {error}", "give yourself the right to read it")]
        found += [
            problem(f"holds a folder that is not a class of the training part: {folder}", "rename or remove it")
            for folder in self._strange_folders()
        ]
        broken = defects(files) if self.verify else []
        found += [problem(f"holds a broken image: {text}", "replace or delete it") for text in broken[:SHOWN]]
        if len(broken) > SHOWN:
            found.append(problem(f"holds {len(broken) - SHOWN} more broken images", "replace or delete them"))
        return found

    def parts(self) -> list[str]:
        """The parts that have a folder; "train" always counts."""
        return [part for part in PARTS if part == "train" or self.part_folder(part)]

    def _class_folders(self) -> list[Path]:
        return [
            f
            for part in self.parts()
            for f in subfolders(self.part_folder(part) or self.folder)
            if f.name in self.class_names
        ]

    def _strange_folders(self) -> list[Path]:
        return [
            f
            for part in self.parts()
            for f in subfolders(self.part_folder(part) or self.folder)
            if f.name not in self.class_names
        ]

    def load(self) -> Splits:
        """The digest is SHA-256 over sorted (path below root, bytes) of all files, not over their content."""
        from runner.data.statistics import given_or, statistics_by_threads

        parts = self._split()
        train, valid, test = (self._files(parts[part]) for part in PARTS)
        mean, std = given_or(self.mean, self.std, lambda: statistics_by_threads(train))
        sizes: dict[str, object] = {f"{part}_size": len(files) for part, files in parts.items()}
        return Splits(
            train,
            valid,
            test,
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=self.class_names,
            digest=listing_digest((path for files in parts.values() for path, _ in files), self.root),
            notes={**sizes, "split_seed": self.split_seed},
        )

    def _split(self) -> dict[str, Labelled]:
        import torch

        from runner.data.splits import hold_out

        parts = {part: self.listing(part) for part in self.parts()}
        for part, fraction in (("test", self.test_fraction), ("valid", self.valid_fraction)):
            if part not in parts:
                labels = torch.tensor([label for _, label in parts["train"]])
                kept, held = hold_out(labels, fraction, seed=self.split_seed, purpose=part)
                parts[part] = [parts["train"][i] for i in held.tolist()]
                parts["train"] = [parts["train"][i] for i in kept.tolist()]
        return parts

    def _files(self, files: Labelled) -> ImageFiles:
        from runner.data.sources.image_files import ImageFiles

        return ImageFiles(files, size=self.spec.image_size, channels=self.channels)


def listing_digest(files: Iterable[Path], root: str) -> str:
    """SHA-256 over sorted (path, bytes) of all files, not over their content."""
    total, folder = hashlib.sha256(), Path(root).expanduser()
    for path in sorted(files):
        total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\n".encode())
    return total.hexdigest()


def defects(files: list[Path]) -> list[str]:
    """ "<file>: <what is wrong>" for each image that cannot be read."""
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        return [f"{path}: {text}" for path, text in zip(files, pool.map(defect, files), strict=True) if text]


def defect(path: Path) -> str:
    """What is wrong with an image; empty when nothing is.

    A PNG carries checksums, which ``verify`` compares without decoding. A JPEG is decoded at an eighth of its
    size, which reads all of it; others are decoded whole.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                return f"it has more than 8 bits a channel ({image.mode}), which would be clipped to white"
            image.verify()
            is_png = image.format == "PNG"
        if not is_png:
            with Image.open(path) as image:
                image.draft("L", (1, 1))
                image.load()
    except Exception as error:  # PIL raises OSError, SyntaxError, struct.error and more
        return f"{type(error).__name__}: {error}"
    return ""
