"""Checks of the settings that data sets share. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runner.data.source import Problem

ImageSize = int | Sequence[int] | None
Statistics = Sequence[float] | None


def whole_number(value: object, *, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def size_or(image_size: ImageSize, native: tuple[int, int]) -> tuple[int, int]:
    """(height, width); None means ``native``, one number a square. Raises ``ValueError`` for others."""
    require_none(image_size_problems(image_size))
    if image_size is None:
        return native
    if isinstance(image_size, int):
        return (image_size, image_size)
    height, width = image_size
    return (height, width)


def require_none(problems: Iterable[Problem]) -> None:
    """Raises ``ValueError`` with the first of ``problems``, if there is one."""
    for problem in problems:
        raise ValueError(f"dataset.{problem.key} {problem.text}; {problem.remedy}")


def image_size_problems(image_size: object, *, optional: bool = True) -> list[Problem]:
    pair = list(image_size) if isinstance(image_size, list | tuple) else [image_size, image_size]
    if (optional and image_size is None) or (len(pair) == 2 and all(whole_number(n, at_least=1) for n in pair)):
        return []
    text = f"must be pixels or [height, width], got {image_size!r}"
    return [Problem("image_size", image_size, text, "set dataset.image_size=32")]


def number_problems(at_least: int, **values: object) -> list[Problem]:
    """One for each value that is not a whole number from ``at_least``."""
    return [
        Problem(
            key,
            value,
            f"must be a whole number, at least {at_least}, got {value!r}",
            f"set dataset.{key}={at_least}",
        )
        for key, value in values.items()
        if not whole_number(value, at_least=at_least)
    ]


def fraction_problems(**fractions: object) -> list[Problem]:
    """One for each fraction that is not between 0 and 1."""
    return [
        Problem(key, value, f"must lie between 0 and 1, got {value!r}", f"set dataset.{key}=0.1")
        for key, value in fractions.items()
        if not (isinstance(value, int | float) and 0 < value < 1)
    ]


def class_problems(novel_classes: object, *, num_classes: int) -> list[Problem]:
    """They are a list of different classes, and leave one."""
    found = list(novel_classes) if isinstance(novel_classes, list | tuple) else None
    whole = found is not None and all(whole_number(one, at_least=0) and one < num_classes for one in found)
    if found is not None and whole and len(set(found)) == len(found) < num_classes:
        return []
    text = f"must list classes between 0 and {num_classes - 1}, each once and not all of them, got {novel_classes!r}"
    return [Problem("novel_classes", novel_classes, text, "set dataset.novel_classes=[2,7], or [] for none")]


def statistics_problems(mean: object, std: object, *, channels: int) -> list[Problem]:
    """Both are None, or both hold one number for each channel, and no std is zero or less."""
    problems = []
    for key, value, other in (("mean", mean, std), ("std", std, mean)):
        remedy = f"set dataset.{key} to {channels} numbers, or dataset.mean=null dataset.std=null to compute both"
        numbers = list(value) if isinstance(value, list | tuple) else []
        if value is None and other is not None:
            problems.append(Problem(key, value, "must be given when the other of mean and std is", remedy))
        elif value is not None and (
            len(numbers) not in (1, channels) or not all(isinstance(n, int | float) for n in numbers)
        ):
            text = f"must hold one number, or one for each of {channels} channels, got {value!r}"
            problems.append(Problem(key, value, text, remedy))
        elif key == "std" and any(n <= 0 for n in numbers):
            problems.append(Problem(key, value, f"must be above 0, got {value!r}", remedy))
    return problems


def colour_problems(channels: object, mean: Statistics, std: Statistics) -> list[Problem]:
    """Of images from files, which are grey or coloured, with the statistics of each channel."""
    if channels not in (1, 3):
        return [Problem("channels", channels, f"must be 1 or 3, got {channels!r}", "set dataset.channels=3")]
    return statistics_problems(mean, std, channels=3 if channels == 3 else 1)
