"""Images with boxes, as COCO describes them: a file of annotations and a folder of images for each part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner.data.source import BoxSpec, Problem, Splits
from runner.data.sources.coco import Annotated, CocoFile
from runner.data.sources.image_folder import PARTS, SHOWN, defects
from runner.data.sources.settings import (
    Statistics,
    colour_problems,
    fraction_problems,
    image_size_problems,
    number_problems,
    require_none,
    size_or,
)

if TYPE_CHECKING:
    from runner.data.sources.box_files import BoxFiles

BAD_BOXES = ("refuse", "drop")
Located = list[tuple[Path, Annotated]]


@dataclass(frozen=True, kw_only=True)
class CocoBoxes:
    """Below ``root`` lie ``annotations``, files of COCO's, and ``images``, folders with the files they name.

    In these "{part}" stands for train, valid (or val) and test; a part without a file is held out of the training part:
    first ``test_fraction`` of it, then ``valid_fraction`` of the rest. Classes are the training part's categories, from
    1 in the order of their ids. Boxes of crowds are left out. ``bad_boxes``: whether annotations that make no sense are
    refused, or dropped. ``max_boxes`` is that of the ``BoxSpec``; None: as many as any image has.
    """

    root: str
    annotations: str = "annotations/{part}.json"
    images: str = "{part}"
    image_size: int | Sequence[int] = 320
    channels: int = 3
    max_boxes: int | None = None
    bad_boxes: str = "refuse"
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    mean: Statistics = None  # None: computed from the training part, which reads all of it once
    std: Statistics = None
    verify: bool = True  # open every image before work starts

    @cached_property
    def files(self) -> dict[str, tuple[CocoFile, Path]]:
        """The annotations and the folder of images of each part that has a file."""
        root = Path(self.root).expanduser()
        found: dict[str, tuple[CocoFile, Path]] = {}
        for part, names in (PARTS if "{part}" in self.annotations else {"train": PARTS["train"]}).items():
            for name in names:
                path = root / self.annotations.replace("{part}", name)
                if path.is_file():
                    found.setdefault(part, (CocoFile(path), root / self.images.replace("{part}", name)))
        return found

    @cached_property
    def categories(self) -> dict[int, str]:
        """Names by id, in the order of classes. Raises ``ValueError`` where there is no file for the training part."""
        if "train" not in self.files:
            raise ValueError(f"dataset.root={self.root} has no {self.annotations.replace('{part}', 'train')}")
        return self.files["train"][0].categories

    @property
    def spec(self) -> BoxSpec:
        height, width = size_or(self.image_size, (0, 0))
        counts = [len(image.boxes) for file, _ in self.files.values() for image in file.images]
        boxes = max(counts, default=1) if self.max_boxes is None else self.max_boxes
        return BoxSpec(self.channels, height, width, num_classes=len(self.categories), max_boxes=max(boxes, 1))

    def problems(self) -> list[Problem]:
        found = [
            *image_size_problems(self.image_size, optional=False),
            *fraction_problems(valid_fraction=self.valid_fraction, test_fraction=self.test_fraction),
            *number_problems(0, split_seed=self.split_seed),
            *([] if self.max_boxes is None else number_problems(1, max_boxes=self.max_boxes)),
        ]
        found += colour_problems(self.channels, self.mean, self.std)
        if self.bad_boxes not in BAD_BOXES:
            text = f"must be one of {', '.join(BAD_BOXES)}, got {self.bad_boxes!r}"
            found.append(Problem("bad_boxes", self.bad_boxes, text, "set dataset.bad_boxes=refuse"))
        annotations = self._annotation_problems()
        if self._unusable():
            return found + annotations
        images = [fault for file, folder in self.files.values() for fault in self._image_problems(file, folder)]
        return found + _shortened([*annotations, *images])

    def _unusable(self) -> str:
        """Why the annotations cannot be read; empty where they can."""
        try:
            read = [self.categories, *(file.categories for file, _ in self.files.values())]
        except (ValueError, OSError) as error:
            return str(error)
        return "" if all(read) else "there are files without categories"

    def _annotation_problems(self) -> list[Problem]:
        """Without a look at the images."""
        if reason := self._unusable():
            return [self._problem(f"cannot be used: {reason}", "put COCO's files there, or set dataset.annotations")]
        found = []
        for part, (file, _) in self.files.items():
            if file.categories != self.categories:
                text = f"lists other categories in {part} than in train: {', '.join(file.categories.values())}"
                found.append(self._problem(text, "list the same in each file"))
            if not file.images:
                found.append(self._problem(f"lists no images in {file.path}", "add some, or delete the file"))
            for text in file.defects() if self.bad_boxes == "refuse" else ():
                remedy = "correct it, or set dataset.bad_boxes=drop"
                found.append(self._problem(f"has a fault in {file.path.name}: {text}", remedy))
            for image in file.images:
                if self.max_boxes is not None and len(image.boxes) > self.max_boxes:
                    text = f"has {len(image.boxes)} boxes on {image.file_name}"
                    found.append(self._problem(text, "set dataset.max_boxes=null"))
        return found

    def _image_problems(self, file: CocoFile, folder: Path) -> list[Problem]:
        paths = {folder / image.file_name: image for image in file.images}
        there = [path for path in paths if path.is_file()]
        absent = sorted(paths.keys() - set(there))
        found = [self._problem(f"lacks the image {path}", "add it, or set dataset.images") for path in absent]
        if not self.verify:
            return found
        found += [self._problem(f"holds a broken image: {text}", "replace it") for text in defects(there)]
        with ThreadPoolExecutor() as pool:
            for path, size in zip(there, pool.map(_size, there), strict=True):
                if size not in (None, paths[path].size):
                    text = f"says that {path} has {paths[path].size} pixels, and it has {size}"
                    found.append(self._problem(text, "correct its height and width"))
        return found

    def _problem(self, text: str, remedy: str) -> Problem:
        return Problem("root", self.root, text, remedy)

    def load(self) -> Splits:
        """The digest is SHA-256 over the annotations and sorted (name, bytes) of all images, not over their content.

        Raises ``ValueError`` for annotations that make no sense.
        """
        from runner.data.statistics import given_or, statistics_by_threads

        require_none(self._annotation_problems())
        parts, spec = self._split(), self.spec
        train, valid, test = (self._examples(parts[part], spec) for part in PARTS)
        mean, std = given_or(self.mean, self.std, lambda: statistics_by_threads(train))
        sizes: dict[str, object] = {f"{part}_size": len(images) for part, images in parts.items()}
        return Splits(
            train,
            valid,
            test,
            spec=spec,
            mean=mean,
            std=std,
            class_names=tuple(self.categories.values()),
            digest=self._digest(parts),
            notes={**sizes, "split_seed": self.split_seed},
        )

    def _split(self) -> dict[str, Located]:
        import torch

        from runner.data.splits import hold_out

        parts = {
            part: [(folder / image.file_name, image) for image in file.images]
            for part, (file, folder) in self.files.items()
        }
        for part, fraction in (("test", self.test_fraction), ("valid", self.valid_fraction)):
            if part not in parts:
                together = torch.zeros(len(parts["train"]), dtype=torch.int64)
                kept, held = hold_out(together, fraction, seed=self.split_seed, purpose=part)
                parts[part] = [parts["train"][i] for i in held.tolist()]
                parts["train"] = [parts["train"][i] for i in kept.tolist()]
        return parts

    def _examples(self, images: Located, spec: BoxSpec) -> BoxFiles:
        from runner.data.sources.box_files import BoxFiles

        classes = {number: place for place, number in enumerate(self.categories, 1)}
        files = []
        for path, image in images:
            numbers = [classes[number] for number in image.category_ids]
            files.append((path, image.size, list(zip(image.boxes, numbers, strict=True))))
        return BoxFiles(files, spec=spec)

    def _digest(self, parts: dict[str, Located]) -> str:
        total = hashlib.sha256()
        for file, _ in self.files.values():
            total.update(file.path.read_bytes())
        for name, path in sorted((image.file_name, path) for images in parts.values() for path, image in images):
            total.update(f"{name}\0{path.stat().st_size}\n".encode())
        return total.hexdigest()


def _shortened(problems: list[Problem]) -> list[Problem]:
    if len(problems) <= SHOWN:
        return problems
    more = f"has {len(problems) - SHOWN} more faults"
    return [*problems[:SHOWN], replace(problems[0], text=more, remedy="correct these first")]


def _size(path: Path) -> tuple[int, int] | None:
    """Height and width in pixels, None for what is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError:
        return None
