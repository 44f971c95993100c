"""Images with boxes: made up, and as COCO describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from runner.data.augment import CropFlip, NoAugmentation, check_changes
from runner.data.source import Arrays, BoxSpec
from runner.data.sources import CocoBoxes, ShapesBoxes
from runner.data.sources.shapes_boxes import drawn

FEW: dict[str, Any] = {"train_size": 60, "valid_size": 6, "test_size": 6}


def tensors(part: object) -> tuple[Tensor, ...]:
    assert isinstance(part, Arrays)
    return part.tensors


# --- shapes


def test_shapes_fill_their_boxes() -> None:
    """Found by colour, on images whose noise is weaker than the contrast of a shape."""
    images, boxes, labels = tensors(ShapesBoxes(**FEW, max_boxes=1).load().train)
    assert images.shape == (60, 3, 64, 64)
    assert set(labels.flatten().tolist()) == {1, 2, 3}
    shares: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for image, (box,), (label,) in zip(images, boxes, labels, strict=True):
        left, top, right, bottom = box.tolist()
        middle = image[:, int((top + bottom) / 2), int((left + right) / 2)].float()
        inside = (image.float() - middle[:, None, None]).abs().amax(0) < 4
        rows, columns = ((inside.sum(axis) > 1).nonzero() for axis in (1, 0))  # one may be noise
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert torch.tensor(extent).sub(box).abs().max() < 3.5
        shares[int(label)].append(float(inside.sum() / ((right - left) * (bottom - top))))
    disc, square, triangle = (sum(of_class) / len(of_class) for of_class in shares.values())
    assert triangle < 0.5 < disc < 0.78 < square < 1  # of the box; without their soft edges


def test_shapes_of_an_image_do_not_touch() -> None:
    _, boxes, labels = tensors(ShapesBoxes(**FEW).load().train)
    assert set((labels > 0).sum(1).tolist()) == {1, 2, 3}
    assert torch.equal(labels > 0, boxes.any(2))
    assert ((labels > 0).int().diff(dim=1) <= 0).all()  # padding stands last
    for one in range(3):
        for other in range(one):
            both = (labels[:, one] > 0) & (labels[:, other] > 0)
            apart = (boxes[:, one, :2] > boxes[:, other, 2:]) | (boxes[:, other, :2] > boxes[:, one, 2:])
            assert apart.any(1)[both].all()
    assert boxes.min() >= 0
    assert boxes.max() <= 64


def test_shapes_belong_to_their_own_seed_and_part() -> None:
    made = {seed: ShapesBoxes(**FEW, seed=seed).load() for seed in (0, 1)}
    assert ShapesBoxes(**FEW).load().digest == made[0].digest != made[1].digest
    images = torch.cat([tensors(part)[0] for part in (made[0].train, made[0].valid, made[0].test)])
    assert len(torch.unique(images.flatten(1), dim=0)) == 72
    assert made[0].class_names == ("disc", "square", "triangle")


def test_a_wide_image_has_its_shapes_inside() -> None:
    spec = BoxSpec(3, 16, 48, num_classes=3, max_boxes=2)
    images, boxes, _ = drawn(20, spec, torch.Generator().manual_seed(0))
    assert images.shape == (20, 3, 16, 48)
    assert (boxes <= torch.tensor([48.0, 16, 48, 16])).all()
    assert boxes[..., 2].max() > 16


@pytest.mark.parametrize(
    ("settings", "keys"),
    [({}, []), ({"image_size": 8}, ["image_size"]), ({"max_boxes": 0, "train_size": 0}, ["max_boxes", "train_size"])],
)
def test_settings_without_meaning_are_found(settings: dict[str, Any], keys: list[str]) -> None:
    assert sorted(problem.key for problem in ShapesBoxes(**settings).problems()) == keys


def test_no_augmentation_leaves_boxes_behind() -> None:
    check_changes(NoAugmentation(), ShapesBoxes().spec)
    with pytest.raises(ValueError, match="CropFlip changes images, but the data are images with boxes"):
        check_changes(CropFlip(), ShapesBoxes().spec)


# --- COCO


def annotation(number: int, image: int, category: int, bbox: list[float], **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}


CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
IMAGES: list[dict[str, Any]] = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 20} for n in range(10)]
GOOD = [
    annotation(0, 0, 7, [10, 5, 20, 10]),
    annotation(1, 0, 3, [0, 0, 40.4, 20]),  # rounded out of the image by less than a pixel
    annotation(2, 1, 3, [4, 4, 8, 8]),
    annotation(3, 2, 3, [0, 0, 40, 20], iscrowd=1),
]


def folder(root: Path, annotations: list[dict[str, Any]], part: str = "train", **others: Any) -> Path:
    (root / part).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    for entry in IMAGES:
        Image.new("RGB", (40, 20), (200, 0, 0)).save(root / part / entry["file_name"])
    content = {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES, **others}
    (root / "annotations" / f"{part}.json").write_text(json.dumps(content))
    return root


def test_boxes_are_resized_with_their_images(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, GOOD), GOOD[2:], "val")
    source = CocoBoxes(root=str(root), image_size=[10, 80], mean=[0.0], std=[1.0])
    assert source.problems() == []
    assert source.spec == BoxSpec(3, 10, 80, num_classes=2, max_boxes=2)
    splits = source.load()
    assert splits.class_names == ("cat", "dog")  # in the order of ids
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [8, 10, 2]  # the test part is held out
    image, boxes, labels = splits.valid[1]
    assert image.shape == (3, 10, 80)
    assert set(image[0].flatten().tolist()) == {200}
    assert boxes.tolist() == [[8.0, 2, 24, 6], [0, 0, 0, 0]]
    assert labels.tolist() == [1, 0]
    assert splits.valid[2][2].tolist() == [0, 0]  # a crowd
    whole = CocoBoxes(root=str(root), image_size=[10, 80]).load().valid
    assert torch.equal(whole.arrays().tensors[1], torch.stack([whole[n][1] for n in range(10)]))  # type: ignore[attr-defined]


def test_classes_and_clipped_boxes_of_an_image(tmp_path: Path) -> None:
    splits = CocoBoxes(root=str(folder(folder(tmp_path, []), GOOD, "val")), image_size=[20, 40]).load()
    _, boxes, labels = splits.valid[0]
    assert boxes.tolist() == [[10, 5, 30, 15], [0, 0, 40, 20]]
    assert labels.tolist() == [2, 1]


BAD = [
    (annotation(9, 77, 3, [0, 0, 1, 1]), "annotation 9 is of image 77, which is not listed"),
    (annotation(9, 0, 5, [0, 0, 1, 1]), "annotation 9 is of category 5, which is not listed"),
    (annotation(9, 0, 3, [5, 5, 0, 3]), "has a box without an inside: [5, 5, 0, 3]"),
    (annotation(9, 0, 3, [30, 5, 20, 3]), "has a box outside of its image of 20x40: [30, 5, 20, 3]"),
    (annotation(9, 0, 3, [40.5, 5, 0.2, 3]), "has a box outside of its image"),
    (annotation(9, 0, 3, [1, 2, 3]), "has no box [x, y, width, height]: [1, 2, 3]"),
]


def test_everything_wrong_is_said_at_once_or_dropped(tmp_path: Path) -> None:
    root = folder(tmp_path, [*GOOD, *(entry for entry, _ in BAD)])
    (root / "train" / "4.png").unlink()
    (root / "train" / "5.png").write_bytes(b"no image")
    Image.new("RGB", (20, 40)).save(root / "train" / "6.png")
    texts = [problem.text for problem in CocoBoxes(root=str(root), max_boxes=1).problems()]
    images = ["lacks the image", "holds a broken image", "says that", "has 2 boxes on 0.png"]
    assert [said for said in [*(said for _, said in BAD), *images] if not any(said in text for text in texts)] == []
    assert len(texts) == len(BAD) + 4
    with pytest.raises(ValueError, match="annotation 9 is of image 77"):
        CocoBoxes(root=str(root)).load()
    dropping = CocoBoxes(root=str(root), bad_boxes="drop", verify=False, mean=[0.0], std=[1.0])
    assert [problem.text.split(" /")[0] for problem in dropping.problems()] == ["lacks the image"]
    Image.new("RGB", (40, 20)).save(root / "train" / "4.png")
    assert int((dropping.load().train.labels > 0).sum()) <= 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (None, "has no annotations/train.json"),
        ("{", "is no JSON"),
        ("[]", "is no file of COCO's: it needs lists of images, annotations, categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "has an entry in images that lacks one of id"),
        ('{"images": [], "annotations": [], "categories": []}', "there are files without categories"),
    ],
)
def test_annotations_that_cannot_be_used_are_told(tmp_path: Path, write: str | None, said: str) -> None:
    (tmp_path / "annotations").mkdir()
    if write is not None:
        (tmp_path / "annotations" / "train.json").write_text(write)
    source = CocoBoxes(root=str(tmp_path))
    assert [said in problem.text for problem in source.problems()] == [True]
    with pytest.raises(ValueError, match=r"dataset.root cannot be used"):
        source.load()


def test_parts_have_the_same_categories(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, GOOD), GOOD, "valid", categories=CATEGORIES[:1])
    texts = [problem.text for problem in CocoBoxes(root=str(root)).problems()]
    assert "lists other categories in valid than in train: dog" in texts


def test_many_faults_are_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, [annotation(n, 77, 3, [0, 0, 1, 1]) for n in range(50)])
    assert [problem.text for problem in CocoBoxes(root=str(root)).problems()][-1] == "has 30 more faults"


def test_settings_of_coco_without_meaning_are_found(tmp_path: Path) -> None:
    root = folder(tmp_path, GOOD)
    settings: dict[str, Any] = {"channels": 2, "bad_boxes": "keep", "test_fraction": 1.5, "image_size": None}
    found = CocoBoxes(root=str(root), **settings).problems()
    assert [problem.key for problem in found] == ["image_size", "test_fraction", "channels", "bad_boxes"]
