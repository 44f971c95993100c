"""Everything wrong is said before work starts: key, value and remedy; exit 2, no traceback, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli.terminal import Answer, Terminal

MINE = ["~model.hidden", "~model.dropout"]


def refused(terminal: Terminal, *arguments: str, small: bool = True, messages: int = 1) -> Answer:
    """The answer to a command that must be refused properly."""
    before = terminal.left()
    answer = terminal.runs(*arguments, small=small)
    assert answer.status == 2, answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert len(answer.messages) == messages, answer.err
    assert len(answer.err.splitlines()) == messages or answer.table, answer.err
    assert terminal.left() == before
    return answer


WRONG = [
    # options and keys that are not there, with the closest name
    (["model=vgg17"], ["model=vgg17", "no such option", "did you mean vgg16?"]),
    (["model="], ["model=", "no such option", "alexnet"]),
    (["+experiment=cifar10_vgg17"], ["experiment=cifar10_vgg17", "did you mean cifar10_vgg16?"]),
    (["debug=overfitt"], ["debug=overfitt", "did you mean overfit?"]),
    (["metrics=acuracy"], ["metrics=acuracy", "did you mean accuracy?"]),
    (["metrics=[acuracy]"], ["metrics=acuracy", "did you mean accuracy?"]),
    (["logger=[console,cvs]"], ["logger=cvs", "did you mean csv?"]),
    (["hydra/launcher=basik"], ["hydra/launcher=basik", "did you mean basic?"]),
    (["modle=vgg16"], ["modle", "no such setting", "did you mean model?"]),
    (["laout=by_dataset"], ["laout", "no such setting", "did you mean layout?"]),
    (["trainer.epoch=5"], ["trainer.epoch", "no such setting", "did you mean trainer.epochs?"]),
    (["optimizer.lrr=1"], ["optimizer.lrr", "no such setting", "did you mean optimizer.lr?"]),
    # settings of options that were not chosen
    (
        ["trajectory.every_steps=10"],
        ["trajectory.every_steps", "choose trajectory=<option> first (epochs, log, steps)"],
    ),
    (["stopping.early.mode=max"], ["stopping.early", "choose stopping=early first"]),
    (["logger=[csv]", "logger.mlflow.wait_s=3"], ["logger.mlflow", "add mlflow to logger"]),
    (["--config-name=nope"], ["--config-name=nope"]),
    # types
    (["trainer.epochs=abc"], ["trainer.epochs=abc", "must be a number"]),
    (["trainer.batch_size=4.5"], ["trainer.batch_size=4.5", "must be a whole number"]),
    (["seed=null"], ["seed", "must be a whole number"]),
    (["debug.train_only=maybe"], ["debug.train_only=maybe", "must be true or false"]),
    (["trainer.best=3"], ["trainer.best=3", "must be"]),
    (["model=null"], ["model=null"]),
    # the command line itself
    (["--foo"], ["--foo", "no such flag"]),
    (["-x"], ["-x", "no such flag"]),
    (["--config", "x"], ["--config"]),
    (["--experimental-rerun", "x"], ["--experimental-rerun"]),
    (["-c", "jobb"], ["jobb"]),
    (["vgg16"], ["vgg16", "write key=value"]),
    (["optimizer.lr=[1"], ["optimizer.lr=[1"]),
    (["seed=0,1"], ["seed=0,1", "for a sweep add -m"]),
    (["--config-path=nowhere"], ["--config-path=nowhere", "is not the .hydra folder of a run"]),
    (["--config-dir=nowhere"], ["--config-dir=nowhere", "there is no such folder"]),
    # one of each kind that preflight finds; tests/preflight has the others
    (["+trainer.epoch=5"], ["trainer.epoch", "did you mean trainer.epochs?"]),
    (["model._target_=runner.models.MPL"], ["model._target_=runner.models.MPL", "did you mean MLP?"]),
    (["+model.hiden=[3]"], ["model.hiden=[3]", "takes no such argument", "did you mean hidden?"]),
    (["+optimizer.weight_decai=1"], ["optimizer.weight_decai=1", "did you mean weight_decay?"]),
    (["model._target_=cli.user_code.WrongShape", *MINE], ["2x64 and 7x10", "user_code.py:"]),
    (["loss=mse"], ["MSELoss compares images", "set loss=cross_entropy, nll, bce or focal"]),
    (["trainer.device=cuda:99"], ["trainer.device=cuda:99", "CUDA devices"]),
    (["trainer.batch_size=9"], ["trainer.batch_size=9", "8 samples", "at most 8"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "fragments"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_one_mistake_gives_one_message(terminal: Terminal, arguments: list[str], fragments: list[str]) -> None:
    (message,) = refused(terminal, *arguments).messages
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 600  # all options of a group are listed
    assert "Config search path" not in message
    assert "site-packages" not in message


@pytest.mark.parametrize(
    ("verb", "remedy"), [("frobnicate", "is neither a verb nor an override"), ("modle", "did you mean model?")]
)
def test_an_unknown_verb(terminal: Terminal, verb: str, remedy: str) -> None:
    (message,) = refused(terminal, verb, small=False).messages
    assert verb in message
    assert remedy in message


@pytest.mark.slow
def test_a_missing_value(terminal: Terminal) -> None:
    (message,) = refused(terminal, "dataset=image_folder", small=False).messages
    assert message == "dataset.root=???: has no value; set dataset.root=<value>"


def photos(root: Path, **classes: int) -> Path:
    """Class folders of images, which all say different things."""
    from PIL import Image

    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (9, 9), (number, 20, 30)).save(root / name / f"{number}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["absent", "empty", "an empty class", "broken", "cut off"])
def test_a_data_folder_that_cannot_be_used(terminal: Terminal, kind: str) -> None:
    root = terminal.folder / "photos"
    if kind == "empty":
        root.mkdir()
    elif kind != "absent":
        photos(root, **{"an empty class": {"cats": 3, "dogs": 0}}.get(kind, {"a": 9, "b": 9}))
    if kind == "broken":
        (root / "b" / "3.png").write_bytes(b"this is no image")
    elif kind == "cut off":
        whole = (root / "b" / "3.png").read_bytes()
        (root / "b" / "3.png").write_bytes(whole[: len(whole) // 2])
    fragment = {
        "absent": "is not a folder",
        "empty": "at least two class folders, got 0",
        "an empty class": "holds a class folder without images: photos/dogs",
    }.get(kind, "holds a broken image: photos/b/3.png")
    answer = refused(terminal, "dataset=image_folder", "dataset.root=photos", "model=mlp", small=False)
    assert answer.messages[0].startswith("dataset.root=photos: ")
    assert fragment in answer.messages[0]


@pytest.mark.slow
def test_an_output_folder_below_a_file(terminal: Terminal) -> None:
    """Nobody can write there, root included."""
    (terminal.folder / "file").write_text("")
    (message,) = refused(terminal, "hydra.run.dir=file/run").messages
    assert message.startswith("hydra.run.dir=file/run: ")
    assert "choose another folder" in message
    (row,) = refused(terminal, "hydra.sweep.dir=file/sweep", "seed=0,1", "-m").table
    assert (row["jobs"], row["key"], row["value"]) == ("all (2)", "hydra.sweep.dir", "file/sweep")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that takes no folders")
def test_an_output_folder_where_the_system_takes_none(terminal: Terminal) -> None:
    (message,) = refused(terminal, "hydra.run.dir=/proc/run").messages
    assert message.startswith("hydra.run.dir=/proc/run: cannot be ")


@pytest.mark.slow
def test_an_output_folder_that_is_a_file(terminal: Terminal) -> None:
    (terminal.folder / "run").write_text("")
    (message,) = refused(terminal, "hydra.run.dir=run").messages
    assert message == "hydra.run.dir=run: is a file; choose another folder"


def test_all_mistakes_are_told_at_once(terminal: Terminal) -> None:
    """Whichever way they are found: by the schema, by reading, by importing, by trying."""
    wrong = [
        "trainer.precision=fp8",
        "trainer.micro_batches=0",
        "+model.hiden=[3]",
        "+optimizer.weight_decai=1",
        "+foo=1",
    ]
    found = refused(terminal, *wrong, messages=5).err
    for fragment in ("trainer.precision=fp8", "trainer.micro_batches=0", "model.hiden", "weight_decai", "foo=1"):
        assert fragment in found


@pytest.mark.slow
def test_what_is_found_by_trying_is_told_with_what_is_found_by_reading(terminal: Terminal) -> None:
    found = refused(terminal, "trainer.device=cuda:99", "trainer.batch_size=9", "+model.hiden=[3]", messages=3).err
    for fragment in ("trainer.device=cuda:99", "trainer.batch_size=9", "model.hiden"):
        assert fragment in found


@pytest.mark.slow
def test_what_does_not_compose_is_told_all_at_once_too(terminal: Terminal) -> None:
    found = refused(terminal, "trainer.epoch=5", "optimizer.lrr=1", "augmentation=crop_flop", messages=3).err
    for fragment in ("trainer.epochs", "optimizer.lr", "crop_flip"):
        assert fragment in found


class TestTraceback:
    """``RUNNER_TRACEBACK=1`` shows where an error came from, and changes nothing else."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "arguments",
        [["trainer.epoch=5"], ["model._target_=cli.user_code.WrongShape", *MINE], ["loss=mse"]],
        ids=lambda arguments: arguments[0],
    )
    def test_is_shown_on_request(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        without = refused(terminal, *arguments)
        monkeypatch.setenv("RUNNER_TRACEBACK", "1")
        answer = terminal.runs(*arguments)
        assert answer.status == 2
        assert "Traceback (most recent call last)" in answer.err
        assert answer.messages == without.messages
        assert terminal.left() == []


class TestSweeps:
    """One wrong job stops all of them before the first one starts, and is named."""

    @pytest.mark.slow
    def test_a_mistake_in_one_job_names_the_job(self, terminal: Terminal) -> None:
        answer = refused(terminal, "trainer.device=cpu,cuda:99", "-m")
        assert answer.messages == ["1 of 2 jobs cannot run as they are, so none was started"]
        (row,) = answer.table
        assert row["jobs"].startswith("mlp__0__device=cuda")
        assert (row["key"], row["value"]) == ("trainer.device", "cuda:99")

    @pytest.mark.slow
    def test_seeds_do_not_repeat_a_mistake(self, terminal: Terminal) -> None:
        assert refused(terminal, "seed=0,1,2", "+model.hiden=[3]", "-m").table == [
            {
                "jobs": "all (3)",
                "key": "model.hiden",
                "value": "[3]",
                "what is wrong": "runner.models.MLP takes no such argument",
                "remedy": "did you mean hidden?",
            }
        ]

    @pytest.mark.slow
    def test_an_option_that_only_one_job_has(self, terminal: Terminal) -> None:
        """What does not compose is told with what is found in the jobs that do."""
        answer = refused(terminal, "optimizer=adam,sgdd", "trainer.batch_size=4,9", "seed=0,1,2", "-m")
        assert answer.messages == ["9 of 12 jobs cannot run as they are, so none was started"]
        first, second = answer.table
        assert first["jobs"] == ", ".join(
            f"trainer.batch_size={size} optimizer=sgdd seed=0 … trainer.batch_size={size} optimizer=sgdd seed=2 (3)"
            for size in (4, 9)
        )
        assert (first["key"], first["value"]) == ("optimizer", "sgdd")
        assert first["remedy"].startswith("did you mean sgd?")
        assert (second["key"], second["value"]) == ("trainer.batch_size", "9")
        assert re.fullmatch(r"mlp__0\S* … mlp__2\S* \(3\)", second["jobs"])

    @pytest.mark.slow
    def test_two_jobs_with_one_folder(self, terminal: Terminal) -> None:
        (message,) = refused(terminal, "seed=0,0", "-m").messages
        assert "two jobs would share the folder mlp__0; sweep no value twice" in message
        assert "MLP" not in refused(terminal, "model=mlp,MLP", "-m").err

    @pytest.mark.slow
    def test_another_sweeper(self, terminal: Terminal) -> None:
        (message,) = refused(terminal, "hydra/sweeper=basic", "seed=0,1", "-m").messages
        assert "hydra/sweeper must be runner" in message


@pytest.mark.slow
class TestTakenFolders:
    """No run is ever overwritten."""

    def test_a_finished_run_is_not_run_again(self, terminal: Terminal) -> None:
        terminal.trains("hydra.run.dir=run")
        digest = terminal.manifest("run")["weights_sha256"]
        (message,) = refused(terminal, "hydra.run.dir=run").messages
        assert message.startswith("hydra.run.dir=run: already holds this run (completed)")
        (message,) = refused(terminal, "hydra.run.dir=run", "optimizer.lr=0.5").messages
        assert "holds a run with another configuration: optimizer.lr: 0.001 there, 0.5 here" in message
        assert terminal.manifest("run")["weights_sha256"] == digest

    def test_the_jobs_of_a_finished_sweep_of_another_configuration(self, terminal: Terminal) -> None:
        terminal.trains("hydra.sweep.dir=sweep", "-m")
        (row,) = refused(terminal, "hydra.sweep.dir=sweep", "seed=0,1", "optimizer.lr=0.5", "-m").table
        assert row["jobs"] == "mlp__0"

    def test_a_run_that_kept_no_configuration(self, terminal: Terminal) -> None:
        terminal.trains("hydra.run.dir=run", "hydra.output_subdir=null")
        refused(terminal, "hydra.run.dir=run", "hydra.output_subdir=null", "optimizer.lr=0.5")

    @pytest.mark.parametrize("content", ["", ": : ["])
    def test_a_folder_whose_configuration_cannot_be_read(self, terminal: Terminal, content: str) -> None:
        (terminal.folder / "run" / ".hydra").mkdir(parents=True)
        (terminal.folder / "run" / ".hydra" / "config.yaml").write_text(content)
        (message,) = refused(terminal, "hydra.run.dir=run").messages
        assert "choose another folder" in message
