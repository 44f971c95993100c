"""Weights that a library publishes for its models: where they lie, whether they can be had, and what of them fits.

They lie in the library's own cache, on a machine without network as well: a file that was copied there is used. A
network that has them as ``pretrained`` gets them before the first step of a run, and only then: one that is built to
be resumed or evaluated asks for no file.
"""

from __future__ import annotations

import hashlib
import math
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from runner.problem import Problem

REACHED_AFTER_S = 10.0


class Unavailable(ValueError):
    """Published weights that cannot be had; says which file, where it is looked for, and why it is not used."""


class Published(Protocol):
    """A file that can be fetched once, and is then in a cache."""

    def cached(self) -> Path | None:
        """The file, if it is in the cache. Raises ``Unavailable`` for one that is not what was published."""
        ...

    def unreachable(self) -> str:
        """Why the file could not be fetched now; nothing where it seems that it could."""
        ...

    def fetch(self) -> Path:
        """Put the file into the cache, whole or not at all. Raises ``Unavailable``."""
        ...

    def place(self) -> str:
        """The file, or the folder with it, for somebody who copies it there."""
        ...


@dataclass(frozen=True)
class HubFile:
    """A file of torch's hub, in whose name the digits after the last dash are the first of its SHA-256."""

    url: str

    @property
    def path(self) -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(self.url).name

    def cached(self) -> Path | None:
        if not self.path.is_file():
            return None
        found = sha256_of(self.path)
        if not found.startswith(self._digits()):
            text = f"is damaged: its SHA-256 begins with {found[:8]}, and not with {self._digits()}"
            raise Unavailable(f"{self.path} {text}; delete it, and it is fetched again")
        return self.path

    def unreachable(self) -> str:
        return unreachable(self.url)

    def fetch(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(self.url, str(self.path), self._digits() or None, progress=False)
        except (OSError, HTTPException, RuntimeError) as error:  # the last one for another digest
            raise Unavailable(f"{self.url} could not be fetched ({_reason(error)})") from error
        return self.path

    def place(self) -> str:
        return str(self.path)

    def _digits(self) -> str:
        found = re.search(r"-([0-9a-f]{8,})\.[^.]*$", self.path.name)
        return found[1] if found else ""


@dataclass(frozen=True)
class HuggingFaceFile:
    """The first that there is of some files of a repository at Hugging Face, in that library's cache."""

    repository: str
    names: tuple[str, ...]
    revision: str | None = None

    def cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(self.repository, name, revision=self.revision) for name in self.names]
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def unreachable(self) -> str:
        from huggingface_hub import constants, hf_hub_url

        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE is set"
        reasons = [unreachable(hf_hub_url(self.repository, name, revision=self.revision)) for name in self.names]
        return "" if "" in reasons else reasons[0]

    def fetch(self) -> Path:
        from huggingface_hub import hf_hub_download

        failure: Exception | None = None
        for name in self.names:
            try:
                return Path(hf_hub_download(self.repository, name, revision=self.revision))
            except (OSError, ValueError, RuntimeError) as error:  # its own errors are among these
                failure = failure or error
        assert failure is not None, "there are names"
        raise Unavailable(f"{self.repository} could not be fetched ({_reason(failure)})") from failure

    def place(self) -> str:
        from huggingface_hub import constants

        return str(Path(constants.HF_HUB_CACHE) / f"models--{self.repository.replace('/', '--')}")


@dataclass(frozen=True)
class Pretrained:
    """What a network begins with: the weights of ``source``, but for a last layer with another number of classes.

    ``donor`` makes the library's own network, with the weights of a file, or of None with any: its shapes are asked
    for. It has ``classes``. Where images have other than 3 channels the kernels of the network's convolution ``stem``
    are summed over them, or repeated and scaled: it answers to grey images as before. ``key`` and ``value`` are the
    setting that asks for them, ``remedy`` what to change where the shapes do not fit.
    """

    key: str
    value: object
    source: Published
    donor: Callable[[Path | None], nn.Module]
    classes: int
    stem: str
    remedy: str

    def problem(self, network: nn.Module, *, here: bool = True) -> Problem | None:
        """Why ``network`` could not begin with them; unless the run is ``here``, only whether they fit."""
        try:
            with torch.device("meta"):
                _adopted(network.state_dict(), self.donor(None).state_dict(), classes=self.classes, stem=self.stem)
        except ValueError as error:
            return Problem(self.key, self.value, str(error), self.remedy)
        try:
            reason = self.source.unreachable() if here and self.source.cached() is None else ""
        except Unavailable as error:
            return Problem(self.key, self.value, str(error), self._without())
        return self._unavailable(reason) if reason else None

    def load(self, network: nn.Module) -> dict[str, Any]:
        """Give ``network`` the weights, fetched where need be; facts for the manifest. Leaves random states alone.

        Raises ``ValueError`` where they cannot be had or do not fit, and then ``network`` is as it was.
        """
        try:
            file = self.source.cached() or self.source.fetch()
        except Unavailable as error:
            raise ValueError(self._unavailable(str(error)).line()) from error
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            given = self.donor(file).state_dict()
        own = network.state_dict()
        taken = _adopted(own, given, classes=self.classes, stem=self.stem)
        network.load_state_dict({**own, **taken})
        kept = [name for name in own if name not in taken]
        random = f"; {len(kept)} keep random values: {', '.join(kept)}" if kept else ""
        report = f"{len(taken)} of {len(own)} weights from {file}{random}"
        return {"file": str(file), "sha256": sha256_of(file), "kept": kept, "report": report}

    def _unavailable(self, reason: str) -> Problem:
        text = f"needs {self.source.place()}, which is not there, and cannot be fetched ({reason})"
        return Problem(self.key, self.value, text, f"bring it there from another machine, or {self._without()}")

    def _without(self) -> str:
        return f"set {self.key}={'false' if self.value is True else 'null'}"


def unreachable(url: str) -> str:
    """Why nothing can be fetched from ``url`` now; nothing where it can."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACHED_AFTER_S):
            return ""
    except (OSError, HTTPException) as error:
        return f"{url}: {_reason(error)}"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    """The first line of what is behind an error of the network."""
    return (str(getattr(error, "reason", "") or error).strip() or type(error).__name__).split("\n")[0]


def _adopted(own: Mapping[str, Tensor], given: Mapping[str, Tensor], *, classes: int, stem: str) -> dict[str, Tensor]:
    """For each weight and buffer of ``own`` the one that is ``given``, but for a last layer with other classes.

    Raises ``ValueError`` for those that are missing or of another shape.
    """
    taken, faults = {}, []
    for name, tensor in own.items():
        other = given.get(name)
        if other is None:
            faults.append(f"{name} is missing")
        elif other.shape == tensor.shape:
            taken[name] = other
        elif other.shape[:1] == (classes,) and other.shape[1:] == tensor.shape[1:]:
            continue  # the last layer
        elif name == stem and other.shape[2:] == tensor.shape[2:] and len(other) == len(tensor):
            taken[name] = _of_channels(other, tensor.shape[1])
        else:
            faults.append(f"{name} is {tuple(other.shape)} instead of {tuple(tensor.shape)}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"has weights of another shape than the model: {', '.join(faults[:3])}{more}")
    return taken


def _of_channels(kernels: Tensor, channels: int) -> Tensor:
    """(O, I, kH, kW) kernels for another number of channels: the sum for one, else repeated and scaled as in timm."""
    if channels == 1:
        return kernels.sum(1, keepdim=True)
    given = kernels.shape[1]
    return kernels.repeat(1, math.ceil(channels / given), 1, 1)[:, :channels] * (given / channels)
