"""Starting from something else than random weights: from what the data say, and from a file.

Of a file all that is asked for fits, or nothing is loaded.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from runner.batch import tensors
from runner.data.sample import BegunWithData, spread
from runner.data.source import Splits
from runner.models.pretrained import Pretrained
from runner.problem import Problem
from runner.weights_file import UnusableWeights, WeightsFile, read

log = logging.getLogger(__name__)
SHOWN = 8  # names in a message, where the rest says nothing new
SAMPLES = 5000  # training images that first weights may be made of


@dataclass(frozen=True)
class Fit:
    """What of ``file`` goes where.

    ``loaded`` has tensors by the task's names; ``kept`` names the task's other weights, ``unused`` the file's.
    """

    file: WeightsFile
    loaded: Mapping[str, Tensor]
    kept: tuple[str, ...]
    unused: tuple[str, ...]

    def report(self) -> str:
        """ "62 of 64 weights from PATH (step 400); 2 keep random values: model.fc.weight, model.fc.bias"."""
        step = "" if self.file.step is None else f" (step {self.file.step})"
        told = [f"{len(self.loaded)} of {len(self.loaded) + len(self.kept)} weights from {self.file.path}{step}"]
        if self.kept:
            told.append(f"{len(self.kept)} keep random values: {_some(self.kept)}")
        if self.unused:
            told.append(f"{len(self.unused)} of the file are not used: {_some(self.unused)}")
        return "; ".join(told)


def show_data(task: nn.Module, splits: Splits) -> None:
    """Show training images, once and before the first step, to the networks whose first weights depend on them."""
    networks = [network for network in task.children() if isinstance(network, BegunWithData)]
    if networks:
        images = next(tensors(spread(splits, SAMPLES)))
        for network in networks:
            network.initialise_from_data(images)


def load_published(task: nn.Module) -> dict[str, Any]:
    """Give each network that asks for them the weights that its library publishes; facts for the manifest.

    Raises ``ValueError`` where they cannot be had.
    """
    networks = {name: getattr(network, "pretrained", None) for name, network in task.named_children()}
    asked = {name: pretrained for name, pretrained in networks.items() if isinstance(pretrained, Pretrained)}
    facts = {name: pretrained.load(task.get_submodule(name)) for name, pretrained in asked.items()}
    for name in facts:
        log.info("%s: %s", name, facts[name]["report"])
    return {"pretrained": facts} if facts else {}


def start_from(
    task: nn.Module, path: str | Path, *, prefix: str | None = None, pattern: str | None = None
) -> dict[str, Any]:
    """Give ``task`` the weights of ``path`` (see ``weights_file.read``) and log the report; facts for the manifest.

    ``prefix`` and ``pattern`` are those of ``fit``. Raises ``UnusableWeights``, and then ``task`` is as it was.
    """
    fitted = fit(task, read(path), prefix=prefix, pattern=pattern)
    load(task, fitted)
    log.info(fitted.report())
    with fitted.file.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    facts: dict[str, Any] = {"path": str(fitted.file.path.resolve()), "sha256": sha256}
    if fitted.file.step is not None:
        facts["step"] = fitted.file.step
    facts["report"] = fitted.report()
    return {"init": facts | {"loaded": len(fitted.loaded), "kept": [*fitted.kept], "unused": [*fitted.unused]}}


def fit(task: nn.Module, file: WeightsFile, *, prefix: str | None = None, pattern: str | None = None) -> Fit:
    """Find for each weight and buffer of ``task`` its tensor in ``file``.

    The file may leave out the network's name where all are of one network. Of the file only names that begin with
    ``prefix`` are taken, without it. Of the task only names that match the glob ``pattern`` are filled, or with a
    ``-`` before it all but those; without a pattern nothing of the file may be left over. Raises
    ``UnusableWeights`` that lists all that is missing, left over, or of another shape.
    """
    own = {name: tensor for name, tensor in task.state_dict().items() if isinstance(tensor, Tensor)}
    wanted = _chosen(own, pattern)
    given = _named_as(wanted, _without(prefix, file))
    match = _Match(file, wanted, given, strict=pattern is None)
    if any(match.faults().values()):
        raise UnusableWeights(Problem("init_from", str(file.path), match.text(), match.remedy()))
    unused = [name for name in given if name not in wanted]
    unused += [name for name in file.tensors if not name.startswith(prefix or "")]
    kept = tuple(name for name in own if name not in wanted)
    return Fit(file, {name: given[name] for name in wanted}, kept, tuple(unused))


def load(task: nn.Module, fitted: Fit) -> None:
    """Copy in place what was fitted: the weights of ``task`` stay on their device and of their type."""
    weights = task.state_dict()
    weights.update(fitted.loaded)
    task.load_state_dict(weights)


def _chosen(own: Mapping[str, Tensor], pattern: str | None) -> dict[str, Tensor]:
    if pattern is None:
        return dict(own)
    named = {name for name in own if fnmatchcase(name, pattern.removeprefix("-"))}
    chosen = own.keys() - named if pattern.startswith("-") else named
    if not named or not chosen:
        text = f"matches {'all weights' if named else 'no weight'} of the model"
        raise UnusableWeights(Problem("init_pattern", pattern, text, _nearest(pattern, own)))
    return {name: tensor for name, tensor in own.items() if name in chosen}


def _without(prefix: str | None, file: WeightsFile) -> dict[str, Tensor]:
    given = _stripped(file.tensors, prefix or "")
    if not given:
        text = f"begins no name in {file.path}"
        raise UnusableWeights(Problem("init_prefix", prefix, text, _nearest(prefix, _prefixes(file.tensors))))
    return given


def _stripped(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _named_as(wanted: Mapping[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """``given`` with the name of the one network of ``wanted`` put before, where that fits better."""
    network, *others = {name.partition(".")[0] for name in wanted}
    if others:
        return given
    longer = {f"{network}.{name}": tensor for name, tensor in given.items()}
    return longer if len(longer.keys() & wanted.keys()) > len(given.keys() & wanted.keys()) else given


@dataclass(frozen=True)
class _Match:
    """The weights ``wanted`` beside those ``given``, under the task's names; ``strict`` when all given must be used."""

    file: WeightsFile
    wanted: Mapping[str, Tensor]
    given: Mapping[str, Tensor]
    strict: bool

    def faults(self) -> dict[str, list[str]]:
        """The names that do not fit, by what is wrong with them."""
        both = [(name, self.given[name], own) for name, own in self.wanted.items() if name in self.given]
        return {
            "missing": [name for name in self.wanted if name not in self.given],
            "unexpected": [name for name in self.given if self.strict and name not in self.wanted],
            "of another shape": [name for name, given, own in both if given.shape != own.shape],
            "of another type": [
                name for name, given, own in both if given.is_floating_point() != own.is_floating_point()
            ],
        }

    def misfits(self) -> set[str]:
        """The wanted names among the faults."""
        return {name for names in self.faults().values() for name in names if name in self.wanted}

    def fits_anywhere(self) -> bool:
        return len(self.misfits()) < len(self.wanted)

    def text(self) -> str:
        """Every name that does not fit; where none does, a few of both sides."""
        if not self.fits_anywhere():
            return f"fits no weight of the model; it has {_some(self.given)}, the model {_some(self.wanted)}"
        told = [f"{fault}: {', '.join(map(self._told, names))}" for fault, names in self.faults().items() if names]
        return f"does not fit the model; {'; '.join(told)}"

    def _told(self, name: str) -> str:
        if name not in self.wanted or name not in self.given:
            return name
        given, own = self.given[name], self.wanted[name]
        if given.shape != own.shape:
            return f"{name} {tuple(given.shape)} instead of {tuple(own.shape)}"
        return f"{name} {given.dtype} instead of {own.dtype}"

    def remedy(self) -> str:
        """The prefix that would make it fit, or else the pattern that leaves out what does not."""
        prefix = self._prefix()
        if prefix is not None:
            every = all(name.startswith(prefix) for name in self.file.tensors)
            which = "every name begins" if every else "the names that fit begin"
            return f"{which} with {prefix!r}: set init_prefix={prefix}"
        if not self.fits_anywhere():
            return "give weights of this model"
        misfits = self.misfits()
        if not misfits:
            return "set init_pattern=* to leave them out"
        modules = {name.rpartition(".")[0] for name in misfits}
        pattern = f"-{modules.pop()}.*" if len(modules) == 1 else "<glob>"
        return f"set init_pattern={pattern} to let the others start at random"

    def _prefix(self) -> str | None:
        """The beginning without which more names are found, and more than half of those wanted."""

        def found(prefix: str) -> int:
            return len(_named_as(self.wanted, _stripped(self.file.tensors, prefix)).keys() & self.wanted.keys())

        best = max(sorted(_prefixes(self.file.tensors)), key=found, default="")
        enough = max(len(self.given.keys() & self.wanted.keys()), len(self.wanted) // 2)
        return best if found(best) > enough else None


def _prefixes(names: Iterable[str]) -> set[str]:
    """``{"module.", "module.fc."}`` of "module.fc.weight"."""
    return {name[: end + 1] for name in names for end, letter in enumerate(name) if letter == "."}


def _nearest(given: str | None, names: Iterable[str]) -> str:
    known = list(names)
    found = difflib.get_close_matches(given or "", known, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else f"there are: {_some(known)}"


def _some(names: Iterable[str]) -> str:
    told = list(names)
    return ", ".join(told[:SHOWN]) + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
