"""Composing with Hydra, where all overrides that are wrong are told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from runner.cli.errors import user_message
from runner.problem import Refused

T = TypeVar("T")


def composed(compose: Callable[[Sequence[str]], T], overrides: Sequence[str]) -> T:
    """What ``compose`` makes of ``overrides``. Raises ``Refused`` with a line for each override that is wrong.

    Hydra stops at the first. Only then each override is tried with those found good so far, groups before values.
    """
    try:
        return compose(overrides)
    except Exception as error:
        first = user_message(error)
        if first is None:
            raise
        lines = _each(compose, overrides) if len(overrides) > 1 else []
        raise Refused(lines or [_with_override(first, overrides)]) from error


def _each(compose: Callable[[Sequence[str]], T], overrides: Sequence[str]) -> list[str]:
    good: list[str] = []
    lines: list[str] = []
    try:
        compose([])
    except Exception:  # no override is to blame
        return []
    for override in sorted(overrides, key=lambda text: "." in text.partition("=")[0]):
        try:
            compose([*good, override])
        except Exception as error:
            message = user_message(error)
            if message is None:
                raise
            lines.append(_with_override(message, [override]))
        else:
            good.append(override)
    return list(dict.fromkeys(lines))


def _with_override(message: str, overrides: Sequence[str]) -> str:
    """The message, after the only override that it can be about when it does not name it."""
    if len(overrides) != 1 or overrides[0].lstrip("+~").partition("=")[0] in message:
        return message
    return f"{overrides[0]}: {message}"
