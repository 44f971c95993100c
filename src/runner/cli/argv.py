"""Command lines as people write them: flags in any place, options of groups in any case."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Command:
    """A command line for Hydra. Overrides name options of groups as their files do."""

    args: argparse.Namespace
    parser: argparse.ArgumentParser
    options: Mapping[str, Mapping[str, str]]  # of each group, by their lower-case name


def of_hydra(argv: Sequence[str]) -> Command:
    """Read flags and overrides. Raises ``Refused`` for an unknown flag."""
    from hydra._internal.utils import get_args_parser

    from runner.config.conf_dir import conf_dir

    parser = get_args_parser()
    args = parse(parser, argv)
    options = group_options([conf_dir(), *([Path(args.config_dir)] if args.config_dir else [])])
    args.overrides = normalised(args.overrides, options)
    return Command(args, parser, options)


def of_run(command: Command, *, verb: str) -> Path:
    """The folder of a run: the one word that is neither flag nor override, which is taken out. Raises ``Refused``."""
    args = command.args
    refuse_flags(args, verb=verb)
    folders = _folders_in(args.overrides)
    if len(folders) != 1:
        got = ", ".join(folders) or "none"
        raise Refused([f"{verb}: takes the folder of one run, got {got}; python -m runner {verb} RUN [key=value ...]"])
    args.overrides = [word for word in args.overrides if word != folders[0]]
    return run_folder(folders[0], verb=verb)


def refuse_flags(args: argparse.Namespace, *, verb: str) -> None:
    """Raise ``Refused`` for a flag that is for training only."""
    for flag in ("multirun", "cfg", "config_path", "config_name", "info", "shell_completion", "hydra_help"):
        if getattr(args, flag, None):
            raise Refused([f"--{flag.replace('_', '-')}: has no meaning for {verb}; leave it out"])


def _folders_in(words: Sequence[str]) -> list[str]:
    """The words that are no overrides, or name a folder all the same: ``vgg16__0__lr=0.1``."""
    return [word for word in words if is_verb(word) or Path(word).is_dir()]


def option(argv: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of ``flag VALUE`` or ``flag=VALUE``, and the words without it. Raises ``Refused`` without a value."""
    words = list(argv)
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != flag:
            continue
        following = words[place + 1 : place + 2] if not equals else []
        if not (value or following):
            raise Refused([f"{flag}: needs a value; {flag}=<n>"])
        return value or following[0], words[:place] + words[place + 1 + len(following) :]
    return None, words


def quoted(path: Path) -> str:
    """A path as the value of an override."""
    return "'" + str(path).replace("'", "\\'") + "'"


def sweep_in(command: Command) -> Path | None:
    """The one folder among the words of a command that holds a sweep, if there is one; it is taken out."""
    folders = _folders_in(command.args.overrides)
    if len(folders) != 1 or not (Path(folders[0]).expanduser() / "sweep.json").is_file():
        return None
    command.args.overrides = [word for word in command.args.overrides if word != folders[0]]
    return Path(folders[0]).expanduser()


def run_folder(text: str, *, verb: str) -> Path:
    """The folder of a run. Raises ``Refused`` when it holds none."""
    folder = Path(text).expanduser()
    if (folder / ".hydra" / "config.yaml").is_file() and (folder / ".hydra" / "hydra.yaml").is_file():
        return folder
    runs = sorted(file.parents[1] for file in folder.glob("*/.hydra/config.yaml"))  # of a sweep
    if runs:
        some = ", ".join(run.name for run in runs[:3])
        raise Refused([f"{verb} {text}: holds {len(runs)} runs ({some}{', …' * (len(runs) > 3)}); name one of them"])
    what = "it has no .hydra/config.yaml" if folder.is_dir() else "there is no such folder"
    raise Refused([f"{verb} {text}: is not the folder of a run: {what}"])


def group_options(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """For each config group under ``folders``, its options by their lower-case name."""
    options: dict[str, dict[str, str]] = {}
    for folder in folders:
        for file in sorted(folder.glob("**/*.yaml")):
            group = file.parent.relative_to(folder).as_posix()
            if group != ".":
                options.setdefault(group, {})[file.stem.lower()] = file.stem
    return options


OPEN = (  # settings that take any key: no + is asked for
    "trainer.best",
    "optimizer.groups",
    "hydra.sweeper.sampler_options",
    "hydra.sweeper.pruner_options",
)


SHORT = {"retry_failed": "hydra.sweeper.retry_failed", "fail_fast": "hydra.launcher.fail_fast"}  # of a sweep


def normalised(overrides: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Overrides with the options of groups in their own case: ``model=VGG16`` becomes ``model=vgg16``.

    ``+experiment=x`` becomes ``experiment=x``: both are fine, Hydra would refuse the first.
    """
    return [_normalised(override, options) for override in overrides]


def _normalised(override: str, options: Mapping[str, Mapping[str, str]]) -> str:
    key, equals, value = override.partition("=")
    if key in SHORT:
        return f"{SHORT[key]}{equals}{value}"
    group = key.lstrip("+").partition("@")[0]
    if equals and any(key == name or key.startswith(f"{name}.") for name in OPEN):
        parent, _, last = key.rpartition(".")
        slashed = "/" in last  # of one of several data sets; Hydra reads a slash in the key of a dict only
        return f"++{parent}={{{last}: {value}}}" if slashed else f"++{override}"
    if not equals or group not in options:
        return override
    own = options[group]
    choices = [own.get(choice.strip().lower(), choice) for choice in value.split(",")]
    plain = key.lstrip("+") if group in ("experiment", "debug", "layout") else key
    return f"{plain}={','.join(choices)}"
