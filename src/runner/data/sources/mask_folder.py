"""Images in folders, and masks of the same names in others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.source import IGNORE_INDEX, IGNORED, MaskSpec, Problem, Splits
from runner.data.sources.image_folder import PARTS, SHOWN, defects, listing_digest
from runner.data.sources.part_folders import held_out, images_of
from runner.data.sources.settings import (
    ImageSize,
    Statistics,
    colour_problems,
    fraction_problems,
    image_size_problems,
    number_problems,
    size_or,
    whole_number,
)

if TYPE_CHECKING:
    from runner.data.sources.mask_files import MaskFiles

Pairs = list[tuple[Path, Path]]


@dataclass(frozen=True, kw_only=True)
class MaskFolder:
    """Images below ``root`` in the folder ``images``, and in ``masks`` files of their names, whatever the suffix.

    In these "{part}" stands for train, valid (or val) and test. The pixels of a mask are the numbers of their classes,
    from 0, the background, grey or with a palette; ``ignored_value`` marks those that do not count. A part that has no
    folder is held out of the training part: first ``test_fraction`` of it, then ``valid_fraction`` of the rest.
    """

    root: str
    num_classes: int  # with the background
    images: str = "{part}/image"
    masks: str = "{part}/mask"
    ignored_value: int | None = IGNORED  # None: all pixels count
    class_names: Sequence[str] = ()
    image_size: ImageSize = 256
    channels: int = 3
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    mean: Statistics = None  # None: computed from the training part, which reads all of it once
    std: Statistics = None
    verify: bool = True  # open every image and mask before work starts

    @property
    def spec(self) -> MaskSpec:
        return MaskSpec(
            channels=self.channels,
            image_size=size_or(self.image_size, (256, 256)),
            num_classes=self.num_classes,
            ignore_index=None if self.ignored_value is None else IGNORE_INDEX,
        )

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size, optional=False),
            *fraction_problems(valid_fraction=self.valid_fraction, test_fraction=self.test_fraction),
            *number_problems(0, split_seed=self.split_seed),
            *self._class_problems(),
        ]
        found += colour_problems(self.channels, self.mean, self.std)
        return found or self._folder_problems()

    def _class_problems(self) -> list[Problem]:
        found, count, ignored = [], self.num_classes, self.ignored_value
        if not whole_number(count, at_least=2) or count > 255:
            text = f"must be a whole number from 2 to 255, with the background, got {count!r}"
            return [Problem("num_classes", count, text, "set dataset.num_classes=2")]
        if ignored is not None and not (whole_number(ignored, at_least=count) and ignored <= 255):
            text = f"must lie between the number of classes and 255, got {ignored!r}"
            found.append(Problem("ignored_value", ignored, text, "set dataset.ignored_value=255, or null for none"))
        if self.class_names and len(set(self.class_names)) != count:
            text = f"must name each of {count} classes once, got {list(self.class_names)}"
            found.append(Problem("class_names", self.class_names, text, "set dataset.class_names=[] for numbers"))
        return found

    def _folder_problems(self) -> list[Problem]:
        def problem(text: str, remedy: str) -> Problem:
            return Problem("root", self.root, text, remedy)

        absent = [pattern.replace("{part}", "train") for pattern in self._patterns() if not self._files(pattern)]
        if absent:
            text = f"holds no images in {' and '.join(absent)}: {Path(self.root).expanduser()}"
            return [problem(text, "put images there, or set dataset.images and dataset.masks")]
        found, pairs = [], []
        for part in self._parts():
            images, masks = (self._files(pattern, part) for pattern in self._patterns())
            found += [problem(f"holds no mask of {images[name]}", "add it") for name in images if name not in masks]
            found += [problem(f"holds no image of {masks[name]}", "add it") for name in masks if name not in images]
            pairs += [(images[name], masks[name]) for name in images if name in masks]
        if self.verify:
            broken = [f"image: {text}" for text in defects([image for image, _ in pairs])]
            broken += [f"mask: {text}" for text in self._faults(pairs)] if not broken else []
            found += [problem(f"holds a broken {text}", "replace or delete it") for text in broken]
        return found[:SHOWN]

    def _faults(self, pairs: Pairs) -> list[str]:
        """ "<mask>: <what is wrong>" for each that is no mask of its image."""
        from runner.data.sources.mask_files import fault

        def look(pair: tuple[Path, Path]) -> str:
            return fault(*pair, num_classes=self.num_classes, ignored_value=self.ignored_value)

        with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
            return [f"{mask}: {text}" for (_, mask), text in zip(pairs, pool.map(look, pairs), strict=True) if text]

    def _patterns(self) -> tuple[str, str]:
        return self.images, self.masks

    def _files(self, pattern: str, part: str = "train") -> dict[str, Path]:
        return images_of(self.root, pattern, part)

    def _parts(self) -> list[str]:
        """The parts that have folders; "train" always counts."""
        return [part for part in PARTS if part == "train" or any(self._files(p, part) for p in self._patterns())]

    def load(self) -> Splits:
        """The digest is ``listing_digest``."""
        from runner.data.statistics import given_or, statistics_by_threads

        parts = self._split()
        train, valid, test = (self._examples(parts[part]) for part in PARTS)
        mean, std = given_or(self.mean, self.std, lambda: statistics_by_threads(train))
        sizes: dict[str, object] = {f"{part}_size": len(pairs) for part, pairs in parts.items()}
        return Splits(
            train,
            valid,
            test,
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=tuple(self.class_names),
            digest=listing_digest((path for pairs in parts.values() for pair in pairs for path in pair), self.root),
            notes={**sizes, "split_seed": self.split_seed},
        )

    def _split(self) -> dict[str, Pairs]:
        parts = {part: self._pairs(part) for part in self._parts()}
        for part, fraction in (("test", self.test_fraction), ("valid", self.valid_fraction)):
            if part not in parts:
                parts["train"], parts[part] = held_out(parts["train"], fraction, part=part, seed=self.split_seed)
        return parts

    def _pairs(self, part: str) -> Pairs:
        images, masks = (self._files(pattern, part) for pattern in self._patterns())
        return [(images[name], masks[name]) for name in sorted(images)]

    def _examples(self, pairs: Pairs) -> MaskFiles:
        from runner.data.sources.mask_files import MaskFiles

        height, width = self.spec.image_size
        return MaskFiles(pairs, size=(height, width), channels=self.channels, ignored_value=self.ignored_value)
