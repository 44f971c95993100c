"""The reference of all settings: ``python -m runner.config.reference > docs/config.md``. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from runner.config.conf_dir import conf_dir
from runner.config.schema import CHOICES, EXTRA_GROUPS, GROUPS, Config, DebugConfig, TrainerConfig

OPENING = """# All settings

Written by `python -m runner.config.reference > docs/config.md` from the schema and from `conf/`; a test keeps it so.

A setting is changed on the command line by `key=value`, an option of a group is chosen by `group=option`. What a
configuration comes to is shown by `python -m runner --cfg job`, followed by the same overrides.
"""

COLUMNS = ("key", "type", "default", "meaning")
KINDS = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "None": "null"}
SEVERAL = ("metrics", "stopping", "logger")  # groups of which any number of options is chosen


def text() -> str:
    """The whole page, as Markdown."""
    conf = conf_dir()
    values = OmegaConf.to_container(OmegaConf.load(conf / "trainer" / "default.yaml"))
    assert isinstance(values, dict)
    defaults = OmegaConf.load(conf / "config.yaml").defaults
    chosen = {key: value for entry in defaults if not isinstance(entry, str) for key, value in entry.items()}
    parts = [
        OPENING,
        "## The parts of a run\n\n" + _table(("key", "meaning"), _meanings()),
        "## `trainer`\n\n" + _table(COLUMNS, _settings(TrainerConfig, "trainer", values)),
        "## `debug`\n\n" + _table(COLUMNS, _settings(DebugConfig, "debug", {})),
        "## Groups and their options\n\nEach option is a file; all its values can be changed as its command shows.\n",
        *(_group(conf / group, chosen.get(group)) for group in (*GROUPS, *EXTRA_GROUPS) if group != "trainer"),
    ]
    return "\n".join(parts)


def _meanings() -> Iterator[tuple[str, ...]]:
    for setting in fields(Config):
        yield f"`{setting.name}`", setting.metadata["doc"]


def _settings(schema: type, prefix: str, values: dict[Any, Any]) -> Iterator[tuple[str, ...]]:
    for setting in fields(schema):
        default = values.get(setting.name, None if setting.default is MISSING else setting.default)
        yield f"`{prefix}.{setting.name}`", _kind(setting), f"`{_plain(default)}`", setting.metadata["doc"]


def _kind(setting: Field[Any]) -> str:
    if setting.name in CHOICES:
        return "choice"
    if str(setting.type).startswith("dict"):
        return "mapping"
    return " or ".join(KINDS[name.strip()] for name in str(setting.type).split("|"))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cells).replace("<", "\\<") + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def _group(folder: Path, chosen: Any) -> str:
    default = [] if chosen is None else [chosen] if isinstance(chosen, str) else list(chosen)
    several = f"; several: `{folder.name}=[{','.join(default)}]`" if folder.name in SEVERAL else ""
    told = ", ".join(f"`{name}`" for name in default) or "none"
    lines = [f"### `{folder.name}`\n", f"Default: {told}{several}.\n"]
    lines += [_option(file) for file in sorted(folder.glob("*.yaml"))]
    return "\n".join(lines) + "\n"


def _option(file: Path) -> str:
    """The option, its command, and what else the comments at the head of its file say."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = [line.lstrip("# ") for line in lines[: _comments(lines)] if "@package" not in line]
    command, _, remark = head[0].partition("   ")
    said = " ".join(filter(None, (remark.strip(), *head[1:])))
    where = f"../conf/{file.parent.name}/{file.name}"
    return f"- [{file.stem}]({where}): `{command.strip()}`" + (f". {said[0].upper()}{said[1:]}" if said else "")


def _comments(lines: Sequence[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


if __name__ == "__main__":
    print(text(), end="")
