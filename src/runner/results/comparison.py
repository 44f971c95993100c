"""Two runs side by side: whether their numbers are the same to the bit, where they part, and what may explain it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.results import differences
from runner.results.parting import Parting, differing_metrics, largest_difference, parting_at
from runner.results.recorded import Recorded, read_run

UNEXPLAINED = (
    "nothing that was recorded explains this: configuration, code, environment and data are the same",
    "chance from outside the seed (a clock, a file), or kernels of a GPU that add in no fixed order?",
    "debug=determinism names the first operation that differs",
)


@dataclass(frozen=True)
class Comparison:
    """Run A (``left``) beside run B (``right``). Fields of lines are empty where nothing differs.

    ``evaluations`` counts those found the same, ``up_to`` is the step of the last of them, ``tensors`` how many it
    compared. ``shortened`` says why not all evaluations were compared, ``incomparable`` why none could be.
    ``checkouts`` may differ while the code that ran, ``sources``, is the same.
    """

    left: Recorded
    right: Recorded
    evaluations: int
    up_to: int
    tensors: int
    start: tuple[str, ...]
    parting: Parting | None
    final: tuple[str, ...]
    final_compared: bool
    shortened: str
    incomparable: str
    configuration: tuple[str, ...]
    sources: tuple[str, ...]
    checkouts: tuple[str, ...]
    environment: tuple[str, ...]
    data: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """The numbers are the same to the bit. The other differences only explain why they are not."""
        return not (self.start or self.parting or self.final or self.incomparable)

    @property
    def code(self) -> tuple[str, ...]:
        return (*self.sources, *self.checkouts)

    @property
    def explained(self) -> bool:
        """Something that was recorded may be the reason why the numbers differ."""
        return bool(self.configuration or self.sources or self.environment or self.data)

    def verdict(self) -> str:
        """The line that says it all."""
        count = f"{self.evaluations} evaluation{'' if self.evaluations == 1 else 's'}"
        if self.identical:
            scores = ", test scores" if self.final_compared else ""
            if not self.shortened:
                return f"IDENTICAL: {count}, {self.tensors} tensors{scores}"
            return f"IDENTICAL up to step {self.up_to}: {count}, {self.tensors} tensors; {self.shortened}"
        agreed = f"; {count} before it the same" if self.evaluations else ""
        if self.parting is not None:
            return f"DIFFERENT from {self.parting.place} on{agreed}"
        if self.start:
            return f"DIFFERENT at the start{agreed.replace('before it', 'after it')}"
        if self.final:
            return f"DIFFERENT in the end{agreed}"
        return f"NOTHING TO COMPARE: {self.incomparable}"

    def lines(self) -> Iterator[str]:
        """The report: the verdict, which run is A and which B, then only what differs.

        Lines of code that changed are shown where they may explain something.
        """
        yield self.verdict()
        yield f"  A: {self.left.folder} ({self.left.ending()})"
        yield f"  B: {self.right.folder} ({self.right.ending()})"
        sections = {
            "numbers": self._numbers(),
            "configuration": self.configuration,
            "code": [line for line in self.code if not (self.identical and line.startswith("  "))],
            "environment": self.environment,
            "data": self.data,
        }
        for title, content in sections.items():
            if content:
                yield title
                yield from (f"  {line}" for line in content)

    def _numbers(self) -> list[str]:
        parting = () if self.parting is None else self.parting.lines()
        numbers = [*self.start, *parting, *self.final]
        if numbers and self.incomparable:
            numbers.append(self.incomparable)
        return [*numbers, *UNEXPLAINED] if numbers and not self.explained else numbers

    def text(self) -> str:
        return "\n".join(self.lines())


def compare(left: Path, right: Path, *, until_step: int | None = None) -> Comparison:
    """Compare what two runs recorded, A in ``left`` and B in ``right``; no further than ``until_step`` if given.

    Of two runs of unequal length the longer is compared as far as the shorter one evaluated. Times never count.
    Raises ``ValueError`` for a folder that is no run, and for records that cannot be understood.
    """
    a, b = read_run(left), read_run(right)
    steps = _steps(a, b, until_step)
    parting = next((found for step in steps if (found := parting_at(step, a, b)) is not None), None)
    agreed = [step for step in steps if step > 0 and (parting is None or step < parting.step)]
    start = tuple(_start(a, b))
    ended_alike = until_step is None and a.step == b.step
    whole = ended_alike and a.completed and b.completed
    final = list(_final(a, b)) if whole else []
    if ended_alike and (start or parting or final):
        final += _furthest_apart(a, b)
    return Comparison(
        left=a,
        right=b,
        evaluations=len(agreed),
        up_to=agreed[-1] if agreed else 0,
        tensors=len(a.evaluations[agreed[-1]].tensors) if agreed else 0,
        start=start,
        parting=parting,
        final=tuple(final),
        final_compared=whole and bool(_scores(a)),
        shortened=_shortened(a, b, until_step),
        incomparable="" if any(steps) else _incomparable(a, b, until_step),  # step 0 is no evaluation
        configuration=tuple(differences.configuration(a, b)),
        sources=tuple(differences.sources(a, b)),
        checkouts=tuple(differences.checkouts(a, b)),
        environment=tuple(differences.environment(a, b)),
        data=tuple(differences.data(a, b)),
    )


def _steps(a: Recorded, b: Recorded, until_step: int | None) -> list[int]:
    """The steps to compare. A run evaluates where it ends, whatever its cadence: a longer one need not do so there."""
    last = min(a.last_evaluation, b.last_evaluation)
    both, either = set(a.evaluations) & set(b.evaluations), set(a.evaluations) | set(b.evaluations)
    steps = (step for step in sorted(either) if step < last or (step == last and step in both))
    return [step for step in steps if until_step is None or step <= until_step]


def _shortened(a: Recorded, b: Recorded, until_step: int | None) -> str:
    shorter, longer, name = (a, b, "A") if a.last_evaluation < b.last_evaluation else (b, a, "B")
    if until_step is not None and shorter.last_evaluation >= until_step:
        return "no more was asked for"
    if shorter.last_evaluation == longer.last_evaluation:
        return ""
    return f"{name} evaluated no further ({shorter.ending()})"


def _incomparable(a: Recorded, b: Recorded, until_step: int | None) -> str:
    """Why no evaluation could be compared."""
    without = [f"{side} recorded no evaluation ({run.ending()})" for side, run in _sides(a, b) if not _evaluated(run)]
    if without:
        return "; ".join(without)
    limit = "" if until_step is None else f" up to step {until_step}"
    first = " and ".join(f"step {_evaluated(run)[0]} in {side}" for side, run in _sides(a, b))
    return f"no evaluation in common{limit}; the first is at {first}"


def _sides(a: Recorded, b: Recorded) -> tuple[tuple[str, Recorded], ...]:
    return ("A", a), ("B", b)


def _evaluated(run: Recorded) -> list[int]:
    return [step for step in run.evaluations if step > 0]


def _start(a: Recorded, b: Recorded) -> Iterator[str]:
    """What training began with. A digest that one of them did not record says nothing."""
    for key, name in (("initial_weights_sha256", "initial weights"), ("first_batch_sha256", "first batches")):
        if _differ(a, b, key):
            yield f"the {name} differ"


def _final(a: Recorded, b: Recorded) -> Iterator[str]:
    if _differ(a, b, "weights_sha256"):
        yield "the final weights differ"
    yield from differing_metrics(_scores(a), _scores(b))


def _differ(a: Recorded, b: Recorded, key: str) -> bool:
    ours, theirs = a.manifest.get(key), b.manifest.get(key)
    return bool(ours and theirs and ours != theirs)


def _scores(run: Recorded) -> Mapping[str, float]:
    scores: Mapping[str, float] = run.manifest.get("metrics") or {}
    return scores


def _furthest_apart(a: Recorded, b: Recorded) -> Iterator[str]:
    """Of two runs that kept their weights of the same step: which of them differ most."""
    files = [run.folder / "checkpoints" / "last.pt" for run in (a, b)]
    if not all(file.is_file() for file in files):
        return
    from runner import checkpoint  # torch: only here, where there are weights to compare

    try:
        left, right = (checkpoint.read(file) for file in files)
    except ValueError as error:
        yield f"the last weights cannot be compared: {error}"
        return
    found = largest_difference(left["parts"]["task"], right["parts"]["task"]) if left["step"] == right["step"] else None
    if found is not None:
        name, distance = found
        yield f"step {left['step']}: the weights are furthest apart in {name}, by {distance:.3g}"
