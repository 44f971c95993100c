"""How a run is started, other than by its configuration. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """The default starts a run anew and trains all of it."""

    resume: bool = False  # go on from the newest checkpoint in its folder
    threads: int | None = None  # CPU threads where trainer.threads leaves them open: those of the run before
    until_steps: int | None = None  # leave off there, as if interrupted
    change_world_size: bool = False  # go on with another number of processes than the run had
