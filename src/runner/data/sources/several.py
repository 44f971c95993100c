"""Named data sets that are trained on and evaluated together. Free of torch until something is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.data.source import ORDERS, AnySpec, Problem, Source, Splits
from runner.data.sources.settings import Statistics, require_none, statistics_problems

ROLES = ("train", "valid", "test")
ADD = "+dataset@dataset.sets.<name>=<option>"


@dataclass(frozen=True, kw_only=True)
class Several:
    """Data sets of one shape and meaning, each with parts of its own, by name.

    ``train``, ``valid`` and ``test`` name the sets whose part of that name is used, in this order; None: all, by their
    names. ``order`` is that of ``TrainingOrder``. ``mean`` and ``std`` that are not given are those of the first set
    that is trained on.
    """

    sets: Mapping[str, Source] = field(default_factory=dict)
    train: Sequence[str] | None = None
    valid: Sequence[str] | None = None
    test: Sequence[str] | None = None
    order: str = "mixed"
    mean: Statistics = None
    std: Statistics = None

    @property
    def spec(self) -> AnySpec:
        """That of all sets. Raises ``ValueError`` when there are none."""
        require_none(self._named())
        return self.sets[self._names[0]].spec

    def problems(self) -> list[Problem]:
        """What is wrong with roles and order, what each set lacks, and in what the sets differ."""
        found = [*self._named(), *self._roles()]
        if self.order not in ORDERS:
            text = f"must be one of {', '.join(ORDERS)}, got {self.order!r}"
            found.append(Problem("order", self.order, text, f"set dataset.order={ORDERS[0]}"))
        sound: dict[str, Source] = {}
        for name in self._names:
            lacks = self._lacks(name, self.sets[name])
            found += lacks
            sound |= {} if lacks else {name: self.sets[name]}
        return [*found, *self._unlike(sound), *self._statistics(sound)]

    def missing(self) -> list[str]:
        """The files that a set would have to download, of all sets."""
        return [file for name in self._used() for file in getattr(self.sets[name], "missing", list)()]

    def load(self) -> Splits:
        """Raises ``ValueError`` for sets whose classes or examples do not mean the same."""
        from runner.data.joined import joined
        from runner.data.sources.agreement import require_alike

        loaded = {name: self._load(name) for name in self._used()}
        require_alike(loaded)
        parts = {role: {name: getattr(loaded[name], role) for name in self._role(role)} for role in ROLES}
        sets = {role: {name: len(part) for name, part in of.items() if len(part)} for role, of in parts.items()}
        whole = {
            role: joined([part for part in of.values() if len(part)] or list(of.values())[:1])
            for role, of in parts.items()
        }
        first = loaded[self._role("train")[0]]
        about = {
            name: {"sha256": splits.digest, "sizes": {role: sets[role].get(name, 0) for role in ROLES}, **splits.notes}
            for name, splits in loaded.items()
        }
        return replace(
            first,
            train=whole["train"],
            valid=whole["valid"],
            test=whole["test"],
            mean=first.mean if self.mean is None else tuple(self.mean),
            std=first.std if self.std is None else tuple(self.std),
            class_names=next((splits.class_names for splits in loaded.values() if splits.class_names), ()),
            digest=hashlib.sha256("\n".join(splits.digest for splits in loaded.values()).encode()).hexdigest(),
            notes={"order": self.order, "sets": about},
            sets={role: sizes for role, sizes in sets.items() if sizes},
            order=self.order,
        )

    @property
    def _names(self) -> list[str]:
        """Sorted: configurations that differ in the order of their keys are the same."""
        return sorted(self.sets, key=str)

    def _role(self, role: str) -> list[str]:
        named = getattr(self, role)
        return [str(name) for name in named] if isinstance(named, list | tuple) else self._names

    def _used(self) -> list[str]:
        """The sets that have a role."""
        used = {name for role in ROLES for name in self._role(role)}
        return [name for name in self._names if name in used]

    def _load(self, name: str) -> Splits:
        try:
            return self.sets[name].load()
        except ValueError as error:
            raise ValueError(f"{name}: {_addressed(name, str(error))}") from error

    def _named(self) -> Iterator[Problem]:
        if not self.sets:
            yield Problem("sets", None, "names no data set", f"add each with {ADD}")
        for name in self.sets:
            if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z][\w-]*", name)):
                text = "is no name for a set: it stands in the names of metrics"
                yield Problem(f"sets.{name}", None, text, "use a letter, then letters, digits, _ and -")

    def _roles(self) -> Iterator[Problem]:
        known = f"[{','.join(map(str, self._names))}]"
        for role in ROLES:
            named = getattr(self, role)
            if named is None:
                continue
            remedy = f"set dataset.{role}={known}, or null for all"
            if not isinstance(named, list | tuple) or not named:
                yield Problem(role, named, f"must name at least one set in a list, got {named!r}", remedy)
                continue
            names = self._role(role)
            unknown = [name for name in names if name not in self.sets]
            if unknown:
                yield Problem(role, names, f"there is no set {', '.join(unknown)}", remedy)
            if len(set(names)) < len(names):
                yield Problem(role, names, "names a set twice", remedy)

    def _lacks(self, name: str, source: Source | Mapping[str, Any]) -> list[Problem]:
        if isinstance(source, Mapping) or not hasattr(source, "problems"):
            return [Problem(f"sets.{name}", None, "has no _target_", f"choose one with {ADD.replace('<name>', name)}")]
        return [
            replace(
                problem,
                key=f"sets.{name}.{problem.key}",
                text=_addressed(name, problem.text),
                remedy=_addressed(name, problem.remedy),
            )
            for problem in source.problems()
        ]

    def _unlike(self, sound: Mapping[str, Source]) -> Iterator[Problem]:
        """Of sets that lack nothing, those whose examples have another shape than the first one's."""
        facts = {name: {"kind": source.spec.kind, **source.spec.facts()} for name, source in sound.items()}
        first = next(iter(facts), "")
        for name, own in facts.items():
            other_kind = own["kind"] != facts[first]["kind"]  # then all else differs, too
            for fact in ["kind"] if other_kind else own:
                given, wanted = (_plain(of.get(fact)) for of in (own, facts[first]))
                if given != wanted:
                    text = f"has {fact} {given}, but {first} has {wanted}: all sets must have the same"
                    same = f"give {name} and {first} the same by their settings, or leave one of them out"
                    setting = f"set dataset.sets.{name}.{fact}=" + str(wanted).replace(" ", "")
                    yield Problem(f"sets.{name}", None, text, setting if hasattr(sound[name], fact) else same)

    def _statistics(self, sound: Mapping[str, Source]) -> list[Problem]:
        facts = next((source.spec.facts() for source in sound.values()), None)
        if facts is None:
            return []
        return statistics_problems(
            self.mean, self.std, channels=facts.get("in_channels", 0) + facts.get("out_channels", 0)
        )


def _addressed(name: str, text: str) -> str:
    """What a set says of ``dataset.root``, said of ``dataset.sets.<name>.root``."""
    return re.sub(r"\bdataset\.(?!sets\.)", f"dataset.sets.{name}.", text)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
