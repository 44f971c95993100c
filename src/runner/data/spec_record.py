"""The shape of a run's examples, as its manifest keeps it: a model is built again without the data. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from runner.data.source import AnySpec, BoxSpec, MaskSpec, PairSpec, SequenceSpec, Spec

SPECS = {spec.kind: spec for spec in (Spec, PairSpec, MaskSpec, BoxSpec, SequenceSpec)}


def recorded(spec: AnySpec) -> dict[str, Any] | None:
    """As plain values; None for a shape of a class that is not ours."""
    if SPECS.get(spec.kind) is not type(spec) or not is_dataclass(spec):
        return None
    return {"kind": spec.kind, **asdict(spec)}


def restored(record: Mapping[str, Any] | None) -> AnySpec | None:
    """The shape that ``recorded`` gave, after JSON; None where there is none."""
    if not record:
        return None
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items() if key != "kind"}
    made: Any = SPECS[record["kind"]]
    spec: AnySpec = made(**values)
    return spec
