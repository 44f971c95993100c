"""Whether loaded data sets mean the same, so that one model can learn from all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runner.data.draws import seeded
from runner.data.source import Splits

VOCABULARIES = ("source_vocabulary", "target_vocabulary")

MEANINGS: dict[str, Callable[[Splits], Any]] = {
    "shape": lambda splits: splits.spec,
    "class names": lambda splits: tuple(splits.class_names) or None,
    "novel classes": lambda splits: tuple(splits.novel_classes),
    "vocabularies": lambda splits: [splits.notes.get(key) for key in VOCABULARIES],
    "kinds of tensors": lambda splits: _tensors(splits),
}
"""What must be the same; None goes with anything."""


def require_alike(loaded: Mapping[str, Splits]) -> None:
    """Raises ``ValueError`` for a set that means something else than the first one."""
    for what, meaning in MEANINGS.items():
        told = [(name, own) for name, splits in loaded.items() if (own := meaning(splits)) is not None]
        for (first, wanted), (name, own) in zip(told[:1] * len(told), told, strict=True):
            if own != wanted:
                raise ValueError(
                    f"{name} has other {what} than {first}: {_short(own)}, not {_short(wanted)}; "
                    "one model cannot learn both: leave one of them out of dataset.sets"
                )


def _tensors(splits: Splits) -> list[tuple[str, tuple[int, ...]]] | None:
    """Types and shapes of those that an example consists of; None without examples."""
    for part in (splits.train, splits.valid, splits.test):
        if len(part):
            with seeded(0):  # examples may draw while they are read
                return [(str(tensor.dtype), tuple(tensor.shape)) for tensor in part[0]]
    return None


def _short(value: object, length: int = 120) -> str:
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}…"
