"""Pairs of images: made up, from folders of the same names, side by side, and unpaired."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from runner.data.augment import CropFlip, check_changes
from runner.data.data import Data
from runner.data.source import Arrays, Examples, PairSpec, Splits
from runner.data.sources import PairedImages, ShapePairs
from runner.randomness import Randomness

FEW: dict[str, Any] = {"train_size": 40, "valid_size": 6, "test_size": 6}


def whole(examples: Examples) -> Tensor:
    return torch.stack([examples[index][0] for index in range(len(examples))])


# --- shapes


def test_a_filled_shape_has_its_outlines_colour_and_place() -> None:
    splits = ShapePairs(**FEW).load()
    assert splits.spec == PairSpec(in_channels=3, out_channels=3, height=32, width=32)
    images = whole(splits.train).float()
    outlines, full = images.tensor_split(2, dim=1)
    assert (outlines <= full).all()
    assert torch.equal(outlines.amax((2, 3)), full.amax((2, 3)))  # the colour
    assert (full > outlines).any(1).flatten(1).any(1).all()  # each outline has an inside
    for one, other in zip((outlines > 0).any(1), (full > 0).any(1), strict=True):
        assert torch.equal(one.any(0), other.any(0))  # as wide, and at the same place
        assert torch.equal(one.any(1), other.any(1))


def test_unpaired_targets_belong_to_others_but_not_in_an_evaluation() -> None:
    paired, unpaired = ShapePairs(**FEW).load(), ShapePairs(**FEW, paired=False).load()
    (outlines, full), (same, other) = (whole(splits.train).tensor_split(2, dim=1) for splits in (paired, unpaired))
    assert torch.equal(outlines, same)
    assert not torch.equal(full, other)
    assert torch.equal(whole(paired.valid), whole(unpaired.valid))
    assert torch.equal(whole(paired.test), whole(unpaired.test))
    assert paired.digest != unpaired.digest


def test_shapes_belong_to_their_own_seed() -> None:
    digests = {ShapePairs(**FEW, seed=seed).load().digest for seed in (0, 0, 1)}
    assert len(digests) == 2
    assert ShapePairs(image_size=[16, 48]).spec.image_size == (16, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 8}, "must be at least 16 pixels, got 8"),
        ({"image_size": "large"}, "must be pixels or"),
        ({"train_size": 0}, "must be a whole number, at least 1"),
        ({"seed": -1}, "must be a whole number, at least 0"),
    ],
)
def test_wrong_settings_of_shapes_are_told(settings: dict[str, Any], message: str) -> None:
    source = ShapePairs(**settings)
    assert any(message in problem.text for problem in source.problems())
    with pytest.raises(ValueError, match=message):
        source.load()


def test_both_images_of_a_pair_are_augmented_alike_and_scaled_to_the_generators_range() -> None:
    source = ShapePairs(**{**FEW, "train_size": 8})
    loaded = source.load()
    full = whole(loaded.train)[:, 3:]
    twins = Splits(
        Arrays(torch.cat([full, full], 1)), loaded.valid, loaded.test, source.spec, source.spec.mean, source.spec.std
    )
    augmentation = CropFlip()
    check_changes(augmentation, source.spec)
    data = Data(twins, device=torch.device("cpu"), batch_size=8, randomness=Randomness(0), augmentation=augmentation)
    (batch,) = next(data.train())
    assert torch.equal(batch[:, :3], batch[:, 3:])
    assert not torch.equal(batch[:, 3:].sort(0).values, (full / 127.5 - 1).sort(0).values)
    assert batch.min() == -1
    assert 0.5 < batch.max() <= 1


# --- folders


def write(path: Path, value: int, *, size: tuple[int, int] = (8, 8), right: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[0], size[1], 3), value, np.uint8)
    if right is not None:
        pixels[:, size[1] // 2 :] = right
    Image.fromarray(pixels).save(path)


def source(root: Path, **settings: Any) -> PairedImages:
    return PairedImages(root=str(root), image_size=8, **settings)


def values(examples: Examples) -> list[tuple[int, int]]:
    """(input, target) of examples that are of one value each."""
    return sorted((int(image[0].max()), int(image[-1].max())) for image in whole(examples))


def test_files_of_the_same_name_are_pairs_whatever_their_suffix(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        for index in range(3):
            write(tmp_path / part / "input" / f"{index}.png", first + index)
            write(tmp_path / part / "target" / f"{index}.bmp", first + index + 10)
    made = source(tmp_path)
    assert made.problems() == []
    splits = made.load()
    assert values(splits.train) == [(0, 10), (1, 11), (2, 12)]
    assert values(splits.valid) == [(100, 110), (101, 111), (102, 112)]
    assert values(splits.test) == [(200, 210), (201, 211), (202, 212)]
    assert values(source(tmp_path, swapped=True).load().train) == [(10, 0), (11, 1), (12, 2)]


def test_pairs_are_held_out_together_where_there_are_no_parts(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / "a" / f"{index}.png", index)
        write(tmp_path / "b" / f"{index}.png", index + 100)
    splits = source(tmp_path, inputs="a", targets="b").load()
    parts = [values(part) for part in (splits.train, splits.valid, splits.test)]
    assert [len(part) for part in parts] == [14, 2, 4]
    assert sorted(itertools.chain(*parts)) == [(index, index + 100) for index in range(20)]


@pytest.mark.parametrize(("swapped", "expected"), [(False, [(10, 20)]), (True, [(20, 10)])])
def test_halves_of_one_image_are_a_pair(tmp_path: Path, swapped: bool, expected: list[tuple[int, int]]) -> None:
    for part in ("train", "val", "test"):
        write(tmp_path / part / "1.png", 10, size=(8, 16), right=20)
    made = source(tmp_path, pairing="halves", inputs="{part}", swapped=swapped)
    assert made.problems() == []
    assert values(made.load().train) == expected


def test_halves_may_have_unlike_channels(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write(tmp_path / part / "1.png", 10, size=(8, 16), right=20)
    splits = source(tmp_path, pairing="halves", inputs="{part}", in_channels=1).load()
    assert whole(splits.train).amax((0, 2, 3)).tolist() == [10, 20, 20, 20]


def test_unpaired_sides_are_as_long_as_the_longer_and_keep_their_parts_apart(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / "horses" / f"{index}.png", index)
    for index in range(10):
        write(tmp_path / "zebras" / f"z{index}.png", 100 + index)
    splits = source(tmp_path, pairing="none", inputs="horses", targets="zebras").load()
    parts = [values(part) for part in (splits.train, splits.valid, splits.test)]
    assert [len(part) for part in parts] == [14, 2, 4]
    for side, everything in ((0, range(20)), (1, range(100, 110))):
        sets = [{pair[side] for pair in part} for part in parts]
        assert sum(map(len, sets)) == len(everything)
        assert set().union(*sets) == set(everything)


def test_a_folder_is_read_whole_or_one_by_one_with_the_same_result(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / "a" / f"{index}.png", index, size=(12, 10))
        write(tmp_path / "b" / f"{index}.png", index + 100, size=(5, 7))
    train: Any = source(tmp_path, inputs="a", targets="b", out_channels=1).load().train
    (images,) = train.arrays().tensors
    assert torch.equal(images, whole(train))
    assert images.nbytes == train.nbytes
    assert images.shape == (14, 4, 8, 8)


def test_what_is_wrong_with_folders_is_told(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part / "input" / "1.png", 1)
        write(tmp_path / part / "target" / "1.png", 1)
    write(tmp_path / "test" / "input" / "2.png", 1)
    (tmp_path / "train" / "input" / "1.png").write_bytes(b"no picture")
    texts = [problem.text for problem in source(tmp_path).problems()]
    assert len(texts) == 2
    assert "2 on one side only, in test" in texts[0]
    assert "broken image" in texts[1]
    assert len(source(tmp_path, verify=False).problems()) == 1


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({}, "root", "holds no images in train/input and train/target"),
        ({"pairing": "numbers"}, "pairing", "must be one of names, halves, none"),
        ({"in_channels": 2}, "in_channels", "must be 1 or 3"),
        ({"test_fraction": 2}, "test_fraction", "must lie between 0 and 1"),
    ],
)
def test_wrong_settings_of_folders_are_told(tmp_path: Path, settings: Any, key: str, message: str) -> None:
    problems = source(tmp_path, **settings).problems()
    assert any(problem.key == key and message in problem.text for problem in problems)
