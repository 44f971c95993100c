"""Images with masks: they move together, what does not count stays so, made up and from folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from runner.data.augment import Augmentation, CropFlip, Cutout, NoAugmentation, Trivial, check_changes
from runner.data.data import Data
from runner.data.prepare import Prepare
from runner.data.source import IGNORED, Examples, MaskSpec
from runner.data.sources import MaskFolder, ShapesMasks
from runner.randomness import Randomness

CPU = torch.device("cpu")
SPEC = MaskSpec(channels=1, image_size=(8, 9), num_classes=4)
IGNORING = MaskSpec(channels=1, image_size=(8, 9), num_classes=4, ignore_index=-100)
MASKS = torch.randint(0, 4, (6, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES = (50 * MASKS + 10).unsqueeze(1)  # a mask can be read off its image; outside of it is 0


# --- together


def prepared(spec: MaskSpec, augmentation: Augmentation, masks: Tensor = MASKS) -> tuple[Tensor, Tensor]:
    """Images in 0..255, and masks."""
    prepare = Prepare(None, None, spec=spec, augmentation=augmentation, randomness=Randomness(0), device=CPU)
    images, changed = prepare.train((IMAGES, masks), 3, epoch=0, indices=torch.arange(6))
    return (255 * images).round().squeeze(1), changed


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
@pytest.mark.parametrize("stored", [torch.uint8, torch.int64])
@pytest.mark.parametrize(("spec", "outside"), [(SPEC, 0), (IGNORING, -100)])
def test_masks_move_with_their_images(spec: MaskSpec, outside: int, stored: torch.dtype, padding_mode: str) -> None:
    images, masks = prepared(spec, CropFlip(padding=2, padding_mode=padding_mode), MASKS.to(stored))
    assert masks.dtype == torch.int64
    assert torch.equal(masks, torch.where(images == 0, outside, (images - 10) / 50).long())
    assert not torch.equal(masks, MASKS.long())
    assert (images == 0).any() == (padding_mode == "zeros")


def test_what_hides_pixels_leaves_masks_alone() -> None:
    images, masks = prepared(SPEC, Cutout(size=4))
    assert torch.equal(masks, MASKS.long())
    assert not torch.equal(images, IMAGES.squeeze(1).float())


@pytest.mark.parametrize("augmentation", [NoAugmentation(), CropFlip(padding=0, flip_probability=0.0)])
def test_pixels_that_do_not_count_are_marked(augmentation: Augmentation) -> None:
    some = MASKS.clone()
    some[:, :2] = IGNORED
    _, masks = prepared(IGNORING, augmentation, some)
    assert (masks[:, :2] == -100).all()
    assert torch.equal(masks[:, 2:], MASKS[:, 2:].long())


class Unsaid(CropFlip):
    geometric = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("augmentation", "spec", "said"),
    [
        (Trivial(), SPEC, "leaves its mask behind; set augmentation=crop_flip"),
        (Unsaid(), SPEC, "give it an attribute geometric"),
        (CropFlip(), MaskSpec(channels=1, image_size=(4, 4, 4), num_classes=2), "set augmentation=flips or none"),
    ],
)
def test_augmentations_that_would_part_them_are_refused(augmentation: Augmentation, spec: MaskSpec, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_changes(augmentation, spec)
    for fine in (NoAugmentation(), Cutout(), CropFlip()):
        check_changes(fine, SPEC)


def test_a_number_that_could_be_a_class_marks_nothing() -> None:
    with pytest.raises(ValueError, match="below 0, got 3"):
        MaskSpec(channels=1, image_size=(8, 8), num_classes=4, ignore_index=3)


# --- shapes

FEW: dict[str, Any] = {"train_size": 60, "valid_size": 6, "test_size": 6}


def test_shapes_are_where_their_masks_say() -> None:
    splits = ShapesMasks(**FEW, noise_std=0.0).load()
    images, masks = splits.train.tensors  # type: ignore[attr-defined]
    assert images.shape == (60, 1, 64, 64)
    assert (masks.dtype, masks.shape) == (torch.uint8, (60, 64, 64))
    assert masks.unique().tolist() == [0, 1, 2, 3]
    assert splits.class_names == ("background", "disc", "square", "triangle")
    assert torch.equal(images.squeeze(1) > 125, masks > 0)
    assert 0.05 < (masks > 0).float().mean() < 0.5


def test_kinds_differ_in_form_and_not_in_brightness() -> None:
    images, masks = ShapesMasks(**{**FEW, "train_size": 200}, noise_std=0.0).load().train.tensors  # type: ignore[attr-defined]
    filled, means = [], []
    for kind in (1, 2, 3):
        alone = [
            (image[0], mask == kind)
            for image, mask in zip(images, masks, strict=True)
            if set(mask.unique().tolist()) == {0, kind}
        ]
        boxes = [int(at.any(0).sum() * at.any(1).sum()) for _, at in alone]
        filled.append(float(np.median([int(at.sum()) / box for (_, at), box in zip(alone, boxes, strict=True)])))
        means.append(float(np.mean([float(image[at].float().mean()) for image, at in alone])))
    assert filled == pytest.approx([torch.pi / 4, 1.0, 0.5], abs=0.08)
    assert max(means) - min(means) < 25


def test_shapes_belong_to_their_own_seed_and_parts_share_none() -> None:
    first, again, other = (ShapesMasks(**FEW, seed=seed).load() for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    parts = [
        {mask.numpy().tobytes() for _, mask in map(part.__getitem__, range(len(part)))}
        for part in (first.train, first.valid, first.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 72
    assert ShapesMasks(image_size=[16, 48]).spec.facts()["image_size"] == (16, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 8}, "must be at least 16 pixels, got 8"),
        ({"noise_std": -1}, "must not be negative"),
        ({"channels": 0}, "must be a whole number, at least 1"),
        ({"mean": [0.5]}, "must be given when the other"),
    ],
)
def test_wrong_settings_of_shapes_are_told(settings: dict[str, Any], message: str) -> None:
    source = ShapesMasks(**settings)
    assert any(message in problem.text for problem in source.problems())
    with pytest.raises(ValueError, match=message):
        source.load()


def test_masks_are_the_same_wherever_they_are_kept() -> None:
    splits = ShapesMasks(**FEW, image_size=16).load()
    batches = [
        next(
            Data(
                splits, device=CPU, batch_size=8, randomness=Randomness(0), augmentation=CropFlip(), resident=resident
            ).train(2)
        )
        for resident in ("device", "never")
    ]
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))
    assert batches[0][1].dtype == torch.int64


# --- folders


def write(path: Path, pixels: Any, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    if mode == "P":
        image.putpalette([value for colour in range(256) for value in (colour, 0, 255 - colour)])
    elif mode is not None:
        image = image.convert(mode)
    image.save(path)


def fill(root: Path, part: str, values: list[int], *, mode: str | None = None) -> None:
    """Of image ``v`` the mask is 1 in its right half, and 255 in its lowest row."""
    for value in values:
        mask = np.zeros((4, 6), np.uint8)
        mask[:, 3:], mask[3] = 1, 255
        write(root / part / "image" / f"{value}.bmp", np.full((4, 6, 3), value))
        write(root / part / "mask" / f"{value}.png", mask, mode)


def source(root: Path, **settings: Any) -> MaskFolder:
    return MaskFolder(root=str(root), **{"num_classes": 2, "image_size": [8, 12], **settings})


def values(examples: Examples) -> list[int]:
    return sorted(int(examples[index][0].max()) for index in range(len(examples)))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_are_files_of_the_same_name(tmp_path: Path, mode: str) -> None:
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        fill(tmp_path, part, [first, first + 1, first + 2], mode=mode)
    made = source(tmp_path)
    assert made.problems() == []
    splits = made.load()
    assert [values(part) for part in (splits.train, splits.valid, splits.test)] == [
        [0, 1, 2],
        [100, 101, 102],
        [200, 201, 202],
    ]
    image, mask = splits.train[0]
    assert (image.shape, image.dtype, mask.dtype) == ((3, 8, 12), torch.uint8, torch.uint8)
    expected = torch.zeros(8, 12, dtype=torch.uint8)
    expected[:, 6:], expected[6:] = 1, 255
    assert torch.equal(mask, expected)  # each pixel became four
    assert splits.ignore_index == -100
    whole: Any = splits.train
    assert torch.equal(whole.arrays().tensors[1][0], expected)
    assert whole.nbytes == sum(tensor.nbytes for tensor in whole.arrays().tensors)


def test_another_value_may_mark_what_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "train", list(range(10)))
    for path in (tmp_path / "train" / "mask").iterdir():
        mask = np.array(Image.open(path))
        write(path, np.where(mask == 255, 9, mask))
    made = source(tmp_path, ignored_value=9)
    assert made.problems() == []
    assert set(made.load().train[0][1].flatten().tolist()) == {0, 1, IGNORED}


def test_parts_are_held_out_with_their_masks(tmp_path: Path) -> None:
    fill(tmp_path, "all", list(range(20)))
    splits = source(tmp_path, images="all/image", masks="all/mask", class_names=["nothing", "thing"]).load()
    parts = [values(part) for part in (splits.train, splits.valid, splits.test)]
    assert [len(part) for part in parts] == [14, 2, 4]
    assert sorted(value for part in parts for value in part) == list(range(20))
    assert splits.measured()["class_names"] == ("nothing", "thing")


def test_what_is_wrong_with_folders_is_told_at_once(tmp_path: Path) -> None:
    fill(tmp_path, "train", [1, 2, 3, 4])
    masks = tmp_path / "train" / "mask"
    (masks / "1.png").unlink()
    write(masks / "2.png", np.full((4, 6), 7))
    write(masks / "3.png", np.zeros((5, 6)))
    write(masks / "4.png", np.zeros((4, 6, 3)))
    write(masks / "5.png", np.zeros((4, 6)))
    texts = [problem.text for problem in source(tmp_path).problems()]
    said = ["no mask of", "no image of", "2.png: it has the values 7, but classes are 0 to 1"]
    said += ["3.png: it has 5x6 pixels, but its image 4x6", "4.png: ValueError: pixels are RGB"]
    assert len(texts) == len(said)
    assert all(words in text for words, text in zip(said, texts, strict=True))
    assert len(source(tmp_path, verify=False).problems()) == 2


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({}, "root", "holds no images in train/image and train/mask"),
        ({"num_classes": 1}, "num_classes", "from 2 to 255"),
        ({"ignored_value": 1}, "ignored_value", "must lie between the number of classes and 255"),
        ({"class_names": ["one"]}, "class_names", "must name each of 2 classes once"),
        ({"channels": 2}, "channels", "must be 1 or 3"),
        ({"test_fraction": 2}, "test_fraction", "must lie between 0 and 1"),
    ],
)
def test_wrong_settings_of_folders_are_told(tmp_path: Path, settings: Any, key: str, message: str) -> None:
    problems = source(tmp_path, **settings).problems()
    assert [problem.key for problem in problems] == [key]
    assert message in problems[0].text
