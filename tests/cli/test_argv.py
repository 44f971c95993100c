"""Command lines as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from runner.cli.argv import group_options, is_verb, normalised, of_hydra, parse, sweep_in
from runner.problem import Refused

OPTIONS = {
    "model": {"vgg16": "vgg16", "mynet": "MyNet"},
    "experiment": {"a": "a"},
    "hydra/launcher": {"basic": "basic"},
}


@pytest.mark.parametrize(
    ("argument", "verb"), [("check", True), ("a=b", False), ("-m", False), ("~a", False), ("+a", False)]
)
def test_a_verb_is_a_word(argument: str, verb: bool) -> None:
    assert is_verb(argument) == verb


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("model=VGG16", "model=vgg16"),
        ("model=mynet,Vgg16", "model=MyNet,vgg16"),
        ("model=mynet, VGG16", "model=MyNet,vgg16"),
        ("+model=VGG16", "+model=vgg16"),
        ("model@other=VGG16", "model@other=vgg16"),
        ("model=Unknown", "model=Unknown"),
        ("model.name=VGG16", "model.name=VGG16"),
        ("+experiment=A", "experiment=a"),
        ("experiment=A", "experiment=a"),
        ("hydra/launcher=BASIC", "hydra/launcher=basic"),
        ("trainer.best.f1=max", "++trainer.best.f1=max"),
        ("trainer.best={f1: max}", "++trainer.best={f1: max}"),
        ("+trainer.best.f1=max", "+trainer.best.f1=max"),
        ("trainer.best.near/f1=max", "++trainer.best={near/f1: max}"),
        ("trainer.bestow=1", "trainer.bestow=1"),
        ("~model", "~model"),
        ("seed=0", "seed=0"),
    ],
)
def test_options_in_any_case(written: str, meant: str) -> None:
    assert normalised([written], OPTIONS) == [meant]


def test_flags_in_any_place() -> None:
    args = parse(get_args_parser(), ["seed=0,1", "-m", "x=1", "--config-dir", "d", "y=2"])
    assert (args.overrides, args.multirun, args.config_dir) == (["seed=0,1", "x=1", "y=2"], True, "d")


@pytest.mark.parametrize("flags", [["--foo"], ["-x", "--foo"], ["--config-dir"], ["--config", "x"], ["--cfg", "jobs"]])
def test_flags_that_mean_nothing(flags: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        parse(get_args_parser(), flags)
    assert len(caught.value.problems) == sum(flag in ("-x", "--foo") for flag in flags) or 1


def test_options_are_read_from_folders_and_the_later_folder_adds(tmp_path: Path) -> None:
    for name in ("one/model/A.yaml", "one/config.yaml", "one/hydra/launcher/b.yaml", "two/model/c.yaml", "two/x/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert group_options([tmp_path / "one", tmp_path / "two", tmp_path / "absent"]) == {
        "model": {"a": "A", "c": "c"},
        "hydra/launcher": {"b": "b"},
    }


@pytest.mark.parametrize("name", ["sweep", "lr=0.1,0.2", "a=b"])
def test_the_folder_of_a_sweep_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    (Path(name) / "sweep.json").write_text("{}")
    command = of_hydra([name, "hydra.launcher.n_jobs=2"])
    assert sweep_in(command) == Path(name)
    assert command.args.overrides == ["hydra.launcher.n_jobs=2"]


def test_another_folder_is_no_sweep_and_stays(tmp_path: Path) -> None:
    command = of_hydra([str(tmp_path), "a=b"])
    assert sweep_in(command) is None
    assert command.args.overrides == [str(tmp_path), "a=b"]
