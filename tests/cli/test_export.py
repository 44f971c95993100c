"""``export``: the network of a run as a file of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli.finished import CLASSIFIER, SEGMENTATION, train
from cli.terminal import Terminal
from PIL import Image

from runner import load_run
from runner.problem import Failed, Refused

SHORT = ["logger=[]", "trainer.steps=1", "trainer.batch_size=4", "trainer.workers=0", "debug.samples=7"]
MODELS = {
    "vit": ["model=vit_tiny"],
    "segmentation": SEGMENTATION,
}
QUIET = pytest.mark.filterwarnings("default")  # torch's exporters warn of what is torch's own


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("export") / "run", CLASSIFIER)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)


def exported(terminal: Terminal, run: Path, *arguments: str) -> Path:
    answer = terminal.runs("export", str(run), "--output=out", *arguments, small=False)
    assert answer.status == 0, answer.err
    assert "compared with the run's network on" in answer.out
    return Path(answer.out.partition("written: ")[2].partition(",")[0])


@QUIET
@pytest.mark.slow
def test_a_program_gives_what_the_network_gives(terminal: Terminal, run: Path, images: torch.Tensor) -> None:
    program = torch.export.load(exported(terminal, run)).module()
    loaded = load_run(run)
    for some in (images, images[:1]):
        assert torch.equal(program(loaded.prepare(some)), loaded(some))
    described = json.loads(Path("out/last.pt2.json").read_text())
    assert described["mean"] == loaded.mean
    assert described["compared_samples"] == 12
    assert described["image_size"] == [8, 8]
    again = terminal.runs("export", str(run), "--output=out", small=False)
    assert again.status == 2
    assert "nothing is overwritten" in again.err


@QUIET
@pytest.mark.slow
def test_onnx_gives_what_the_network_gives(terminal: Terminal, run: Path, images: torch.Tensor) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = exported(terminal, run, "--onnx", "checkpoint=best_accuracy")
    session = onnxruntime.InferenceSession(path)
    loaded = load_run(run, checkpoint="best_accuracy")
    for some in (images, images[:1]):
        (given,) = session.get_inputs()
        (output,) = session.run(None, {given.name: loaded.prepare(some).numpy()})
        assert torch.allclose(torch.from_numpy(output), loaded(some), atol=1e-5)


@QUIET
@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_other_networks(terminal: Terminal, kind: str) -> None:
    terminal.trains(*MODELS[kind], *SHORT, "hydra.run.dir=run", small=False)
    exported(terminal, Path("run"))


@pytest.mark.slow
def test_what_gives_something_else_is_not_kept(run: Path) -> None:
    from runner.afterwards.exporting import compared

    loaded = load_run(run)
    assert compared(loaded, loaded.model) == (0, 12)
    with pytest.raises(Failed, match=r"differ by 0\.01 from those of MLP"):
        compared(loaded, lambda images: loaded.model(images) + 0.01)
    with pytest.raises(Failed, match="differ by nan"):
        compared(loaded, lambda images: loaded.model(images) * torch.nan)


@pytest.mark.slow
def test_what_draws_is_refused_and_no_graph_is_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network with random outputs has no equal; of one that depends on its data torch prints all that it traced."""
    from runner.afterwards.exporting import export

    class Drawing(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(1) + torch.randn(())

    class Choosing(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            chosen = images[images > 0]
            return chosen * 2 if len(chosen) > 3 else chosen

    loaded = load_run(run)
    loaded.task.model = Drawing()
    with pytest.raises(Refused, match="Drawing draws random numbers"):
        export(loaded, tmp_path / "a.pt2")
    loaded.task.model = Choosing()
    with pytest.raises(Failed, match="cannot make a program of Choosing"):
        export(loaded, tmp_path / "b.pt2")
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "takes the folder of one run"),
        (["nowhere"], "is not the folder of a run"),
        (["run", "--onx"], "takes the folder of one run, got run --onx"),
        (["run", "checkpoint=worst"], "has no such checkpoint"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, run: Path, arguments: list[str], told: str) -> None:
    Path("run").symlink_to(run)
    answer = terminal.runs("export", *arguments, small=False)
    assert (answer.status, terminal.left()) == (2, ["run"])
    assert told in answer.err


def test_onnx_without_its_packages(terminal: Terminal, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.afterwards.exporting.find_spec", lambda _name: None)
    answer = terminal.runs("export", str(run), "--onnx", small=False)
    assert answer.status == 2
    assert "needs onnx, onnxscript, onnxruntime; install runner[onnx]" in answer.err


@pytest.mark.slow
def test_adversaries_have_no_network_that_takes_images(terminal: Terminal) -> None:
    data = ["dataset=synthetic", "dataset.height=32", "dataset.width=32", "dataset.channels=1"]
    terminal.trains("task=gan", "model.width=4", *data, *SHORT, "hydra.run.dir=run", small=False)
    for verb, more in (("export", []), ("predict", ["run/picture.png"])):
        Image.new("L", (32, 32)).save("run/picture.png")
        answer = terminal.runs(verb, "run", *more, small=False)
        assert answer.status == 2
        assert f"{verb}: GAN on images " in answer.err
