"""Composing with Hydra, where all overrides that are wrong are told at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from runner.cli.errors import user_message
from runner.problem import Refused

T = TypeVar("T")


def composed(compose: Callable[[Sequence[str]], T], overrides: Sequence[str]) -> T:
    """What ``compose`` makes of ``overrides``. Raises ``Refused`` with a line for each override that is wrong.

    Hydra stops at the first, so what it complained about is taken out and the rest is composed again.
    """
    left: list[str] = list(overrides)
    lines: list[str] = []
    while left or not lines:
        try:
            made = compose(left)
        except Exception as error:
            message = user_message(error)
            if message is None:
                raise
            culprit = _named_in(message, left) or _by_trying(compose, left)
            lines.append(message if culprit is None else _with_override(message, culprit))
            if culprit is None:
                break
            left.remove(culprit)
            if "." not in _key(culprit):  # the settings of an option that is not there cannot be judged
                left = [override for override in left if not _key(override).startswith(f"{_key(culprit)}.")]
        else:
            if not lines:
                return made
            break
    raise Refused(list(dict.fromkeys(lines)))


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _named_in(message: str, overrides: Sequence[str]) -> str | None:
    """The override that a message begins with."""
    return next((text for text in overrides if re.match(rf"{re.escape(_key(text))}(?![\w.])", message)), None)


def _by_trying(compose: Callable[[Sequence[str]], T], overrides: Sequence[str]) -> str | None:
    """The override without which, or up to which, composing fails; None when no override is to blame."""
    good: list[str] = []
    for override in ["", *sorted(overrides, key=lambda text: "." in _key(text))]:
        try:
            compose([*good, override] if override else [])
        except Exception:
            return override or None
        good += [override] if override else []
    return None


def _with_override(message: str, override: str) -> str:
    """The message, after the override that it is about unless it names it."""
    return message if _key(override) in message else f"{override}: {message}"
