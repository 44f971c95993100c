"""``predict``: images in, classes or pictures out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.finished import CLASSIFIER, SEGMENTATION, train
from cli.terminal import Terminal
from PIL import Image

from runner import load_run
from runner.config import build
from runner.data.source import Splits
from runner.data.sources.image_files import read_image
from runner.tiles import tiles

SHORT = ["logger=[]", "trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0"]
AUTOENCODER = ["task=reconstruction", "model=cae", "loss=mse", "metrics=[]", "trainer.best={loss: min}"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier."""
    return {"classes": train(tmp_path_factory.mktemp("predict") / "classes", CLASSIFIER)}


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that make pictures."""
    folder = tmp_path_factory.mktemp("drawing")
    return {
        "masks": train(folder / "masks", [*SEGMENTATION, *SHORT]),
        "images": train(folder / "images", [*CLASSIFIER[:8], *AUTOENCODER, *SHORT]),
    }


def splits_of(run: Path) -> Splits:
    return build.load_splits(load_run(run).config)


def images_of(run: Path, folder: Path, *, count: int = 5) -> torch.Tensor:
    """The first test images of a run, as files in ``folder``: uint8 (count, 1, H, W)."""
    splits = splits_of(run)
    images = torch.stack([splits.test[number][0] for number in range(count)])
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{number}.png")
    return images


def test_classes_as_a_table(terminal: Terminal, runs: dict[str, Path]) -> None:
    images = images_of(runs["classes"], terminal.folder / "in")
    answer = terminal.runs("predict", str(runs["classes"]), "in", small=False)
    assert (answer.status, answer.err) == (0, "")
    run = load_run(runs["classes"])
    probabilities, places = run(images).double().softmax(1).max(1)
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [row["file"] for row in rows] == [f"in/{number}.png" for number in range(5)]
    assert [row["class"] for row in rows] == [run.class_names[place] for place in places]
    assert [float(row["probability"]) for row in rows] == probabilities.tolist()


def test_classes_as_json_have_all_probabilities(terminal: Terminal, runs: dict[str, Path]) -> None:
    images_of(runs["classes"], terminal.folder / "in", count=2)
    arguments = [str(runs["classes"]), "in/1.png", "in/0.png", "--output", "out/it.json"]
    assert terminal.runs("predict", *arguments, small=False).status == 0
    found = json.loads(Path("out/it.json").read_text())
    assert [row["file"] for row in found] == ["in/1.png", "in/0.png"]
    for row in found:
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["probabilities"][row["class"]] == row["probability"] == max(row["probabilities"].values())
    again = terminal.runs("predict", *arguments, small=False)
    assert again.status == 2
    assert "nothing is overwritten" in again.err


def test_other_weights_and_other_sizes(terminal: Terminal, runs: dict[str, Path]) -> None:
    """A colour JPEG of another size is made what the run's data are."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save("large.jpg")
    run = load_run(runs["classes"])
    zeros = {name: torch.zeros_like(tensor) for name, tensor in run.task.state_dict().items()}
    torch.save(zeros, "zeros.pt")
    probability = run(read_image("large.jpg", (8, 8), 1)[None]).double().softmax(1).max().item()
    for more, expected in (([], probability), (["checkpoint=zeros.pt"], 1 / 3)):
        answer = terminal.runs("predict", str(runs["classes"]), "large.jpg", *more, small=False)
        (row,) = csv.DictReader(io.StringIO(answer.out))
        assert float(row["probability"]) == pytest.approx(expected)


@pytest.mark.slow
def test_masks_have_the_size_of_their_images(terminal: Terminal, drawing: dict[str, Path]) -> None:
    images = images_of(drawing["masks"], terminal.folder / "in", count=2)
    Image.fromarray(images[0, 0].numpy()).resize((32, 32), Image.Resampling.NEAREST).save("in/twice.png")
    answer = terminal.runs("predict", str(drawing["masks"]), "in", "--output", "out", small=False)
    assert (answer.status, answer.out) == (0, "written: 3 pictures in out\n"), answer.err
    classes = load_run(drawing["masks"])(images).argmax(1)
    for number in (0, 1):
        assert np.array_equal(np.array(Image.open(f"out/{number}.png.png")), classes[number].numpy())
    with Image.open("out/twice.png.png") as twice:
        assert (twice.size, twice.mode) == ((32, 32), "P")
    answer = terminal.runs("predict", str(drawing["masks"]), "in", small=False)
    assert (answer.status, answer.messages) == (2, ["predict: this run makes pictures; --output=<folder> takes them"])


@pytest.mark.slow
def test_tiles_see_a_large_image_as_it_is(terminal: Terminal, drawing: dict[str, Path]) -> None:
    """Where only one tile says something, it says what the model makes of that part alone."""
    images = images_of(drawing["masks"], terminal.folder / "in", count=4)
    wide = torch.cat([*images[:, 0]], 1)  # (16, 64)
    Image.fromarray(wide.numpy()).save("wide.png")
    for name, more in (("tiled", ["--tiles"]), ("whole", [])):
        status = terminal.runs(
            "predict", str(drawing["masks"]), "wide.png", "--output", name, *more, small=False
        ).status
        assert status == 0
    tiled, whole = (np.array(Image.open(f"{name}/wide.png.png")) for name in ("tiled", "whole"))
    assert tiled.shape == whole.shape == (16, 64)
    first = tiles((16, 64), tile=(16, 16), overlap=(4, 4))[0]
    alone = load_run(drawing["masks"])(wide[first][None, None]).argmax(1)[0]
    assert np.array_equal(tiled[:, :12], alone[:, :12].numpy())
    assert not np.array_equal(tiled, whole)


@pytest.mark.slow
def test_an_autoencoder_draws_what_it_makes_of_images(terminal: Terminal, drawing: dict[str, Path]) -> None:
    images = images_of(drawing["images"], terminal.folder / "in", count=2)
    assert terminal.runs("predict", str(drawing["images"]), "in", "--output", "out", small=False).status == 0
    run = load_run(drawing["images"])
    pixels = (run(images) * run.std[0] + run.mean[0]).clamp(0, 1)
    for number in (0, 1):
        drawn = np.array(Image.open(f"out/{number}.png.png"))
        assert np.array_equal(drawn, (pixels[number, 0] * 255).round().byte().numpy())


@pytest.mark.slow
def test_boxes_are_in_pixels_of_the_file(terminal: Terminal) -> None:
    """The same image twice as large has boxes twice as large."""
    sizes = [f"dataset.{part}_size=4" for part in ("train", "valid", "test")]
    small = ["~trainer.best.map_50", "metrics=[]", "model.options.box_score_thresh=0.01", *SHORT]
    train(terminal.folder / "run", ["experiment=shapes_detection", *sizes, *small])
    image = splits_of(terminal.folder / "run").test[0][0].movedim(0, -1).numpy()
    height, width, _ = image.shape
    Image.fromarray(image).save("one.png")
    Image.fromarray(image).resize((2 * width, 2 * height), Image.Resampling.NEAREST).save("two.png")
    assert terminal.runs("predict", "run", "one.png", "two.png", "--output=boxes.json", small=False).status == 0
    rows = json.loads(Path("boxes.json").read_text())
    found = load_run("run")(torch.from_numpy(image).movedim(-1, 0)[None])[0]
    ours = [row for row in rows if row["file"] == "one.png"]
    kept = found[found[:, 5] > 0]
    assert len(ours) == len(kept) > 0
    for row, (*corners, score, number) in zip(ours, kept.tolist(), strict=True):
        assert [row[key] for key in ("x1", "y1", "x2", "y2")] == pytest.approx(corners, abs=1e-3)
        assert row["probability"] == pytest.approx(score, abs=1e-5)
        assert row["class"] == load_run("run").class_names[int(number) - 1]
    assert max(row["x2"] for row in rows if row["file"] == "two.png") > width


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["classes"], "takes a run and images"),
        (["nowhere", "good.png"], "is not the folder of a run"),
        (["classes", "good.png", "bad.png", "no.png"], "bad.png: UnidentifiedImageError"),
        (["classes", "good.png", "bad.png", "no.png"], "no.png: there is no such file"),
        (["classes", "empty"], "empty: holds no images"),
        (["classes", "good.png", "--tiles"], "--tiles is for pictures"),
        (["classes", "good.png", "./good.png"], "another image has its name"),
        (["classes", "good.png", "--output", "full"], "nothing is overwritten"),
        (["classes", "good.png", "--outptu=x"], "takes a run and images, got --outptu=x"),
    ],
)
def test_what_makes_no_sense_is_refused(
    terminal: Terminal, runs: dict[str, Path], arguments: list[str], told: str
) -> None:
    for name, run in runs.items():
        Path(name).symlink_to(run)
    Image.new("L", (8, 8)).save("good.png")
    Path("bad.png").write_text("no image")
    for folder in ("empty", "full"):
        Path(folder).mkdir()
    Path("full/it.png").touch()
    left = terminal.left()
    answer = terminal.runs("predict", *arguments, small=False)
    assert (answer.status, answer.out, terminal.left()) == (2, "", left)
    assert told in answer.err
