"""Two kinds of images in folders: of the same names, side by side in one file, or without anything in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.source import PairSpec, Problem, Splits
from runner.data.sources.image_folder import PARTS, SHOWN, defects, listing_digest
from runner.data.sources.part_folders import held_out, images_of
from runner.data.sources.settings import (
    ImageSize,
    fraction_problems,
    image_size_problems,
    number_problems,
    size_or,
)

if TYPE_CHECKING:
    from runner.data.sources.pair_files import PairFiles

PAIRINGS = ("names", "halves", "none")
Pairs = list[tuple[Path, Path | None]]


@dataclass(frozen=True, kw_only=True)
class PairedImages:
    """Images below ``root`` in the folders ``inputs`` and ``targets``.

    In these "{part}" stands for train, valid (or val) and test. ``pairing``: "names", files that are called the same,
    whatever their suffix; "halves", each file in ``inputs`` is two images side by side, the input on the left, and
    ``targets`` is not looked at; "none", images that do not belong together, where the shorter list begins again at
    its end. ``swapped`` turns input and target around. A part that has no folder is held out of the training part:
    first ``test_fraction`` of it, then ``valid_fraction`` of the rest.
    """

    root: str
    inputs: str = "{part}/input"
    targets: str = "{part}/target"
    pairing: str = "names"
    swapped: bool = False
    image_size: ImageSize = 256
    in_channels: int = 3
    out_channels: int = 3
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    verify: bool = True  # open every image before work starts

    @property
    def spec(self) -> PairSpec:
        height, width = size_or(self.image_size, (256, 256))
        return PairSpec(in_channels=self.in_channels, out_channels=self.out_channels, height=height, width=width)

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size, optional=False),
            *fraction_problems(valid_fraction=self.valid_fraction, test_fraction=self.test_fraction),
            *number_problems(0, split_seed=self.split_seed),
        ]
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels not in (1, 3):
                found.append(Problem(name, channels, f"must be 1 or 3, got {channels!r}", f"set dataset.{name}=3"))
        if self.pairing not in PAIRINGS:
            text = f"must be one of {', '.join(PAIRINGS)}, got {self.pairing!r}"
            return [*found, Problem("pairing", self.pairing, text, "set dataset.pairing=names")]
        return found + self._folder_problems()

    def _folder_problems(self) -> list[Problem]:
        def problem(text: str, remedy: str) -> Problem:
            return Problem("root", self.root, text, remedy)

        lists = {pattern: self._images(pattern, "train") for pattern in self._patterns()}
        absent = [pattern.replace("{part}", "train") for pattern, images in lists.items() if not images]
        if absent:
            text = f"holds no images in {' and '.join(absent)}: {Path(self.root).expanduser()}"
            return [problem(text, "put images there, or set dataset.inputs and dataset.targets")]
        found, files = [], []
        for part in self._parts():
            files += [path for pattern in self._patterns() for path in self._images(pattern, part).values()]
            if self.pairing == "names":
                given, wanted = (self._images(pattern, part) for pattern in self._patterns())
                lonely = sorted(given.keys() ^ wanted.keys())
                found += [problem(f"holds {name} on one side only, in {part}", "add or delete it") for name in lonely]
        broken = defects(files) if self.verify else []
        found += [problem(f"holds a broken image: {text}", "replace or delete it") for text in broken]
        return found[:SHOWN]

    def _patterns(self) -> list[str]:
        """Where inputs lie, and where targets do."""
        if self.pairing == "halves":
            return [self.inputs]
        return [self.targets, self.inputs] if self.swapped else [self.inputs, self.targets]

    def _images(self, pattern: str, part: str) -> dict[str, Path]:
        return images_of(self.root, pattern, part)

    def _parts(self) -> list[str]:
        """The parts that have folders; "train" always counts."""
        return [part for part in PARTS if part == "train" or all(self._images(p, part) for p in self._patterns())]

    def load(self) -> Splits:
        """The digest is ``listing_digest``."""
        parts = self._split()
        files = {path for pairs in parts.values() for pair in pairs for path in pair if path is not None}
        sizes: dict[str, object] = {f"{part}_size": len(pairs) for part, pairs in parts.items()}
        return Splits(
            self._files(parts["train"]),
            self._files(parts["valid"]),
            self._files(parts["test"]),
            spec=self.spec,
            mean=self.spec.mean,
            std=self.spec.std,
            digest=listing_digest(files, self.root),
            notes={**sizes, "split_seed": self.split_seed},
        )

    def _split(self) -> dict[str, Pairs]:
        """The pairs of each part. Images that do not belong together are held out on each side by itself."""
        sides = {part: self._sides(part) for part in self._parts()}
        for part, fraction in (("test", self.test_fraction), ("valid", self.valid_fraction)):
            if part not in sides:
                halves = (held_out(side, fraction, part=part, seed=self.split_seed) for side in sides["train"])
                kept, held = zip(*halves, strict=True)
                sides["train"], sides[part] = list(kept), list(held)
        return {part: _together(of_part) for part, of_part in sides.items()}

    def _sides(self, part: str) -> list[list[Path]]:
        """Lists of files, by name: of equal length and order unless the pairing is "none"."""
        of_sides = [self._images(pattern, part) for pattern in self._patterns()]
        return [[images[name] for name in sorted(images)] for images in of_sides]

    def _files(self, pairs: Pairs) -> PairFiles:
        from runner.data.sources.pair_files import PairFiles

        return PairFiles(
            pairs,
            size=self.spec.image_size,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            reversed_halves=self.swapped,
        )


def _together(sides: list[list[Path]]) -> Pairs:
    if len(sides) == 1:
        return [(path, None) for path in sides[0]]
    first, second = sides
    if len(first) < len(second):
        return list(zip(cycle(first), second, strict=False))
    return list(zip(first, cycle(second), strict=False))
