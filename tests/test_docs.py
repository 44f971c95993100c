"""Pages that say what is so."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from runner.cli.argv import group_options, normalised
from runner.config import reference
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.preflight import Job, check
from runner.run import run

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "examples" / "own" / "conf"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = ["dataset=synthetic", "dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4", "trainer.steps=2"]
SHORT = [*SMALL, "trainer.batch_size=4", "trainer.log_every_steps=1", "model=mlp", "model.hidden=[8]"]


@contextmanager
def shipped() -> Iterator[None]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    with shipped():
        return compose("config", overrides=list(overrides))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_reference_of_settings_is_not_stale() -> None:
    fresh = "python -m runner.config.reference > docs/config.md"
    assert page("config.md") == reference.text(), f"write it anew: {fresh}"


def test_the_reference_knows_every_setting_and_option() -> None:
    text = page("config.md")
    assert "`trainer.micro_batches` | whole number | `1` |" in text
    assert "`trainer.clip_norm` | number or null | `null` |" in text
    for file in conf_dir().glob("*/*.yaml"):
        if file.parent.name not in ("trainer", "hydra"):
            assert f"../conf/{file.parent.name}/{file.name}" in text


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
        assert (file.parent / link).exists(), link


def commands(files: Iterable[Path]) -> Iterator[list[str]]:
    """The arguments of every ``python -m runner …``."""
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            found = re.search(r"python -m runner(?![.\w])([^`]*)", line)
            if found is not None:
                yield shlex.split(found[1], comments=True)


OF_VERBS = ("-", "checkpoint=", "device=", "from_lr=", "to_lr=", "steps=", "margin_fraction=")
REFERENCE = ROOT / "docs" / "config.md"  # its hundred commands take half a minute


@pytest.mark.parametrize(
    ("files", "at_least"),
    [
        pytest.param([*(page for page in PAGES if page != REFERENCE), *OWN.glob("*/*.yaml")], 18, id="pages"),
        pytest.param([REFERENCE], 70, id="reference", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_commands_compose(files: list[Path], at_least: int) -> None:
    options = group_options([conf_dir(), OWN])
    parser = OverridesParser.create()
    asked = []
    with shipped():
        for words in commands(files):
            overrides = [word for word in words if "=" in word and not word.startswith(OF_VERBS)]
            if "--config-path" in words or not overrides:
                continue
            sweeps = [override.is_sweep_override() for override in parser.parse_overrides(overrides)]
            assert any(sweeps) == ("-m" in words), words
            overrides = [re.sub(r"=(tag|interval|int|range)\(.*", "=1", word) for word in overrides]
            overrides = [re.sub(r"=([^,\[{]+),.*", r"=\1", word) for word in normalised(overrides, options)]
            asked.append(overrides)
        for overrides in side_by_side(asked):
            compose("config", overrides=[*overrides, f"hydra.searchpath=[file://{OWN}]"])
    assert len(asked) >= at_least


ALONE = ("task", "experiment", "debug", "hydra", "hydra/launcher", "hydra/sweeper")  # they bring values for others
GROUPS = tuple(folder.name for folder in conf_dir().iterdir() if folder.is_dir())


def side_by_side(asked: Iterable[list[str]]) -> Iterator[list[str]]:
    """Fewer compositions, half a second each: commands about different groups, and different settings, are made one."""
    rows: list[dict[str, list[str]]] = []
    for overrides in asked:
        keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
        places = {re.split("[.@]", key)[0] for key in keys}
        if places & set(ALONE):
            yield overrides
            continue
        keys = {place for place in places if place in GROUPS} | {key for key in keys if key.split(".")[0] not in GROUPS}
        row = next((row for row in rows if not keys & set(row)), None)
        if row is None:
            rows.append(row := {})
        row.update({key: [] for key in keys} | {min(keys): overrides})
    for row in rows:
        yield [override for overrides in row.values() for override in overrides]


def test_commands_side_by_side_are_all_there_and_none_changes_another() -> None:
    asked = [["model=lenet"], ["task=gan"], ["loss=mse", "loss.x=1"], ["model=mlp"], ["model.y=2", "loss=mse"]]
    asked += [["trainer.steps=1"], ["trainer.steps=2", "trainer.epochs=null"], ["seed=1"]]
    first = ["model=lenet", "loss=mse", "loss.x=1", "trainer.steps=1", "seed=1"]
    rows = [first, ["model=mlp", "trainer.steps=2", "trainer.epochs=null"], ["model.y=2", "loss=mse"]]
    found = list(side_by_side(asked))
    assert found[0] == ["task=gan"]
    assert [sorted(row) for row in found[1:]] == [sorted(row) for row in rows]


@pytest.mark.parametrize("language", ["python", "yaml"])
def test_excerpts_are_what_the_examples_say(language: str) -> None:
    excerpts = [block for block in blocks(page("extending.md"), language) if block.startswith("# examples/")]
    assert len(excerpts) >= 2
    for excerpt in excerpts:
        title, _, text = excerpt.partition("\n")
        assert text in (ROOT / title.removeprefix("# ")).read_text(encoding="utf-8"), title


def test_outputs_says_what_a_run_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page("outputs.md")
    folder = tmp_path / "RUN"
    folder.mkdir()
    cfg = composed(*SHORT, "logger=[csv,tensorboard,images]")
    run(cfg, folder, name="RUN")
    for entry in folder.iterdir():
        assert f"| `{entry.name}{'/' if entry.is_dir() else ''}` |" in text
    for name in ("manifest.json", "status.json"):
        section = _section(text, f"`{name}`")
        for key in json.loads((folder / name).read_text(encoding="utf-8")):
            assert f"`{key}`" in section, key
    for name in ("history.csv", "steps.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as table:
            columns = next(csv.reader(table))
        for column in columns:
            documented = column if column != "valid/accuracy" else "valid/<metric>"
            assert f"`{documented}`" in _section(text, f"`{name}`"), column
    for file in (folder / "checkpoints").iterdir():
        assert f"`{file.name.replace('accuracy', '<metric>')}`" in _section(text, "`checkpoints/`")
    (snippet,) = blocks(text, "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "docs/outputs.md", "exec"), {})


def _section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.slow
def test_parts_of_torch_need_nothing_but_their_name(tmp_path: Path) -> None:
    cfg = composed(*SHORT, "logger=[]")
    with open_dict(cfg):
        cfg.optimizer = {"model": {"_target_": "torch.optim.ASGD", "lr": 0.01}}
        cfg.scheduler = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5}
        cfg.loss = {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1}
    assert check([Job("job", cfg, tmp_path)]).lines() == []
    assert "test/accuracy" in run(cfg, tmp_path, name="job")
