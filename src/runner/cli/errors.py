"""Errors for the reader: one message each, a true exit status, the traceback only on request."""

from __future__ import annotations

import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields

from runner.problem import Failed, Interrupted, Refused

COMPLETED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
UNREAD = 141  # as a shell says of a command that SIGPIPE ended


def reported(work: Callable[[], int]) -> int:
    """Do ``work``; its exit status, or that of the error it ended in, told on stderr.

    ``RUNNER_TRACEBACK=1`` shows the traceback of any error.
    """
    try:
        status = work()
        sys.stdout.flush()
        return status
    except Refused as error:
        return _say_refused(error)
    except Interrupted as error:
        return _say(error, INTERRUPTED, [str(error)])
    except KeyboardInterrupt as error:
        return _say(error, INTERRUPTED, ["interrupted"])
    except Failed as error:
        return _say(error, FAILED, [str(error)])
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _unread():
            return UNREAD
        message = user_message(error)
        if message is not None:
            return _say(error, REFUSED, [message])
        if not os.environ.get("RUNNER_TRACEBACK"):
            return _say(
                error,
                FAILED,
                [f"{type(error).__name__}: {error}; RUNNER_TRACEBACK=1 shows the traceback"],
            )
        return _say(error, FAILED, [])


def _unread() -> bool:
    """Whether nobody reads the standard output any more, as ``head`` does when it has its lines; then it is closed."""
    try:
        number = sys.stdout.fileno()
    except OSError:  # not a file
        return False
    poll = select.poll()
    poll.register(number, 0)
    unread = any(event & select.POLLERR for _, event in poll.poll(0))
    if unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return unread


def _say(error: BaseException, status: int, messages: list[str]) -> int:
    if os.environ.get("RUNNER_TRACEBACK"):
        traceback.print_exception(error)
    for message in messages:
        print(f"runner: {message}", file=sys.stderr)
    return status


def _say_refused(error: Refused) -> int:
    """The problems of one run as lines, those of a sweep as a table."""
    if not error.found or len(error.jobs) == 1:
        return _say(error, REFUSED, error.problems)
    from runner.cli.problems import heading, print_problems

    _say(error, REFUSED, [heading(error)])
    print_problems(error, sys.stderr)
    return REFUSED


def user_message(error: Exception) -> str | None:
    """What Hydra's and OmegaConf's errors about a command line mean; None for any other error."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    causes = [error]
    while causes[-1].__cause__ is not None or causes[-1].__context__ is not None:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)  # type: ignore[arg-type]
    if isinstance(error, YAMLError):
        return " ".join(f"a configuration file is not YAML: {error}".split())
    if not any(isinstance(cause, (HydraException, OmegaConfBaseException)) for cause in causes):
        return str(error) if isinstance(error, ValueError) else None
    text = " ".join(str(error).split())
    return unknown_key(causes) or unknown_option(text) or wrong_type(causes) or _plain(text)


def unknown_key(causes: list[Exception]) -> str | None:
    """``trainer.epoch=5`` → did you mean trainer.epochs?"""
    from runner.config.schema import EXTRA_GROUPS, Config, TrainerConfig
    from runner.preflight.settings import closest

    for cause in causes:
        key = str(getattr(cause, "full_key", None) or "")
        unknown = re.search(r"Key '([^']+)' (?:is )?not in", str(cause)) or re.search(r"Key '([^']+)' not", str(cause))
        if unknown is None:
            continue
        name = unknown[1]
        key = key or name
        parent, _, last = key.rpartition(".")
        names: list[str] = []
        if parent == "trainer":
            names = [f"trainer.{field.name}" for field in fields(TrainerConfig)]
        elif not parent:
            names = [*(field.name for field in fields(Config)), *EXTRA_GROUPS]
        else:
            holder = getattr(cause, "parent_node", None)
            own = [str(other) for other in holder] if holder is not None else []
            names = [f"{parent}.{other}" for other in own if not other.startswith("_")]
        remedy = _not_chosen(parent, last, names) or closest(f"{parent}.{last}" if parent else last, names)
        remedy = remedy or f"+{key} would add it"
        return f"{key}: there is no such setting; {remedy}"
    return None


def _not_chosen(group: str, name: str, names: Sequence[str]) -> str:
    """Of a setting that an option would bring: ``trajectory.every_steps=10`` without ``trajectory=steps``."""
    from runner.cli.argv import group_options
    from runner.config.conf_dir import conf_dir

    options = list(group_options([conf_dir()]).get(group, {}).values())
    if name in options:
        return f"add {name} to {group}" if names else f"choose {group}={name} first"
    return f"choose {group}=<option> first ({', '.join(options)})" if options and not names else ""


def unknown_option(text: str) -> str | None:
    """``model=vgg17`` → did you mean vgg16?"""
    found = re.search(
        r"Could not find '([^']+)'.*?Available options in '([^']+)': (.*?)(?: Config search path|$)", text
    )
    if found is not None:
        return _no_option(found[2], found[1].rpartition("/")[2], found[3].split())
    found = re.search(r"Could not load '([^']+)/([^'/]+)'", text)
    if found is not None:
        from runner.cli.argv import group_options
        from runner.config.conf_dir import conf_dir

        options = list(group_options([conf_dir()]).get(found[1], {}).values())
        return _no_option(found[1], found[2], options)
    found = re.search(r"Cannot find primary config '([^']+)'", text)
    if found is not None:
        return f"--config-name={found[1]}: there is no such configuration; leave it out"
    found = re.search(r"Could not override '([^']+)'\. No match in the defaults list", text)
    if found is not None:
        from runner.config.schema import EXTRA_GROUPS, GROUPS
        from runner.preflight.settings import closest

        groups = [*GROUPS, *EXTRA_GROUPS]
        return f"{found[1]}: there is no such group; {closest(found[1], groups) or 'groups are ' + ', '.join(groups)}"
    return None


def _no_option(group: str, option: str, options: Sequence[str]) -> str:
    from runner.preflight.settings import closest

    remedy = closest(option, options)
    return f"{group}={option}: there is no such option; {remedy + ' ' if remedy else ''}({', '.join(options)})"


def wrong_type(causes: list[Exception]) -> str | None:
    """``trainer.epochs=abc`` → what it got and what it takes."""
    for cause in causes:
        found = re.search(r"Value '([^']*)'.*? could not be converted to (\w+)", str(cause).splitlines()[0])
        if found is not None:
            kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(
                found[2], found[2]
            )
            key = getattr(cause, "full_key", None) or "a setting"
            return f"{key}={found[1]}: must be {kind}; set {key}=<value>"
    return None


KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "dict": "a mapping"}


def _plain(text: str) -> str:
    found = re.search(r"Error parsing override '([^']+)' missing EQUAL", text)
    if found is not None:
        return f"{found[1]}: is not an override; write key=value"
    found = re.search(r"Error merging override \+*(([^=\s]+)=\S*)", text)
    if found is not None:
        return f"{found[1]}: must be {_kind(found[2])}; set {found[2]}=<value>"
    if "Ambiguous value" in text:
        return text.replace(" 1. To use it as a list", "; for a sweep add -m. To use it as a list").partition(" 2. ")[0]
    return text


def _kind(key: str) -> str:
    """What the schema wants of a setting, in words."""
    from runner.config.schema import Config, DebugConfig, TrainerConfig

    parent, _, name = key.rpartition(".")
    owner = {"": Config, "trainer": TrainerConfig, "debug": DebugConfig}.get(parent)
    types = {field.name: str(field.type) for field in fields(owner)} if owner is not None else {}
    return KINDS.get(re.split(r"\W", types.get(name, ""))[0], "something else")
