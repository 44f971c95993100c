"""Patches of volumes in HDF5 files: what is read, what counts, and what is wrong with files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.data.data import Data
from runner.data.resident import Loadable
from runner.data.source import Splits
from runner.data.sources import HDF5Volumes
from runner.data.sources.patches import Cut, Patches, Volume
from runner.randomness import Randomness

h5py = pytest.importorskip("h5py")

SIZE = (7, 6, 9)
RAW = np.arange(np.prod(SIZE), dtype=np.uint8).reshape(SIZE)
LABEL = (RAW % 3).astype(np.int16)


def write(path: Path, **content: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file[name] = values
    return path


def source(folder: Path, **settings: Any) -> HDF5Volumes:
    for part in ("train", "valid", "test"):
        if not (folder / part).exists():
            write(folder / part / "one.h5", raw=RAW, label=LABEL)
    files = {part: str(folder / part / "*.h5") for part in ("train", "valid", "test")}
    return HDF5Volumes(**{"patch_size": 4, "num_classes": 3, **files, **settings})


def patches(folder: Path, cut: Cut, *, raw: NDArray[Any] = RAW, **settings: Any) -> Patches:
    path = write(folder / "volume.h5", raw=raw, label=LABEL)
    return Patches([Volume(str(path), "raw", "label", SIZE)], cut, **{"stride": cut.size, **settings})


def test_patches_are_pieces_of_the_volume(tmp_path: Path) -> None:
    made = patches(tmp_path, Cut((4, 4, 4), num_classes=3), stride=(3, 2, 4))
    places = [(d, h, w) for d in (0, 3) for h in (0, 2) for w in (0, 4, 5)]
    assert len(made) == len(places)
    for (raw, mask), (d, h, w) in zip((made[at] for at in range(len(made))), places, strict=True):
        region = (slice(d, d + 4), slice(h, h + 4), slice(w, w + 4))
        assert torch.equal(raw, torch.from_numpy(RAW[region])[None])
        assert torch.equal(mask, torch.from_numpy(LABEL[region]).byte())


def test_a_halo_is_seen_mirrored_and_does_not_count(tmp_path: Path) -> None:
    made = patches(tmp_path, Cut((4, 6, 5), halo=(2, 1, 0), num_classes=3))
    mirrored = np.pad(RAW, ((2, 2), (1, 1), (0, 0)), mode="reflect")
    raw, mask = made[0]
    assert raw.shape == (1, 8, 8, 5)
    assert torch.equal(raw[0], torch.from_numpy(mirrored[:8, :, :5]))
    assert torch.equal(mask[2:-2, 1:-1], torch.from_numpy(LABEL[:4, :, :5]).byte())
    mask[2:-2, 1:-1] = 255
    assert (mask == 255).all()


def test_each_voxel_counts_once_in_an_evaluation(tmp_path: Path) -> None:
    made = patches(tmp_path, Cut((4, 4, 4), halo=(1, 0, 1), num_classes=3), once=True)
    counted = torch.cat([mask.flatten() for _, mask in (made[at] for at in range(len(made)))])
    expected = np.bincount(LABEL.ravel(), minlength=256)
    found = torch.bincount(counted, minlength=256).numpy()
    assert found[:3].tolist() == expected[:3].tolist()


def test_few_foreground_voxels_leave_a_patch_out(tmp_path: Path) -> None:
    label = np.zeros((4, 4, 8), np.uint8)
    label[..., :4], label[0, 0, 4:6] = 1, 2
    path = write(tmp_path / "volume.h5", raw=label, label=label)
    for fraction, count in ((0.0, 2), (2 / 64, 2), (0.05, 1)):
        made = Patches(
            [Volume(str(path), "raw", "label", (4, 4, 8))],
            Cut((4, 4, 4), num_classes=3),
            stride=(4, 4, 4),
            min_foreground_fraction=fraction,
        )
        assert (len(made), made.left_out) == (count, 2 - count)


def test_labels_that_do_not_count_and_labels_that_are_wrong(tmp_path: Path) -> None:
    cut = Cut((4, 4, 4), num_classes=2, ignored_label=2)
    assert (patches(tmp_path, cut)[0][1] == 255).equal(torch.from_numpy(LABEL[:4, :4, :4] == 2))
    with pytest.raises(ValueError, match=r"has the label 2 in label at \[0, 0, 0\] .* dataset.num_classes=2"):
        patches(tmp_path / "wrong", Cut((4, 4, 4), num_classes=2))[0]


@pytest.mark.parametrize(
    ("kind", "scale", "dtype"),
    [
        (np.uint8, 1, torch.uint8),
        (np.uint16, 65535, torch.float32),
        (np.int16, 1, torch.float32),
        (np.float64, 1, None),
    ],
)
def test_types_of_raw_values(tmp_path: Path, kind: Any, scale: int, dtype: torch.dtype | None) -> None:
    raw, _ = patches(tmp_path, Cut((7, 6, 9), num_classes=3), raw=RAW.astype(kind))[0]
    assert raw.dtype == (dtype or torch.float32)
    torch.testing.assert_close(raw[0].float(), torch.from_numpy(RAW).float() / scale)


def test_a_data_set_has_parts_channels_statistics_and_a_digest(tmp_path: Path) -> None:
    two = np.stack([RAW, np.full_like(RAW, 51)])
    for part in ("train", "valid", "test"):
        write(tmp_path / part / "one.h5", grey=two, mask=LABEL)
    write(tmp_path / "train" / "two.h5", grey=two, mask=LABEL)
    made = source(tmp_path, raw="grey", label="mask", halo=[0, 2, 0], stride=[3, 4, 4], patch_size=[4, 4, 8])
    assert made.problems() == []
    splits = made.load()
    assert (splits.spec.channels, splits.spec.image_size, splits.spec.ignore_index) == (2, (4, 8, 8), -100)  # type: ignore[attr-defined]
    assert (len(splits.train), len(splits.valid)) == (2 * 2 * 2 * 2, 2 * 2 * 2)
    assert splits.mean[1] == pytest.approx(0.2)
    assert splits.std[1] == 1.0  # constant
    values = torch.stack([splits.train[at][0][0] for at in range(len(splits.train))]).double() / 255
    assert splits.mean[0] == pytest.approx(float(values.mean()))
    assert splits.std[0] == pytest.approx(float(values.std(correction=0)))
    assert source(tmp_path, raw="grey", label="mask", mean=[0.1, 0.2], std=[1, 2]).load().mean == (0.1, 0.2)
    assert made.load().digest == splits.digest
    write(tmp_path / "train" / "three.h5", grey=two, mask=LABEL)
    assert made.load().digest != splits.digest


def batches(splits: Splits, **settings: Any) -> list[Tensor]:
    data = Data(splits, device=torch.device("cpu"), batch_size=3, randomness=Randomness(0), **settings)
    train = data.train()
    found = [tensor for _ in range(3) for tensor in next(train)] + [t for batch in data.part("test") for t in batch]
    train.close()
    return found


def test_patches_may_be_held_or_read_again_each_time(tmp_path: Path) -> None:
    splits = source(tmp_path, halo=1).load()
    assert isinstance(splits.train, Loadable)
    assert splits.train.nbytes == sum(tensor.nbytes for tensor in splits.train.arrays().tensors)
    held, read = (batches(splits, resident=resident) for resident in ("device", "never"))
    assert all(torch.equal(*pair) for pair in zip(held, read, strict=True))
    again = pickle.loads(pickle.dumps(splits.train))
    assert all(torch.equal(*pair) for pair in zip(again[1], splits.train[1], strict=True))


@pytest.mark.slow
def test_workers_read_what_one_process_reads(tmp_path: Path) -> None:
    splits = source(tmp_path).load()
    assert splits.train[0]  # this process has the file open when the workers begin
    alone, together = (batches(splits, resident="never", workers=workers) for workers in (0, 2))
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    ("settings", "key", "text"),
    [
        ({"train": "nowhere/*.h5"}, "train", "matches no file: nowhere/*.h5"),
        ({"raw": "grey"}, "train", "has no grey: {folder}/train/one.h5 holds label, raw"),
        ({"patch_size": [8, 4, 4]}, "train", "has 7x6x9 voxels, less than dataset.patch_size=[8, 4, 4]"),
        ({"stride": 5}, "stride", "must not be more than dataset.patch_size=4, got 5"),
        ({"halo": -1}, "halo", "must be voxels or [depth, height, width], at least 0, got -1"),
        ({"num_classes": 1}, "num_classes", "must lie between 2 and 254, got 1"),
        ({"class_names": ["cell"]}, "class_names", "must name each of 3 classes, got 1 names"),
        ({"min_foreground_fraction": 2}, "min_foreground_fraction", "must lie between 0 and 1, got 2"),
        ({"mean": [1, 2], "std": [1, 1]}, "mean", "must hold one number, or one for each of 1 channels"),
    ],
)
def test_wrong_settings_are_problems(tmp_path: Path, settings: dict[str, Any], key: str, text: str) -> None:
    found = source(tmp_path, **settings).problems()
    assert found[0].key == key
    assert found[0].text.startswith(text.replace("{folder}", str(tmp_path)))


def test_wrong_files_are_problems(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "broken.h5").write_text("no HDF5")
    write(tmp_path / "train" / "long.h5", raw=RAW, label=LABEL[:-1])
    write(tmp_path / "train" / "words.h5", raw=RAW.astype("S1"), label=LABEL)
    write(tmp_path / "train" / "whole.h5", raw=RAW, label=LABEL)
    write(tmp_path / "valid" / "other.h5", raw=RAW.astype(np.float32), label=LABEL)
    made = source(tmp_path, test=[str(tmp_path / "valid" / "*.h5")])
    lines = "\n".join(f"{problem.key} {problem.text}" for problem in made.problems())
    assert f"train cannot be read: {tmp_path}/train/broken.h5" in lines
    assert "train has raw of shape (7, 6, 9) and label of shape (6, 6, 9)" in lines
    assert "train has raw of |S1 and label of int16" in lines
    assert f"test has files that valid has, too: {tmp_path}/valid/other.h5" in lines
    assert "raw must be of one kind in all files, got 1 channels of uint8" in lines


def test_nothing_is_read_before_work_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(tmp_path)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("values were read"))
    assert made.problems() == []
    assert made.spec.image_size == (4, 4, 4)


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.data.sources.hdf5_volumes.find_spec", lambda name: None)  # noqa: ARG005
    (problem,) = source(tmp_path).problems()
    assert (problem.text, problem.remedy) == ("needs the package h5py", "install runner[hdf5]")


def test_a_training_part_of_background_alone_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train" / "one.h5", raw=RAW, label=LABEL * 0)
    with pytest.raises(ValueError, match="leaves no patch in train; set it lower"):
        source(tmp_path, min_foreground_fraction=0.1).load()
