"""``archive``: a finished run, kept under the next free number."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
import torch
from cli.finished import CLASSIFIER, train
from cli.terminal import Terminal

from runner import checksums, load_run
from runner.afterwards.archiving import verify
from runner.afterwards.weights import checkpoints_of, read
from runner.problem import Failed, Refused

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("archive") / "run", CLASSIFIER)


def archived(terminal: Terminal, run: Path, *arguments: str) -> Path:
    answer = terminal.runs("archive", str(run), *arguments, small=False)
    assert (answer.status, answer.err) == (0, ""), answer.err
    return Path(answer.out.removeprefix("archived: ").strip())


@pytest.mark.slow
def test_names_count_on(terminal: Terminal, run: Path) -> None:
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    made = [archived(terminal, run), archived(terminal, run), archived(terminal, run, "--to", "elsewhere")]
    today = date.today()
    assert [folder.as_posix() for folder in made] == [
        f"archive/synthetic/archived_v1_{today}__mlp__0",
        f"archive/synthetic/archived_v2_{today}__mlp__0",
        f"elsewhere/synthetic/archived_v1_{today}__mlp__0",
    ]
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    assert [file for file in terminal.left() if "/." in file and ".hydra" not in file] == []


@pytest.mark.slow
def test_what_is_kept_is_what_the_run_has(terminal: Terminal, run: Path) -> None:
    kept = archived(terminal, run)
    names = {file.relative_to(kept).as_posix() for file in kept.rglob("*") if file.is_file()}
    assert names >= {
        ".hydra/config.yaml",
        "SHA256SUMS",
        "checkpoints/best_accuracy.safetensors",
        "checkpoints/last.safetensors",
        "history.csv",
        "manifest.json",
        "summary.txt",
    }
    for name in ("manifest.json", "history.csv", ".hydra/config.yaml"):
        assert (kept / name).read_bytes() == (run / name).read_bytes()
    for line in (kept / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert len(digest) == 64
        names.discard(name)
    assert names == {"SHA256SUMS"}


def test_an_archive_has_the_scores_of_its_run_to_the_bit(terminal: Terminal, run: Path) -> None:
    kept = archived(terminal, run)
    assert terminal.runs("evaluate", str(kept), "--output=scores.json", small=False).status == 0
    found = json.loads(Path("scores.json").read_text())
    assert found["metrics"] == json.loads((run / "manifest.json").read_text())["metrics"]
    assert found["same_as_run"] is True


@pytest.mark.slow
def test_a_changed_byte_is_found(terminal: Terminal, run: Path) -> None:
    for name in ("checkpoints/last.safetensors", ".hydra/config.yaml"):
        kept = archived(terminal, run)
        content = bytearray((kept / name).read_bytes())
        content[-1] ^= 1
        (kept / name).write_bytes(content)
        answer = terminal.runs("evaluate", str(kept), small=False)
        assert answer.status == 2
        assert re.search(rf"{name}:? is damaged: it is not what SHA256SUMS says", answer.err)
        with pytest.raises(Refused, match="is damaged"):
            load_run(kept)
    assert terminal.runs("inspect", str(kept / "checkpoints/best_accuracy.safetensors"), small=False).status == 0
    kept = archived(terminal, run)
    (kept / "checkpoints/last.safetensors").write_bytes(b"x")
    assert terminal.runs("inspect", str(kept), small=False).status == 1


@pytest.mark.slow
def test_nothing_begins_with_a_changed_byte(terminal: Terminal, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever one stands, and whatever reads the file."""
    kept = archived(terminal, run)
    file = kept / "checkpoints/last.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    answer = terminal.runs("check", *CLASSIFIER, f"init_from={file}", small=False)
    assert answer.status == 2
    assert f"init_from={file}: is damaged: it is not what SHA256SUMS says; restore it from a copy" in answer.err
    monkeypatch.chdir(file.parent)
    answer = terminal.runs("inspect", file.name, small=False)
    assert (answer.status, answer.messages[0]) == (
        1,
        f"{file.name}: is damaged: it is not what SHA256SUMS says; restore it from a copy",
    )


@pytest.mark.parametrize("verb", ["report", "diff", "experiment"])
def test_a_changed_history_is_not_told(terminal: Terminal, run: Path, verb: str) -> None:
    kept = archived(terminal, run)
    (kept / "history.csv").write_text((kept / "history.csv").read_text().replace("0.", "1."))
    answer = terminal.runs(verb, str(kept), *([str(run)] if verb != "report" else []), small=False)
    assert answer.status == 2
    assert answer.messages == [f"{kept}/history.csv is damaged: it is not what SHA256SUMS says; restore it from a copy"]


def test_reading_back_compares_with_the_run_itself(terminal: Terminal, run: Path) -> None:
    """Digests alone would not do: they are of what was written."""
    kept = archived(terminal, run)
    weights = [read(file) for file in checkpoints_of(run) if file.stem != "previous"]
    verify(run, kept, weights)
    file = kept / "checkpoints/last.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for other, told in ((kept / "history.csv", b"step\n"), (file, bytes(content))):
        before = other.read_bytes()
        other.write_bytes(told)
        with pytest.raises(Failed, match=f"{other.name} is damaged"):
            verify(run, kept, weights)
        files = [path for path in kept.rglob("*") if path.is_file() and path.name != checksums.NAME]
        (kept / checksums.NAME).write_text(checksums.text_of(kept, files))
        with pytest.raises(Failed, match=f"{other.name} is not what .* has; nothing is kept"):
            verify(run, kept, weights)
        other.write_bytes(before)


def test_an_archive_gives_the_model_of_its_run(terminal: Terminal, run: Path) -> None:
    images = torch.arange(128, dtype=torch.uint8).view(2, 1, 8, 8)
    ours, theirs = load_run(run), load_run(archived(terminal, run))
    assert torch.equal(ours(images), theirs(images))
    assert (ours.step, theirs.step) == (4, 4)


@pytest.mark.slow
def test_a_run_may_begin_with_an_archive(terminal: Terminal, run: Path) -> None:
    kept = archived(terminal, run)
    terminal.trains(*CLASSIFIER, f"init_from={kept}", "hydra.run.dir=next", small=False)
    init = terminal.manifest("next")["init"]
    best = torch.load(run / "checkpoints/best_accuracy.pt", weights_only=True)
    assert (init["path"], init["step"]) == (str(kept.resolve() / "checkpoints/best_accuracy.safetensors"), best["step"])
    assert (init["loaded"], init["kept"]) == (len(best["task"]), [])


@pytest.mark.parametrize("more", [[], ["trainer.steps=8"]])
def test_an_archive_is_not_trained_further(terminal: Terminal, run: Path, more: list[str]) -> None:
    """It has no state to go on from: training would begin anew and write over what is kept."""
    kept = archived(terminal, run)
    answer = terminal.runs("resume", str(kept), *more, small=False)
    assert answer.status == 2
    assert (
        f"is an archive, which has the weights, but not the state of the training; start a new run; init_from={kept}"
        in answer.err
    )
    assert checksums.damaged(kept) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "takes the folder of one run"),
        (["nowhere"], "is not the folder of a run"),
        (["run", "--to"], "--to: needs a value"),
        (["run", "--to", "run/manifest.json"], "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, run: Path, arguments: list[str], told: str) -> None:
    (terminal.folder / "run").symlink_to(run)
    answer = terminal.runs("archive", *arguments, small=False)
    assert answer.status == 2
    assert told in answer.err


def test_a_run_that_did_not_complete_and_an_archive_are_refused(terminal: Terminal, run: Path) -> None:
    kept = archived(terminal, run)
    assert "is an archive already" in terminal.runs("archive", str(kept), small=False).err
    (kept / "SHA256SUMS").unlink()
    (kept / "status.json").write_text(json.dumps({"state": "interrupted", "reason": "", "step": 2}))
    answer = terminal.runs("archive", str(kept), small=False)
    assert answer.status == 2
    assert "is interrupted; python -m runner resume" in answer.err


def test_without_the_package(terminal: Terminal, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.afterwards.archiving.find_spec", lambda _name: None)
    answer = terminal.runs("archive", str(run), small=False)
    assert answer.status == 2
    assert "needs the package safetensors; install runner[safetensors]" in answer.err
    assert terminal.left() == []
