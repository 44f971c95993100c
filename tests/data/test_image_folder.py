"""Class folders of images: layouts, order, resizing, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from runner.data.data import Data
from runner.data.resident import Resident
from runner.data.sources import ImageFolder
from runner.data.sources.image_files import read_image
from runner.data.statistics import channel_statistics
from runner.randomness import Randomness


def picture(path: Path, size: tuple[int, int] = (12, 9), value: int = 0, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


@pytest.fixture
def plain(tmp_path: Path) -> ImageFolder:
    """Two classes of ten images each, of several sizes and formats, without parts."""
    for number in range(10):
        suffix = ("png", "jpg", "bmp", "PNG")[number % 4]
        picture(tmp_path / "cat" / f"{number}.{suffix}", (12 + number, 9), number)
        picture(tmp_path / "dog" / "more" / f"{number}.{suffix}", (8, 20), 100 + number)
    (tmp_path / "notes.txt").write_text("not a class")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    picture(tmp_path / ".cache" / "hidden.png")
    return ImageFolder(root=str(tmp_path), image_size=[6, 10])


@pytest.fixture
def parted(tmp_path: Path) -> ImageFolder:
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                picture(tmp_path / part / name / f"{number}.png", value=number + len(part))
    return ImageFolder(root=str(tmp_path), image_size=8, channels=1)


def test_a_set_without_parts_is_split_by_class(plain: ImageFolder) -> None:
    assert plain.problems() == []
    assert plain.spec.image_size == (6, 10)
    splits = plain.load()
    assert splits.class_names == ("cat", "dog")
    labels = [[int(part[i][1]) for i in range(len(part))] for part in (splits.train, splits.valid, splits.test)]
    assert [(part.count(0), part.count(1)) for part in labels] == [(7, 7), (1, 1), (2, 2)]
    image, label = splits.train[0]
    assert (image.shape, image.dtype, label.dtype) == ((3, 6, 10), torch.uint8, torch.int64)
    assert splits.digest == plain.load().digest
    assert splits.notes["train_size"] == 14


def test_parts_that_are_there_are_used(parted: ImageFolder) -> None:
    assert parted.problems() == []
    splits = parted.load()
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [8, 4, 6]
    assert splits.train[0][0].shape == (1, 8, 8)


def test_a_part_that_is_not_there_is_held_out_of_training(parted: ImageFolder) -> None:
    (parted.folder / "val").rename(parted.folder.parent / "elsewhere")
    splits = replace(parted, valid_fraction=0.25).load()
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [6, 2, 6]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "plane"):
        for number in range(10):
            picture(tmp_path / name / f"{number}.png", value=number)
    assert ImageFolder(root=str(tmp_path)).class_names == ("plane", "train")


def test_files_come_by_name(plain: ImageFolder) -> None:
    files = [path for path, _ in plain.listing("train")]
    assert files == sorted(files)
    assert len(files) == 20


def test_statistics_and_resident_data_are_those_of_the_files(plain: ImageFolder) -> None:
    splits = plain.load()
    images = torch.stack([splits.train[i][0] for i in range(len(splits.train))])
    assert (list(splits.mean), list(splits.std)) == channel_statistics(images)
    batches = {}
    for resident in ("auto", "never"):
        data = Data(splits, device=torch.device("cpu"), batch_size=4, randomness=Randomness(0), resident=resident)
        assert isinstance(data.feeds["train"], Resident) == (resident == "auto")
        batches[resident] = next(data.train())
    assert all(torch.equal(a, b) for a, b in zip(batches["auto"], batches["never"], strict=True))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_converted(tmp_path: Path, mode: str, channels: int) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    picture(path, mode=mode)
    assert read_image(str(path), (5, 7), channels).shape == (channels, 5, 7)


def test_a_palette_with_transparency_gives_no_warning(tmp_path: Path) -> None:
    Image.new("P", (4, 4)).save(tmp_path / "image.png", transparency=b"\0\1")
    assert read_image(str(tmp_path / "image.png"), (4, 4), 3).shape == (3, 4, 4)


def test_native_size_is_not_resampled(tmp_path: Path) -> None:
    picture(tmp_path / "image.png", (5, 4), 3)
    expected = torch.from_numpy(np.array(Image.open(tmp_path / "image.png"))).permute(2, 0, 1)
    assert torch.equal(read_image(str(tmp_path / "image.png"), (4, 5), 3), expected)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_truncated_image_is_named(plain: ImageFolder, suffix: str) -> None:
    broken = next(path for path, _ in plain.listing("train") if path.suffix == f".{suffix}")
    cut(broken)
    (problem,) = plain.problems()
    assert problem.key == "root"
    assert str(broken) in problem.text
    assert "broken image" in problem.text
    assert replace(plain, verify=False).problems() == []


def test_many_broken_images_are_counted(plain: ImageFolder) -> None:
    for number in range(25):
        (plain.folder / "cat" / f"broken{number}.jpg").write_text("not an image")
    texts = [problem.text for problem in plain.problems()]
    assert len(texts) == 21
    assert texts[-1] == "holds 5 more broken images"


def remove_root(source: ImageFolder) -> str:
    source.folder.rename(source.folder.with_name("moved"))
    return f"is not a folder: {source.folder}"


def empty_class(source: ImageFolder) -> str:
    (source.folder / "bird").mkdir()
    return f"class folder without images: {source.folder / 'bird'}"


def one_class(source: ImageFolder) -> str:
    (source.folder / "dog").rename(source.folder / "cat" / "dog")
    return "at least two class folders, got 1"


def no_class(source: ImageFolder) -> str:
    for name in ("cat", "dog"):
        (source.folder / name).rename(source.folder / f".{name}")
    return "at least two class folders, got 0"


@pytest.mark.parametrize("damage", [remove_root, empty_class, one_class, no_class])
def test_a_wrong_folder_is_a_problem(plain: ImageFolder, damage: Callable[[ImageFolder], str]) -> None:
    text = damage(plain)
    (problem,) = plain.problems()
    assert problem.key == "root"
    assert text in problem.text
    assert problem.remedy


def test_a_class_that_training_does_not_know_is_a_problem(parted: ImageFolder) -> None:
    picture(parted.folder / "test" / "cow" / "0.png")
    (problem,) = parted.problems()
    assert f"not a class of the training part: {parted.folder / 'test' / 'cow'}" in problem.text


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"channels": 2}, "channels"),
        ({"image_size": None}, "image_size"),
        ({"valid_fraction": 1}, "valid_fraction"),
        ({"mean": [0.5, 0.5], "std": [0.5, 0.5]}, "mean"),
    ],
)
def test_a_wrong_folder_setting_is_a_problem(plain: ImageFolder, changes: dict[str, object], key: str) -> None:
    assert key in [problem.key for problem in replace(plain, **changes).problems()]  # type: ignore[arg-type]


def test_the_spec_of_an_absent_folder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset\.root=/nowhere is not a folder; set dataset\.root"):
        _ = ImageFolder(root="/nowhere").spec


def test_an_image_with_sixteen_bits_is_told_and_not_clipped_to_white(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(10):
            Image.new("I;16", (8, 8), 40000).save(tmp_path / label / f"{number}.png")
    folder = ImageFolder(root=str(tmp_path), image_size=8, channels=1)
    assert len(folder.problems()) == 20
    assert "more than 8 bits a channel" in folder.problems()[0].text
    with pytest.raises(ValueError, match="more than 8 bits"):
        ImageFolder(root=str(tmp_path), image_size=8, channels=1, verify=False).load()
