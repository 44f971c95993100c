"""Command lines as people write them: flags in any place, options of groups in any case."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from runner.problem import Refused


def is_verb(argument: str) -> bool:
    """A first argument without ``=`` that does not begin with ``-`` is a verb."""
    return "=" not in argument and not argument.startswith(("-", "~", "+"))


def _refuse(message: str) -> NoReturn:
    raise Refused([message])


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Hydra's arguments, whose flags may stand between overrides. Raises ``Refused`` for an unknown flag."""
    parser.allow_abbrev = False
    parser.error = _refuse  # type: ignore[method-assign]
    args, unknown = parser.parse_known_intermixed_args(list(argv))
    flags = [flag for flag in unknown if flag.startswith("-")]
    if flags:
        raise Refused([f"{flag}: there is no such flag; python -m runner --hydra-help lists them" for flag in flags])
    return args


def group_options(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """For each config group under ``folders``, its options by their lower-case name."""
    options: dict[str, dict[str, str]] = {}
    for folder in folders:
        for file in sorted(folder.glob("**/*.yaml")):
            group = file.parent.relative_to(folder).as_posix()
            if group != ".":
                options.setdefault(group, {})[file.stem.lower()] = file.stem
    return options


OPEN = ("trainer.best", "optimizer.groups")  # settings that take any key: no + is asked for


def normalised(overrides: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Overrides with the options of groups in their own case: ``model=VGG16`` becomes ``model=vgg16``.

    ``+experiment=x`` becomes ``experiment=x``: both are fine, Hydra would refuse the first.
    """
    return [_normalised(override, options) for override in overrides]


def _normalised(override: str, options: Mapping[str, Mapping[str, str]]) -> str:
    key, equals, value = override.partition("=")
    group = key.lstrip("+").partition("@")[0]
    if equals and any(key == name or key.startswith(f"{name}.") for name in OPEN):
        return f"++{override}"
    if not equals or group not in options:
        return override
    own = options[group]
    choices = [own.get(choice.strip().lower(), choice) for choice in value.split(",")]
    plain = key.lstrip("+") if group in ("experiment", "debug") else key
    return f"{plain}={','.join(choices)}"
