"""Which options of ``model``, ``dataset`` and ``loss`` go with each task, found by preflight's own trials.

``python -m runner.preflight.fits > docs/compatibility.md`` tries them all, one at a time in place of what the task
chooses itself, and writes what it found beside this file, where ``python -m runner check`` reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.schema import register

Fits = Mapping[str, Mapping[str, Mapping[str, str]]]
"""{task: {group: {option: settings that it needs}}}"""

FOUND = Path(__file__).with_suffix(".json")
GROUPS = ("model", "dataset", "loss")
SMALL = {"train_size": 48, "valid_size": 8, "test_size": 8}
OF_VOLUMES = ("dataset=shape_volumes", "model=unet3d", "augmentation=none")
ROUNDS = 3  # of mending: a remedy may bring out the next one
OPENING = """# What goes with what

Written by `python -m runner.preflight.fits > docs/compatibility.md`; a test keeps it so.

Each option stands in the place of what the task chooses itself, with all else as it was, and preflight builds and uses
everything once. Numbers name the settings that an option needs. What does not go together is refused before a run
starts, with the remedy; `python -m runner check` prints the row of the task that it checks. Images of files, `timm` and
`torchvision` stand for whatever their settings name.
"""


def text(fits: Fits) -> str:
    """The page, as Markdown."""
    needed = sorted({settings for row in fits.values() for options in row.values() for settings in options.values()})
    notes = {settings: number for number, settings in enumerate((note for note in needed if note), 1)}

    def cell(options: Mapping[str, str]) -> str:
        return ", ".join(f"`{name}`" + (f" ({notes[note]})" if note else "") for name, note in options.items())

    lines = ["| task | " + " | ".join(GROUPS) + " |", "| --- " * (1 + len(GROUPS)) + "|"]
    lines += [f"| `{task}` | " + " | ".join(cell(row[group]) for group in GROUPS) + " |" for task, row in fits.items()]
    return "\n".join([OPENING, *lines, "", *(f"{number}. `{note}`" for note, number in notes.items())]) + "\n"


def read() -> Fits:
    """What was found last. Free of torch."""
    found: Fits = json.loads(FOUND.read_text())
    return found


def lines_of(task: str) -> Iterator[str]:
    """The rows of one task for the console; nothing for a task of the user's own."""
    for name, row in read().items():
        if name.partition(" of ")[0] == task:
            yield f"task={name} goes with"
            for group, options in row.items():
                yield f"  {group}=" + ", ".join(name + (f" ({note})" if note else "") for name, note in options.items())


def found() -> Fits:
    """Every option tried with every task."""
    rows = {task: _row(task) for task in _options("task")}
    return rows | {f"{task} of volumes": _row(task, *OF_VOLUMES) for task in ("reconstruction", "segmentation")}


def _row(task: str, *overrides: str) -> dict[str, dict[str, str]]:
    given = [f"task={task}", *overrides]
    chosen = _composed(*given)
    if chosen.hydra.runtime.choices.dataset == "digits":  # what nobody chose
        given += ["dataset=synthetic", *(["dataset.novel_classes=[2,7]"] if task == "novelty" else [])]
        chosen = _composed(*given)
    base = _composed(*given, *(f"dataset.{key}={value}" for key, value in SMALL.items() if key in chosen.dataset))
    choices, kinds = base.hydra.runtime.choices, build.kinds_of(base)
    volumes = "volumes" in choices.dataset
    data = [name for name in _options("dataset") if _kind(name) in (*kinds, None) and ("volumes" in name) == volumes]
    tried = {group: dict(_fitting(base, group, choices[group])) for group in ("model", "loss")}
    return {"model": tried["model"], "dataset": dict.fromkeys(data, ""), "loss": tried["loss"]}


def _fitting(base: DictConfig, group: str, own: str) -> Iterator[tuple[str, str]]:
    """The options that pass in the place of ``own``, and with which settings."""
    default = OmegaConf.load(conf_dir() / group / f"{own}.yaml")
    of_task = {key: value for key, value in base[group].items() if key not in default or default[key] != value}
    for name in _options(group):
        cfg = base.copy()
        OmegaConf.set_struct(cfg, value=False)
        del cfg["hydra"]
        if name != own:
            option = OmegaConf.load(conf_dir() / group / f"{name}.yaml")
            cfg[group] = OmegaConf.merge(option, {key: value for key, value in of_task.items() if key in option})
        note = _passes(cfg)
        if note is not None:
            yield name, note


def _passes(cfg: DictConfig) -> str | None:
    """The settings with which preflight has nothing to say, or None where there are none."""
    from runner.preflight.check import Job, check

    needed: list[str] = []
    for _ in range(ROUNDS):
        findings = check([Job("fits", cfg, Path("fits"))])
        if not findings.wrong:
            return " ".join(needed)
        remedies = {setting for found in findings.wrong for setting in _remedies(found.problem.line())}
        remedies -= set(needed)
        if not remedies:
            return None
        for setting in sorted(remedies):
            key, _, value = setting.partition("=")
            OmegaConf.update(cfg, key, OmegaConf.create(f"value: {value}").value, force_add=True)
        needed += sorted(remedies)
    return None


def _remedies(line: str) -> list[str]:
    """The settings of single keys that a message ends with: another option would be another row."""
    _, found, remedy = line.rpartition("; set ")
    settings = remedy.split() if found else []
    whole = all(re.fullmatch(r"\w+(\.\w+)+=[^\s<]+", setting) for setting in settings)
    return settings if whole else []


def _kind(dataset: str) -> str | None:
    """What kind of examples an option of ``dataset`` gives, as its class declares; None for any kind."""
    from hydra.utils import get_object

    source = get_object(OmegaConf.select(OmegaConf.load(conf_dir() / "dataset" / f"{dataset}.yaml"), "_target_"))
    kind = getattr(get_type_hints(source.spec.fget)["return"], "kind", None)
    return kind if isinstance(kind, str) else None


def _composed(*overrides: str) -> Any:
    from hydra import compose, initialize_config_dir

    register()
    with initialize_config_dir(str(conf_dir()), version_base=None):
        return compose("config", list(overrides), return_hydra_config=True)


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


if __name__ == "__main__":
    tried = found()
    FOUND.write_text(json.dumps(tried, indent=1) + "\n")
    print(text(tried), end="")
