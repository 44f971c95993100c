"""Which weights are recorded, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn

from runner.optim.groups import norms_and_biases
from runner.problem import Problem

REGEX = "re:"


def matches(pattern: str, name: str) -> bool:
    """``re:…`` is a regular expression, found anywhere; ``*``, ``?`` and ``[…]`` make a glob; all else is a part.

    Of ``model.conv1.weight`` both that and ``conv1.weight``, without the network's name, may match.
    """
    names = (name, name.partition(".")[2])
    if pattern.startswith(REGEX):
        return any(re.search(pattern.removeprefix(REGEX), each) for each in names)
    if set(pattern) & set("*?["):
        return any(fnmatchcase(each, pattern) for each in names)
    return pattern in name


class Selection:
    """Parameters that match one of ``include``, all where it is empty, and none of ``exclude``.

    Those of norms and the biases only with ``norms_and_biases``, buffers only with ``buffers``: running
    means, not counters. Raises ``ValueError`` for what is no list, and a pattern that is no regular expression.
    """

    def __init__(
        self,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        norms_and_biases: bool = False,
        buffers: bool = False,
    ) -> None:
        self.include, self.exclude = _listed("include", include), _listed("exclude", exclude)
        self.norms_and_biases, self.buffers = norms_and_biases, buffers
        for key, pattern in self._patterns():
            try:
                re.compile(pattern.removeprefix(REGEX) if pattern.startswith(REGEX) else "")
            except re.error as error:
                raise ValueError(f"{key} has {pattern!r}, which is no regular expression: {error}") from error

    def of(self, module: nn.Module) -> dict[str, Tensor]:
        """The selected tensors by name, in the order of the module; a shared one once."""
        left_out = set() if self.norms_and_biases else norms_and_biases(module)
        return {
            name: tensor
            for name, tensor in self._candidates(module).items()
            if name not in left_out and (not self.include or _any(self.include, name)) and not _any(self.exclude, name)
        }

    def problems(self, module: nn.Module) -> Iterator[Problem]:
        """A pattern that matches nothing, or nothing that is recorded; patterns that leave nothing."""
        wrong = list(self._wrong_patterns(module))
        yield from wrong
        if not wrong and not self.of(module):
            key = "include" if self.include else "exclude" if self.exclude else "norms_and_biases"
            text = "leaves no weights to record" + (", for norms and biases are left out" * (not self.norms_and_biases))
            value = list(getattr(self, key)) if key != "norms_and_biases" else self.norms_and_biases
            yield Problem(key, value, text, "set trajectory.norms_and_biases=true, or select others")

    def _wrong_patterns(self, module: nn.Module) -> Iterator[Problem]:
        names = list(self._candidates(module))
        left_out = set() if self.norms_and_biases else norms_and_biases(module)
        for key, pattern in self._patterns():
            found = {name for name in names if matches(pattern, name)}
            if not found:
                text = f"{pattern} matches none of the {len(names)} names ({_some(names)})"
                yield Problem(key, pattern, text, _remedy(key, pattern))
            elif key == "include" and found <= left_out:
                text = f"{pattern} matches only norms and biases, which are left out"
                yield Problem(key, pattern, text, f"set trajectory.norms_and_biases=true, or {_remedy(key, pattern)}")

    def _candidates(self, module: nn.Module) -> Mapping[str, Tensor]:
        buffers: Iterable[tuple[str, Tensor]] = module.named_buffers() if self.buffers else ()
        return {name: tensor for name, tensor in (*module.named_parameters(), *buffers) if tensor.is_floating_point()}

    def _patterns(self) -> Iterator[tuple[str, str]]:
        yield from (("include", pattern) for pattern in self.include)
        yield from (("exclude", pattern) for pattern in self.exclude)


def _listed(key: str, patterns: object) -> tuple[str, ...]:
    """One pattern alone would be read as a list of its letters."""
    if isinstance(patterns, Sequence) and not isinstance(patterns, str):
        if all(isinstance(pattern, str) for pattern in patterns):
            return tuple(patterns)
        given = list(patterns)
    else:
        given = [] if patterns is None else [patterns]
    text = [str(pattern) for pattern in given]
    raise ValueError(f"{key} must be a list of patterns, got {patterns}; set trajectory.{key}={text}")


def _any(patterns: Iterable[str], *names: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns for name in names)


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *["…"] * (len(names) > 3)])


def _remedy(key: str, pattern: str) -> str:
    return f"take {pattern} out of trajectory.{key}, or name others"
