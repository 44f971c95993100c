"""COCO's files of annotations: images, categories and boxes. Free of torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels
IMAGE = {"id": int, "file_name": str, "height": int, "width": int}
ANNOTATION = {"id": int, "image_id": int, "category_id": int, "bbox": list}
CATEGORY = {"id": int, "name": str}
TOLERANCE = 1.0  # pixel by which a box may lie outside: annotations are rounded


@dataclass
class Annotated:
    """An image and what lies on it."""

    file_name: str
    size: tuple[int, int]  # height, width in pixels
    boxes: list[Box] = field(default_factory=list)
    category_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """One file. Boxes of crowds are left out, and so are those that ``defects`` lists."""

    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """Raises ``ValueError`` for what is no such file, ``OSError`` for one that cannot be read."""
        try:
            content = json.loads(self.path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{self.path} is no JSON: {error}") from error
        lists = ("images", "annotations", "categories")
        if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
            raise ValueError(f"{self.path} is no file of COCO's: it needs lists of {', '.join(lists)}")
        for name, kinds in (("images", IMAGE), ("annotations", ANNOTATION), ("categories", CATEGORY)):
            for entry in content[name]:
                if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kinds[key]) for key in kinds):
                    raise ValueError(
                        f"{self.path} has an entry in {name} that lacks one of {', '.join(kinds)}: {entry}"
                    )
        return content

    @cached_property
    def categories(self) -> dict[int, str]:
        """Names by id, in the order of ids."""
        return dict(sorted((entry["id"], entry["name"]) for entry in self.content["categories"]))

    @cached_property
    def images(self) -> list[Annotated]:
        """In the order of the file."""
        found = {
            entry["id"]: Annotated(entry["file_name"], (entry["height"], entry["width"]))
            for entry in self.content["images"]
        }
        for entry, wrong in self._judged():
            if not wrong:
                image = found[entry["image_id"]]
                image.boxes.append(_clipped(_corners(entry), image.size))
                image.category_ids.append(entry["category_id"])
        return list(found.values())

    def defects(self) -> list[str]:
        """What is wrong with annotations, and images that are listed twice."""
        counts = Counter(entry["id"] for entry in self.content["images"])
        twice = [f"the image id {number} is there {count} times" for number, count in counts.items() if count > 1]
        return twice + [f"annotation {entry['id']} {wrong}" for entry, wrong in self._judged() if wrong]

    def _judged(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Annotations but those of crowds, each with what is wrong with it."""
        sizes = {entry["id"]: (entry["height"], entry["width"]) for entry in self.content["images"]}
        for entry in self.content["annotations"]:
            if entry.get("iscrowd"):
                continue
            if entry["image_id"] not in sizes:
                yield entry, f"is of image {entry['image_id']}, which is not listed"
            elif entry["category_id"] not in self.categories:
                yield entry, f"is of category {entry['category_id']}, which is not listed"
            else:
                yield entry, _fault(entry["bbox"], sizes[entry["image_id"]])


def _corners(entry: dict[str, Any]) -> Box:
    left, top, width, height = entry["bbox"]
    return left, top, left + width, top + height


def _fault(bbox: list[Any], size: tuple[int, int]) -> str:
    """What is wrong with a box [x, y, width, height]; empty when nothing is."""
    if len(bbox) != 4 or not all(isinstance(number, int | float) for number in bbox):
        return f"has no box [x, y, width, height]: {bbox}"
    left, top, width, height = bbox
    if not (width > 0 and height > 0):
        return f"has a box without an inside: {bbox}"
    out = max(-left, -top, left + width - size[1], top + height - size[0])
    if not out <= TOLERANCE or _empty(_clipped((left, top, left + width, top + height), size)):
        return f"has a box outside of its image of {size[0]}x{size[1]}: {bbox}"
    return ""


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def _empty(box: Box) -> bool:
    return box[2] <= box[0] or box[3] <= box[1]
