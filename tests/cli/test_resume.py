"""``resume``: a run goes on in its folder, as if nothing had happened, or says why it cannot."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.terminal import SMALL, Answer, Terminal, close_logs
from omegaconf import OmegaConf

from runner.cli.main import main
from runner.lock import held
from runner.results.parting import WALL_CLOCK

MINE = ["~model.hidden", "~model.dropout"]
CADENCE = ["trainer.evaluate_every_steps=2", "trainer.save_every_steps=2", "trainer.log_every_steps=1"]
LONG = ["trainer.steps=8", *CADENCE, "logger=[csv]", "augmentation=crop_flip", "model.dropout=0.5", "model.hidden=[8]"]
CTRL_C = "+logger.mine={_target_: cli.user_code.PressesCtrlC, step: 5}"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of 8 steps: "whole", and "run", which was interrupted after its fifth."""
    folder = tmp_path_factory.mktemp("kept")
    assert main([*SMALL, *LONG, f"hydra.run.dir={folder / 'whole'}"]) == 0
    assert main([*SMALL, *LONG, f"hydra.run.dir={folder / 'run'}", CTRL_C]) == 130
    close_logs()
    return folder


@pytest.fixture
def broken(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal in whose folder those runs lie."""
    for name in ("whole", "run"):
        shutil.copytree(kept / name, terminal.folder / name)
    return terminal


def resumed(terminal: Terminal, *arguments: str, run: str = "run", status: int = 0) -> Answer:
    answer = terminal.runs("resume", run, *arguments, small=False)
    assert answer.status == status, answer.err
    return Answer(answer.status, answer.out, answer.err.replace(f"{terminal.folder}/", ""))


def refused(terminal: Terminal, *arguments: str) -> list[str]:
    """The messages of a command that must change nothing."""
    before = tree(terminal.folder)
    answer = terminal.runs("resume", *arguments, small=False)
    assert (answer.status, "results" in answer.out) == (2, False)
    assert tree(terminal.folder) == before
    return answer.messages


def tree(folder: Path) -> dict[str, bytes | None]:
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{key: row[key] for key in row if key not in WALL_CLOCK} for row in csv.DictReader(file)]


def left(run: Path) -> dict[str, Any]:
    """All that a run leaves that is not a time or a path."""
    manifest = json.loads((run / "manifest.json").read_text())
    status = json.loads((run / "status.json").read_text())
    numbers = ("metrics", "best", "weights_sha256", "initial_weights_sha256", "first_batch_sha256", "evaluations")
    return {
        "manifest": {key: manifest[key] for key in numbers},
        "status": {key: status[key] for key in ("state", "step", "reason")},
        "digests": (run / "digests.jsonl").read_text(),
        "history": rows(run / "history.csv"),
        "steps": rows(run / "steps.csv"),
        "checkpoint": plain(torch.load(run / "checkpoints/last.pt", weights_only=True)["parts"]),
    }


def plain(value: Any) -> Any:
    """With bytes for tensors."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def same(terminal: Terminal, run: str = "run", whole: str = "whole") -> None:
    one, other = left(terminal.folder / run), left(terminal.folder / whole)
    assert [key for key in one if one[key] != other[key]] == []


def test_an_interrupted_run_ends_as_an_uninterrupted_one(broken: Terminal) -> None:
    assert (broken.status("run")["state"], broken.status("run")["step"]) == ("interrupted", 5)
    answer = resumed(broken, "~logger.mine")
    assert "results: run" in answer.out
    assert answer.err == ""
    same(broken)
    first, second = broken.manifest("run")["sessions"]
    assert (first["first_step"], second["first_step"]) == (0, 5)
    assert second["argv"][1:] == ["resume", "run", "~logger.mine"]
    assert list(second["changed"]) == [key for key in second["changed"] if key.startswith("config.logger.mine")] != []


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_from_the_checkpoint_before_when_the_last_is_damaged_or_gone(broken: Terminal, damaged: bool) -> None:
    last = broken.folder / "run/checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:-1]) if damaged else last.unlink()
    answer = resumed(broken, "~logger.mine")
    assert broken.manifest("run")["sessions"][1]["first_step"] == 4
    if damaged:
        assert "WARNING: run/checkpoints/last.pt is not a checkpoint, or not a whole one" in answer.err
        assert "last.pt was set aside; going on from run/checkpoints/previous.pt, step 4" in answer.err
        assert "was set aside" in (broken.folder / "run/runner.log").read_text()
    same(broken)


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(broken: Terminal) -> None:
    """Killed: it says that it is running, and its files may end anywhere."""
    run = broken.folder / "run"
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.unlink()
    (run / "checkpoints/.last.pt.4711").write_bytes(b"half of it")
    (run / "status.json").write_text('{"state": "running", "reason": "", "step": 0}')
    with (run / "history.csv").open("a") as file:
        file.write("6,1.")
    resumed(broken, "~logger.mine")
    assert broken.manifest("run")["sessions"][1]["first_step"] == 0
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["last.pt", "previous.pt"]
    same(broken)


@pytest.mark.slow
def test_a_failed_run_goes_on_when_the_cause_is_gone(terminal: Terminal) -> None:
    given = [*SMALL, *LONG[:-2], "model._target_=cli.user_code.ReadsAFile", *MINE]
    (terminal.folder / "lookup.txt").write_text("")
    terminal.trains(*given, "hydra.run.dir=whole", small=False)
    (terminal.folder / "lookup.txt").unlink()
    answer = terminal.runs(*given, "hydra.run.dir=run", small=False)
    assert answer.status == 1
    said = answer.err.replace(f"{terminal.folder}/", "")
    assert "No such file or directory: 'lookup.txt'; the last good state is run/checkpoints/last.pt" in said
    assert "when the cause is gone, go on with: python -m runner resume run" in said
    (terminal.folder / "lookup.txt").write_text("")
    resumed(terminal)
    assert terminal.manifest("run")["sessions"][1]["first_step"] == 2
    same(terminal)


@pytest.mark.slow
def test_a_larger_budget_extends_a_run_to_the_bit(broken: Terminal) -> None:
    """The schedule of this one does not depend on the length."""
    first = broken.manifest("whole")
    resumed(broken, "trainer.steps=12", run="whole")
    assert broken.status("whole") | {"updated": ""} == {"state": "completed", "reason": "", "step": 12, "updated": ""}
    resumed(broken, "~logger.mine", "trainer.steps=12")
    same(broken)
    manifest = broken.manifest("whole")
    assert manifest["sessions"][1]["changed"]["config.trainer.steps"] == [8, 12]
    assert (manifest["steps"], manifest["initial_weights_sha256"]) == (12, first["initial_weights_sha256"])
    assert manifest["weights_sha256"] != first["weights_sha256"]
    resumed(broken, "trainer.epochs=6", run="run")  # epochs count, though the run was started with steps
    assert broken.status("run")["step"] == 12
    # What its folder says now is what it is: an uninterrupted run of 12 steps.
    saved = OmegaConf.load(broken.folder / "whole/.hydra/config.yaml")
    assert saved.trainer.steps == 12
    overrides = OmegaConf.load(broken.folder / "whole/.hydra/overrides.yaml")
    assert "trainer.steps=8" in overrides
    assert list(overrides)[-1] == "trainer.steps=12"
    broken.trains("--config-path", "whole/.hydra", "hydra.run.dir=again", small=False)
    same(broken, "again", "whole")


def test_a_complete_run_is_left_alone(broken: Terminal) -> None:
    before = tree(broken.folder)
    answer = resumed(broken, run="whole")
    assert answer.out == "whole is complete, at step 8; trainer.epochs=<more> extends it\n"
    assert tree(broken.folder) == before


def test_a_complete_run_has_nothing_to_do_with_settings_that_change_no_bits(broken: Terminal) -> None:
    before = tree(broken.folder)
    for settings in (["trainer.workers=1", "~logger.csv"], ["logger=console", "hydra.verbose=true"]):
        assert resumed(broken, *settings, run="whole").out.startswith("whole is complete, at step 8")
    assert tree(broken.folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("settings", [["trainer.resident=never", "trainer.workers=1"], ["trainer.save_every_s=0.001"]])
def test_settings_that_change_no_bits_may_be_given(broken: Terminal, settings: list[str]) -> None:
    resumed(broken, "~logger.mine", *settings)
    same(broken)


@pytest.mark.slow
def test_the_threads_of_before_are_used_where_the_configuration_leaves_them_open(broken: Terminal) -> None:
    for name, given, expected in (("whole", ["trainer.steps=9"], 2), ("run", ["~logger.mine", "trainer.threads=3"], 3)):
        path = broken.folder / name / "manifest.json"
        path.write_text(json.dumps(broken.manifest(name) | {"threads": 2}))
        resumed(broken, *given, run=name)
        assert broken.manifest(name)["threads"] == expected
    assert torch.get_num_threads() == 1


@pytest.mark.slow
def test_a_folder_with_an_equals_sign_in_its_name_is_a_folder(broken: Terminal) -> None:
    """As the jobs of a sweep over another key have."""
    (broken.folder / "whole").rename(broken.folder / "mlp__0__lr=0.1")
    assert resumed(broken, run="mlp__0__lr=0.1").out.startswith("mlp__0__lr=0.1 is complete")
    resumed(broken, "trainer.steps=9", run="mlp__0__lr=0.1")
    assert broken.status("mlp__0__lr=0.1")["step"] == 9


class TestRefused:
    """Exit 2, with what to do about it; nothing is written."""

    @pytest.mark.slow
    def test_keys_on_which_the_numbers_depend(self, broken: Terminal) -> None:
        remedy = "start a new run; init_from=run takes over the weights"
        assert refused(broken, "run", "seed=1", "optimizer.lr=0.5", "trainer.workers=1") == [
            f"seed=1: cannot change while a run is under way (it has 0); {remedy}",
            f"optimizer.lr=0.5: cannot change while a run is under way (it has 0.001); {remedy}",
        ]

    @pytest.mark.slow
    def test_they_do_not_help_a_complete_run_either(self, broken: Terminal) -> None:
        (message,) = refused(broken, "whole", "seed=1", "trainer.workers=1")
        assert message == "resume whole: is complete, seed=1 would change nothing; trainer.epochs=<more> extends it"
        (message,) = refused(broken, "whole", "seed=1", "trainer.steps=12")
        assert message.startswith("seed=1: cannot change while a run is under way (it has 0)")

    @pytest.mark.slow
    def test_a_device_on_which_the_precision_is_another(
        self, broken: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anything is lost: a complete run keeps its scores, and nothing is said of going on."""
        monkeypatch.setattr("runner.precision.resolve", lambda name, _: "bf16" if name == "auto" else name)
        (message,) = refused(broken, "whole", "trainer.steps=9")
        text = "trainer.precision=auto: means bf16 on cpu, but the run is trained in fp32; set trainer.precision=fp32"
        assert message == text
        assert "schedule" not in broken.runs("resume", "whole", "trainer.steps=9", small=False).out
        assert "schedule" in resumed(broken, "trainer.steps=9", "trainer.precision=fp32", run="whole").out
        assert broken.status("whole")["step"] == 9
        assert broken.manifest("whole")["sessions"][1]["changed"]["config.trainer.precision"] == ["auto", "fp32"]

    @pytest.mark.slow
    def test_a_smaller_budget(self, broken: Terminal) -> None:
        assert refused(broken, "run", "trainer.steps=4") == [
            "trainer.steps=4: is less than what the run has trained (5 steps, 2.5 epochs); "
            "set trainer.steps to more, or leave it out"
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["run", "-m"], "--multirun: has no meaning for resume; leave it out"),
            (["run", "--cfg", "job"], "--cfg: has no meaning for resume; leave it out"),
            ([], "resume: takes the folder of one run, got none; python -m runner resume RUN [key=value ...]"),
            (["run", "whole"], "resume: takes the folder of one run, got run, whole; python -m runner resume RUN"),
            (["nowhere"], "resume nowhere: is not the folder of a run: there is no such folder"),
            (["run/checkpoints"], "resume run/checkpoints: is not the folder of a run: it has no .hydra/config.yaml"),
            (["."], "resume .: holds 2 runs (run, whole); name one of them"),
            (["run", "optimizer.lrr=1"], "optimizer.lrr: there is no such setting; did you mean optimizer.lr?"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_commands_that_mean_nothing(self, broken: Terminal, arguments: list[str], message: str) -> None:
        (said,) = refused(broken, *arguments)
        assert said.startswith(message)

    def test_a_verb_that_was_misspelt(self, broken: Terminal) -> None:
        answer = broken.runs("resum", "run", small=False)
        assert (answer.status, len(answer.messages)) == (2, 1)
        assert answer.messages[0].endswith("did you mean resume?")

    @pytest.mark.slow
    def test_only_damaged_checkpoints(self, broken: Terminal) -> None:
        for path in (broken.folder / "run/checkpoints").iterdir():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 4
            path.write_bytes(content)
        (message,) = refused(broken, "run", "~logger.mine")
        damaged = "run/checkpoints/{}.pt is damaged: it is not what was written"
        assert message == (
            f"resume=run: no checkpoint is sound: {damaged.format('last')}; {damaged.format('previous')}; "
            "restore one of the files from a copy, or start a new run"
        )

    @pytest.mark.slow
    def test_other_data(self, broken: Terminal) -> None:
        """Nothing of a complete run is lost by asking."""
        manifest = broken.manifest("whole")
        manifest["data"]["sha256"] = "0" * 64
        (broken.folder / "whole/manifest.json").write_text(json.dumps(manifest))
        (message,) = refused(broken, "whole", "trainer.steps=9")
        assert message.startswith("dataset: the data are not those that the run was trained on: ")

    @pytest.mark.slow
    def test_a_run_that_another_process_trains(self, broken: Terminal) -> None:
        with another_process_in(broken.folder / "run") as pid:
            (message,) = refused(broken, "run", "~logger.mine")
        assert message.startswith(f"resume=run: is in use by process {pid} on ")
        resumed(broken, "~logger.mine")

    @pytest.mark.slow
    def test_starting_where_another_process_is(self, broken: Terminal) -> None:
        (broken.folder / "new").mkdir()
        with another_process_in(broken.folder / "new") as pid:
            answer = broken.runs(*LONG, "hydra.run.dir=new")
        assert answer.status == 2
        assert f"new: is in use by process {pid} on " in answer.err
        assert not (broken.folder / "new/.hydra").exists()


@contextmanager
def another_process_in(folder: Path) -> Iterator[int]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def hold() -> None:
        with held(folder):
            there.send("held")
            there.recv()

    process = context.Process(target=hold)
    process.start()
    try:
        assert here.recv() == "held"
        assert process.pid is not None
        yield process.pid
    finally:
        here.send("enough")
        process.join()


@pytest.mark.slow
def test_early_stopping_ends_a_run_and_it_stays_ended(terminal: Terminal) -> None:
    early = ["stopping=early", "stopping.early.patience_evaluations=2", "stopping.early.min_delta=9"]
    terminal.trains(*LONG, *early, "hydra.run.dir=run")
    status, reason = terminal.status("run"), "is no better than "
    assert (status["state"], status["step"]) == ("completed", 6)
    assert status["reason"].startswith(f"valid/loss {reason}")
    assert [row["step"] for row in rows(terminal.folder / "run/history.csv")] == ["2", "4", "6"]
    answer = resumed(terminal)
    assert answer.out == f"run is complete, ended at step 6: {status['reason']}\n"
    (message,) = refused(terminal, "run", "trainer.steps=20")
    assert message.startswith(f"trainer.steps=20: is more, but a rule ended the training: {status['reason']}; start a")


@pytest.mark.slow
def test_a_checkpoint_by_the_clock(broken: Terminal) -> None:
    """Far from any cadence there is one of each step, and the bits are the same."""
    seldom = [*LONG, "trainer.save_every_steps=1000"]
    for name, seconds, expected in (("often", "0.000001", 7), ("never", "null", None)):
        broken.trains(*seldom, f"trainer.save_every_s={seconds}", f"hydra.run.dir={name}")
        previous = broken.folder / name / "checkpoints/previous.pt"
        assert (torch.load(previous, weights_only=True)["step"] if previous.exists() else None) == expected
        same(broken, name)


@pytest.mark.slow
def test_a_disk_that_fills_up(broken: Terminal) -> None:
    """The run stops with the last good checkpoint intact and says so; with room again it ends as it would have."""
    wide = [*LONG[:-1], "model.hidden=[2000]"]
    broken.trains(*wide, "hydra.run.dir=wide")
    assert broken.runs(*wide, CTRL_C, "hydra.run.dir=full").status == 130
    checkpoints = broken.folder / "full/checkpoints"
    before = tree(checkpoints)
    assert min(len(content or b"") for content in before.values()) > 1_000_000
    with file_size_limit(600_000):
        answer = resumed(broken, "~logger.mine", run="full", status=1)
    assert answer.messages[-1].startswith("full failed: full/checkpoints/last.pt could not be written at step 6: File")
    assert (
        "; the last good state is full/checkpoints/last.pt, of step 5; when the cause is gone, go on with: "
        in (answer.messages[-1])
    )
    assert "python -m runner resume full" in answer.messages[-1]
    assert tree(checkpoints) == before
    assert broken.status("full")["state"] == "failed"
    resumed(broken, run="full")
    same(broken, "full", "wide")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """This process can write no file beyond ``size`` bytes; Python leaves it at an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WATCHED = [*SMALL, *LONG, "logger=[csv,tensorboard,images,console]", "trainer.steps=400", "trainer.save_every_steps=3"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched") / "whole"
    assert main([*WATCHED, f"hydra.run.dir={folder}"]) == 0
    close_logs()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 60_000, 90_000])
def test_a_disk_that_fills_up_anywhere(terminal: Terminal, watched: Path, limit: int) -> None:
    """With all who look on: whatever file it was, the run fails with a message, and can go on.

    In a process of its own: the manifest names all modules that are loaded, which here are those of other tests, too.
    """
    done = subprocess.run(
        [sys.executable, "-m", "runner", *WATCHED, "hydra.run.dir=run"],
        cwd=terminal.folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stderr.replace(f"{terminal.folder}/", "")
    assert "File too large" in said
    assert "the last good state is run/checkpoints/last.pt" in said
    assert "go on with: python -m runner resume run" in said
    resumed(terminal)
    one, other = left(terminal.folder / "run"), left(watched)
    assert [key for key in one if one[key] != other[key]] == []


@pytest.mark.slow
def test_two_commands_at_once_with_one_folder(tmp_path: Path) -> None:
    """Exactly one trains; the other is refused, and the folder is the winner's alone."""
    for attempt in range(2):
        racers = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "runner",
                    *SMALL,
                    "trainer.steps=50",
                    f"seed={seed}",
                    f"hydra.run.dir={attempt}",
                ],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for seed in (0, 1)
        ]
        said = [racer.communicate() for racer in racers]
        assert sorted(racer.returncode for racer in racers) == [0, 2], said
        winner = next(seed for seed in (0, 1) if racers[seed].returncode == 0)
        assert "choose another folder" in said[1 - winner][1]
        run = tmp_path / str(attempt)
        manifest = json.loads((run / "manifest.json").read_text())
        assert (manifest["seed"], manifest["status"], len(manifest["sessions"])) == (winner, "completed", 1)
        assert OmegaConf.load(run / ".hydra/config.yaml").seed == winner
        assert f"seed={winner}" in OmegaConf.load(run / ".hydra/overrides.yaml")
