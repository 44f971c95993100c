"""What is in a file of weights, without the model that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from runner import checkpoint, checksums, weights_file
from runner.batch import tensors as tensors_in
from runner.checkpoint import Unsound
from runner.config.identity import identity
from runner.preflight.folder import load
from runner.problem import Failed
from runner.weights_file import UnusableWeights


@dataclass(frozen=True)
class Contents:
    """``tensors`` are the weights and buffers; ``others`` the MiB of what else has memory, by name.

    ``identity`` has the settings that the run's numbers depend on; ``sound`` says how it is known that the bytes are
    those that were written; empty where it is not.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    step: int | None = None
    sound: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """The file, what it says of itself, and a line for each weight: name, shape, type and Euclidean norm."""
        yield self.headline()
        if self.identity:
            yield "settings:"
            yield from (f"  {key}: {value}" for key, value in self.identity.items())
        if self.others:
            yield f"beside the weights: {', '.join(f'{name} {size:.2f} MiB' for name, size in self.others.items())}"
        rows = [(name, _shape(tensor), _dtype(tensor), _norm(tensor)) for name, tensor in self.tensors.items()]
        rows.insert(0, ("weight or buffer", "shape", "dtype", "norm"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for name, shape, dtype, norm in rows:
            yield f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {dtype:<{widths[2]}}  {norm:>{widths[3]}}"
        numbers = sum(tensor.numel() for tensor in self.tensors.values())
        size = sum(tensor.nbytes for tensor in self.tensors.values()) / 2**20
        yield f"{len(self.tensors)} tensors, {numbers:,} numbers, {size:.2f} MiB"

    def headline(self) -> str:
        """``runs/lenet__0/checkpoints/last.pt: step 80, digest ok``."""
        step = "no step" if self.step is None else f"step {self.step}"
        scores = "".join(f", {name} {value:.6g}" for name, value in self.metrics.items())
        return f"{self.path}: {step}{scores}, {self.sound or 'no digest to check it by'}"


def contents(path: Path) -> Contents:
    """Read one of our checkpoints, an archive's safetensors, or anybody's weights. Raises ``Failed`` for a damaged one.

    Nothing in it is run.
    """
    try:
        return _ours(path)
    except Unsound as error:
        if str(error).startswith(f"{path} is damaged"):
            raise Failed(str(error)) from error
    try:
        file = weights_file.read(path)
    except UnusableWeights as error:
        raise Failed(replace(error.problem, key=str(path), value=None).line()) from error
    archive = weights_file.run_of(path)
    noted = path.resolve().relative_to(archive).as_posix() in checksums.known(archive)
    sound = f"as {checksums.NAME} says" if noted else ""
    return Contents(path, file.tensors, file.step, sound, identity=_configured(archive) if noted else {})


def _ours(path: Path) -> Contents:
    content = checkpoint.read(path)
    parts = content.get("parts", {})
    sizes = {name: _mib(part) for name, part in parts.items() if name != "task"}
    return Contents(
        path,
        parts.get("task", content.get("task", {})),
        content["step"],
        "digest ok",
        content.get("metrics", {}),
        content.get("identity") or _configured(weights_file.run_of(path)),
        {name: size for name, size in sizes.items() if size},
    )


def _configured(run: Path) -> dict[str, Any]:
    """The settings of the run that the file lies in, as far as numbers depend on them."""
    config = load(run / ".hydra" / "config.yaml")
    return {} if config is None else identity(config)


def _mib(part: Any) -> float:
    return sum(tensor.nbytes for tensor in tensors_in(part)) / 2**20


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _norm(tensor: Tensor) -> str:
    return f"{tensor.double().norm().item():.6g}"
