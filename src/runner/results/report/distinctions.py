"""How configurations differ, and short names that tell them apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from runner.results.report.gather import Run
from runner.sweep.jobs import shortened

ABSENT = "absent"
Columns = dict[str, Sequence[str]]  # by setting: its value in each of the configurations


def distinctions(runs: Sequence[Run], ignored: set[str]) -> tuple[list[str], list[Mapping[str, str]]]:
    """A name for each of ``runs``, whose configurations differ, and the settings that not all of them share.

    ``vgg16, optimizer=adam, lr=0.01``: the model, then what the options named before do not explain. Two models
    have other layers and two optimizers other arguments; the name of the option stands for these.
    """
    leaves = _differing_leaves(runs, ignored)
    parts = dict.fromkeys(_part(key) for key in leaves)
    options: Columns = {part: [_option(run, part) for run in runs] for part in ("model", "experiment", *parts)}
    told: Columns = {}
    if len(set(options["experiment"])) > 1:
        told["experiment"] = options["experiment"]
    for part in parts:
        if part not in ("model", "experiment") and _vary(options[part], [options["experiment"]]):
            told[part] = options[part]
    for key, values in leaves.items():
        if _vary(values, [options["experiment"], options[_part(key)]]):
            told[key] = values
    chosen = {part: values for part, values in options.items() if len(set(values)) > 1}
    differing = chosen | {key: values for key, values in leaves.items() if key not in chosen}
    return _unique(_names(options["model"], told)), [
        {key: values[place] for key, values in differing.items()} for place in range(len(runs))
    ]


def _differing_leaves(runs: Sequence[Run], ignored: set[str]) -> Columns:
    keys = dict.fromkeys(key for run in runs for key in run.config if key not in ignored)
    columns = {key: [as_text(run.config.get(key, ABSENT)) for run in runs] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _part(key: str) -> str:
    return key.partition(".")[0]


def _option(run: Run, part: str) -> str:
    """What was chosen for a part of the configuration, or else what it is made of."""
    if part == "model":
        return run.model
    if part in run.choices:
        return str(run.choices[part])
    if f"{part}._target_" in run.config:
        return str(run.config[f"{part}._target_"]).rpartition(".")[2]
    members = [key.split(".")[1] for key in run.config if key.startswith(f"{part}.") and key.endswith("._target_")]
    return f"[{', '.join(members)}]" if members else as_text(run.config.get(part, ""))


def _vary(values: Sequence[str], explained_by: Sequence[Sequence[str]]) -> bool:
    """Whether there are several values under one and the same explanation."""
    pairs = set(zip(zip(*explained_by, strict=True), values, strict=True))
    return len(pairs) > len({explanation for explanation, _ in pairs})


def _names(models: Sequence[str], told: Columns) -> list[str]:
    short = shortened(list(told))
    return [
        ", ".join([model, *(f"{short[key]}={values[place]}" for key, values in told.items())])
        for place, model in enumerate(models)
    ]


def _unique(names: Sequence[str]) -> list[str]:
    """A number behind names that are there twice: what an option holds may have been edited between two sweeps."""
    total, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return unique


def as_text(value: Any) -> str:
    """A setting as an override would have it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
