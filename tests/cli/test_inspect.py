"""``inspect``: what is in a file of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli.finished import CLASSIFIER, train
from cli.terminal import Terminal


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("inspect") / "run", CLASSIFIER)


@pytest.fixture
def damaged(run: Path, tmp_path: Path) -> Path:
    """A copy of its last checkpoint in which one byte is another."""
    content = bytearray((run / "checkpoints/last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    file = tmp_path / "checkpoints" / "last.pt"
    file.parent.mkdir()
    file.write_bytes(content)
    return file


@pytest.mark.slow
def test_a_run_shows_its_last_state_and_names_the_others(terminal: Terminal, run: Path) -> None:
    lines = terminal.runs("inspect", str(run), small=False).out.splitlines()
    weights = torch.load(run / "checkpoints/last.pt", weights_only=True)["parts"]["task"]
    assert lines[0] == f"{run}/checkpoints/last.pt: step 4, digest ok"
    assert "  optimizer.lr: 0.001" in lines
    table = {words[0]: words[1:] for words in map(str.split, lines) if words[0] in weights}
    assert table.keys() == weights.keys()
    for name, tensor in weights.items():
        shape, dtype, norm = table[name]
        assert shape == "x".join(map(str, tensor.shape))
        assert dtype == "float32"
        assert float(norm) == pytest.approx(tensor.norm().item(), rel=1e-5)
    (best,) = [line for line in lines if "best_accuracy.pt" in line]
    assert "valid/accuracy" in best
    assert "digest ok" in best


@pytest.mark.slow
def test_one_file_has_its_own_step_and_the_settings_of_its_run(terminal: Terminal, run: Path) -> None:
    lines = terminal.runs("inspect", str(run / "checkpoints/best_accuracy.pt"), small=False).out.splitlines()
    step = torch.load(run / "checkpoints/best_accuracy.pt", weights_only=True)["step"]
    assert f"step {step}, valid/accuracy" in lines[0]
    assert "  optimizer.lr: 0.001" in lines


def test_a_damaged_file_is_said_to_be_so(terminal: Terminal, damaged: Path) -> None:
    for given in (damaged, damaged.parent.parent):
        answer = terminal.runs("inspect", str(given), small=False)
        assert (answer.status, answer.out) == (1, "")
        assert answer.messages == [f"{damaged} is damaged: it is not what was written"]


def test_half_a_file_is_damaged(terminal: Terminal, damaged: Path) -> None:
    damaged.write_bytes(damaged.read_bytes()[:-200])
    answer = terminal.runs("inspect", str(damaged), small=False)
    assert (answer.status, answer.out) == (1, "")


def test_weights_of_others(terminal: Terminal) -> None:
    torch.save({"fc.weight": torch.full((2, 2), 2.0)}, terminal.folder / "theirs.pt")
    answer = terminal.runs("inspect", "theirs.pt", small=False)
    assert answer.out.splitlines()[0] == "theirs.pt: no step, no digest to check it by"
    assert "fc.weight         2x2    float32     4" in answer.out


def test_what_holds_no_weights_is_said_with_a_remedy(terminal: Terminal) -> None:
    (terminal.folder / "notes.txt").write_text("hello")
    answer = terminal.runs("inspect", "notes.txt", small=False)
    assert (answer.status, answer.out) == (1, "")
    assert answer.messages == [
        "notes.txt: is not a file of torch, or not a whole one; give a file of weights, or a run's folder"
    ]


@pytest.mark.parametrize(
    ("given", "told"), [([], "takes a file"), (["nowhere.pt"], "there is no such file"), (["."], "without checkpoints")]
)
def test_what_is_not_there_is_refused(terminal: Terminal, given: list[str], told: str) -> None:
    answer = terminal.runs("inspect", *given, small=False)
    assert answer.status == 2
    assert told in answer.err
