"""What may explain that two runs differ: configuration, code, environment, data. A line for each difference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.config.build import flat
from runner.preflight.folder import load
from runner.results.parting import same
from runner.results.recorded import Recorded
from runner.results.sources import changed_lines, source_of

ABSENT = "absent"
RESOLVED = ("device", "precision", "threads")  # what "auto" became
SHOWN_FILES = 5  # of those that git does not track
SHOWN_SOURCE_LINES = 200  # of all files together; further ones are named only
OWN = ("runner.", "hydra_plugins.runner_plugins")  # the package's own modules


def differing_leaves(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """``optimizer.lr: 0.1 in A, 0.2 in B`` for each leaf in which two nested mappings differ."""
    ours, theirs = ({key: value for key, value in flat(content).items() if value != {}} for content in (left, right))
    return [
        f"{key}: {told(ours.get(key, ABSENT))} in A, {told(theirs.get(key, ABSENT))} in B"
        for key in dict.fromkeys([*ours, *theirs])
        if (key in ours) != (key in theirs) or not (ours.get(key) == theirs.get(key) or same(ours[key], theirs[key]))
    ]


def told(value: object) -> str:
    """A value in a line; of a digest its beginning is enough to tell it from another."""
    text = str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", text) else text


def configuration(left: Recorded, right: Recorded) -> list[str]:
    """Every setting that differs, and those that were others before one of the runs went on."""
    configs = [_config(run) for run in (left, right)]
    unknown = [f"not recorded in {side}" for side, config in zip("AB", configs, strict=True) if not config]
    return [*(unknown or differing_leaves(*configs)), *_went_on(left, right, "config")]


def _config(run: Recorded) -> Mapping[str, Any]:
    recorded: Mapping[str, Any] = run.manifest.get("config") or {}
    if recorded:
        return recorded
    saved = load(run.folder / ".hydra" / "config.yaml")
    return {} if saved is None else flat(saved)


def _went_on(left: Recorded, right: Recorded, *parts: str) -> list[str]:
    """What a resumed run changed on its way, in these parts of its manifest; nothing when both did the same."""
    ours, theirs = (list(_changes(run, parts)) for run in (left, right))
    return [] if ours == theirs else [*(f"A {line}" for line in ours), *(f"B {line}" for line in theirs)]


def _changes(run: Recorded, parts: tuple[str, ...]) -> Iterator[str]:
    for session in run.manifest.get("sessions") or []:
        for key, (before, now) in (session.get("changed") or {}).items():
            if key.startswith(parts):
                name = key.removeprefix("config.")
                yield f"went on at step {session.get('first_step')} with {name}={told(now)} instead of {told(before)}"


def environment(left: Recorded, right: Recorded) -> list[str]:
    """Versions, hardware and switches, and what was resolved from them."""
    recorded = (run.manifest.get("environment") or {} for run in (left, right))
    resolved = ({key: run.manifest[key] for key in RESOLVED if key in run.manifest} for run in (left, right))
    return [
        *differing_leaves(*resolved),
        *differing_leaves(*recorded),
        *_went_on(left, right, "environment", *RESOLVED),
    ]


def data(left: Recorded, right: Recorded) -> list[str]:
    """What the data sets are and note of themselves."""
    recorded = (run.manifest.get("data") or {} for run in (left, right))
    return [*differing_leaves(*recorded), *_went_on(left, right, "data")]


def checkouts(left: Recorded, right: Recorded) -> list[str]:
    """Where the repositories stood, and which of the user's modules only one run had loaded.

    All this may differ while the code that ran is the same.
    """
    ours, theirs = ({entry.get("name", "git"): entry for entry in _git(run)} for run in (left, right))
    standing = differing_leaves(*({name: _standing(entry) for name, entry in by.items()} for by in (ours, theirs)))
    untracked = [
        f"{name}: untracked in {side} only: {_listed(only)}"
        for name in sorted(ours.keys() & theirs.keys())
        for side, entry, other in (("A", ours[name], theirs[name]), ("B", theirs[name], ours[name]))
        if (only := sorted({*entry.get("untracked", ())} - {*other.get("untracked", ())}))
    ]
    once = [*_loaded_once("A", left, right), *_loaded_once("B", right, left)]
    return [*standing, *untracked, *once, *_went_on(left, right, "code.git")]


def _standing(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry.get(key) for key in ("commit", "branch", "dirty", "diff_sha256")}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_FILES
    return ", ".join(names[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def _git(run: Recorded) -> list[Mapping[str, Any]]:
    return list((run.manifest.get("code") or {}).get("git") or [])


def _loaded_once(side: str, run: Recorded, other: Recorded) -> Iterator[str]:
    """Our own modules are left out: which of them are loaded depends on the command and its options."""
    ours, theirs = _modules(run), _modules(other)
    if theirs:
        yield from (
            f"{name}: loaded in {side} only" for name in sorted(ours.keys() - theirs) if not name.startswith(OWN)
        )


def sources(left: Recorded, right: Recorded) -> list[str]:
    """Each loaded source file that is another one, with the lines that changed where both texts can be found."""
    ours, theirs = _modules(left), _modules(right)
    if bool(ours) != bool(theirs):
        return [f"no source files are recorded in {'B' if ours else 'A'}"]
    changed = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    lines: list[str] = []
    for name in sorted(changed, key=lambda name: (name.startswith(OWN), name)):  # the user's own first
        shown = _changed(name, left, right) if len(lines) < SHOWN_SOURCE_LINES else []
        lines += [f"{name}: changed", *(f"  {line}" for line in shown)]
    return [*lines, *_went_on(left, right, "code.modules")]


def _modules(run: Recorded) -> Mapping[str, str]:
    modules: Mapping[str, str] = (run.manifest.get("code") or {}).get("modules") or {}
    return modules


def _changed(name: str, left: Recorded, right: Recorded) -> list[str]:
    before, after = (source_of(name, _modules(run)[name], checkouts=_saved(run)) for run in (left, right))
    if before is None or after is None:
        missing = " and ".join(side for side, text in (("A", before), ("B", after)) if text is None)
        return [f"the text that {missing} had is no longer to be found"]
    return changed_lines(name, before, after)


def _saved(run: Recorded) -> list[tuple[str, Path | None]]:
    """The commits of a run, each with the file that holds what was not committed."""
    return [
        (entry["commit"], run.folder / Path(entry["diff"]).name if entry.get("diff") else None)
        for entry in _git(run)
        if re.fullmatch("[0-9a-f]{40,64}", str(entry.get("commit")))
    ]
