"""``evaluate``: the weights of a finished run, scored again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.finished import CLASSIFIER, SEGMENTATION, train
from cli.terminal import Terminal
from PIL import Image

GROUND = ["logger=[]", "trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0", "debug.samples=8"]
TASKS = {
    "averages": ["model=lenet", "trainer.ema_decay=0.9"],
    "segmentation": SEGMENTATION,
    "vae": ["task=vae", "dataset=synthetic", "model=vae", "loss=mse", "metrics=[]", "trainer.best={loss: min}"],
    "seq2seq": ["experiment=copy_seq2seq"],
    "several": [
        "dataset=several",
        "+dataset@dataset.sets.near=digits",
        "+dataset@dataset.sets.far=digits",
        "dataset.sets.far.split_seed=1",
        "model=mlp",
    ],
    "bf16, channels last": ["model=lenet", "trainer.precision=bf16", "trainer.channels_last=true"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("evaluate") / "run", CLASSIFIER)


@pytest.fixture
def run(trained: Path, terminal: Terminal) -> Path:
    """A copy, called "run"."""
    shutil.copytree(trained, terminal.folder / "run")
    return Path("run")


def evaluated(terminal: Terminal, *arguments: str) -> dict[str, Any]:
    """What ``evaluate`` writes."""
    answer = terminal.runs("evaluate", *arguments, small=False)
    assert (answer.status, answer.err) == (0, ""), answer.err
    written = answer.out.splitlines()[-1].removeprefix("written: ").split(", ")
    content: dict[str, Any] = json.loads(Path(written[0]).read_text())
    return content


def test_the_last_weights_have_the_scores_of_the_run_to_the_bit(terminal: Terminal, run: Path) -> None:
    found = evaluated(terminal, str(run))
    assert found["metrics"] == terminal.manifest("run")["metrics"]
    assert found["same_as_run"] is True
    assert found["step"] == 4


@pytest.mark.slow
def test_each_class_and_the_picture(terminal: Terminal, run: Path) -> None:
    found = evaluated(terminal, "run")
    confusion = torch.tensor(found["confusion_matrix"]["test"])
    assert confusion.sum() == 12
    accuracy = confusion.diag().sum().item() / 12
    assert accuracy == pytest.approx(found["metrics"]["test/accuracy"])
    assert [row["support"] for row in found["classes"]["test"]] == confusion.sum(1).tolist()
    assert sum(row["count"] for row in found["calibration"]["test"]["bins"]) == 12
    with Image.open(run / "evaluations/last_on_synthetic.test_confusion_matrix.png") as picture:
        assert picture.mode == "RGB"


@pytest.mark.slow
def test_other_metrics_do_not_make_the_scores_others(terminal: Terminal, run: Path) -> None:
    """Those that the run measured, too, are compared; a run that measured another value is told apart."""
    assert evaluated(terminal, "run", "metrics=[f1]", "~trainer.best.accuracy")["same_as_run"] is True
    manifest = terminal.manifest("run")
    manifest["metrics"]["test/loss"] += 1e-9
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert evaluated(terminal, "run", "metrics=[f1]", "~trainer.best.accuracy")["same_as_run"] is False


@pytest.mark.slow
def test_nothing_is_overwritten(terminal: Terminal, run: Path) -> None:
    first = evaluated(terminal, "run")
    evaluated(terminal, "run", "trainer.eval_batch_size=5")
    kept = sorted(file.name for file in (run / "evaluations").glob("*.json"))
    assert kept == ["last_on_synthetic.2.json", "last_on_synthetic.json"]
    assert json.loads((run / "evaluations/last_on_synthetic.json").read_text()) == first
    answer = terminal.runs("evaluate", "run", "--output=run/evaluations/last_on_synthetic.json", small=False)
    assert answer.status == 2
    assert "nothing is overwritten" in answer.err


@pytest.mark.slow
def test_other_weights(terminal: Terminal, run: Path) -> None:
    best = evaluated(terminal, "run", "checkpoint=best_accuracy", "--output", "here/best.json")
    content = torch.load(run / "checkpoints/best_accuracy.pt", weights_only=True)
    assert best["step"] == content["step"]
    zeros = {name: torch.zeros_like(tensor) for name, tensor in content["task"].items()}
    torch.save(zeros, terminal.folder / "zeros.pt")
    none = evaluated(terminal, "run", "checkpoint=zeros.pt")
    assert none["metrics"]["test/loss"] == pytest.approx(1.0986, abs=1e-4)  # ln 3: all classes are as likely
    assert none["same_as_run"] is None
    assert none["calibration"]["test"]["bins"][4]["count"] == 12  # a third is in (4/15, 5/15]


@pytest.mark.slow
def test_other_data_of_the_same_shape(terminal: Terminal, run: Path) -> None:
    """They are normalised as the run's were, unless told otherwise, and may be fewer than a batch."""
    other = [str(run), "dataset.seed=1", "dataset.train_size=6", "dataset.test_size=5"]
    found = evaluated(terminal, *other)
    assert found["data"]["size"] == 5
    assert found["data"]["sha256"] != terminal.manifest("run")["data"]["sha256"]
    assert found["same_as_run"] is None
    data = terminal.manifest("run")["data"]
    same = evaluated(terminal, *other, f"dataset.mean={data['mean']}", f"dataset.std={data['std']}")
    assert same["metrics"] == found["metrics"]
    assert evaluated(terminal, *other, "dataset.mean=[0.0]", "dataset.std=[1.0]")["metrics"] != found["metrics"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "evaluate nowhere: is not the folder of a run"),
        (["run", "checkpoint=best"], "checkpoint=best: run has no such checkpoint, nor is it a file; it has last, "),
        (["run", "dataset.height=9"], "these images do not fit the model: height 9 instead of 8"),
        (["run", "dataset.num_classes=4"], "num_classes 4 instead of 3"),
        (["run", "dataset=image_folder", "dataset.root=nowhere"], "dataset.root=nowhere: is not a folder"),
        (["run", "model.hidden=[5]"], "does not fit the model"),
        (["run", "dataset.hight=9"], "did you mean dataset.height?"),
    ],
)
def test_what_does_not_fit_is_refused(terminal: Terminal, run: Path, arguments: list[str], told: str) -> None:
    left = terminal.left()
    answer = terminal.runs("evaluate", *arguments, small=False)
    assert (answer.status, terminal.left()) == (2, left)
    assert not (run / "evaluations").exists()
    assert told in answer.err
    assert len(answer.messages) == 1


def test_a_damaged_checkpoint_is_refused(terminal: Terminal, run: Path) -> None:
    file = run / "checkpoints/last.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    answer = terminal.runs("evaluate", "run", small=False)
    assert answer.status == 2
    assert "is damaged: it is not what was written" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
def test_other_tasks_have_their_own_scores_to_the_bit(terminal: Terminal, kind: str) -> None:
    terminal.trains(*TASKS[kind], *GROUND, "hydra.run.dir=run", small=False)
    found = evaluated(terminal, "run")
    assert found["metrics"] == terminal.manifest("run")["metrics"]
    assert found["same_as_run"] is True
    assert bool(found["classes"]) == (kind not in ("vae", "seq2seq"))
