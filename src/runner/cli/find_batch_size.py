"""``python -m runner find-batch-size [key=value ...] [margin_fraction=0.1]``: the largest batch that fits a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.cli.candidate import candidate, numbers, on_device
from runner.problem import Failed, Refused

if TYPE_CHECKING:
    from runner.finding.memory import Sizes

ONE_PROCESS = "find-batch-size: looks at one process; leave trainer.nproc and torchrun out"
ON_A_GPU = (
    "find-batch-size: needs a GPU, whose memory ends where a batch no longer fits; "
    "on the CPU the machine would swap first: set trainer.batch_size by hand"
)


def main(argv: Sequence[str]) -> int:
    """Print the largest batch size that fits, and one that leaves ``margin_fraction`` of the memory free."""
    values, words = numbers(argv, {"margin_fraction": 0.1})
    margin_fraction = values["margin_fraction"]
    if not 0 <= margin_fraction < 1:
        raise Refused([f"margin_fraction={margin_fraction:g}: must lie between 0 and 1; set margin_fraction=0.1"])
    cfg, _ = candidate(words, verb="find-batch-size", one="leave -m out")
    from runner.preflight.ranks import world_size_of

    if world_size_of(cfg.trainer.nproc) > 1:
        raise Refused([ONE_PROCESS])
    with on_device(cfg) as device:
        if device.type != "cuda":
            raise Refused([ON_A_GPU])
        from runner.finding.memory import Sizes, room_gib

        room = room_gib(device)
        sizes = Sizes(cfg, device)
        largest = sizes.largest()
        suggested = sizes.largest(room * (1 - margin_fraction)) if largest else 0
    if not suggested:
        raise Failed(f"not one sample fits into {room * (1 - margin_fraction):.1f} GiB; choose a smaller model")
    print("\n".join(lines(sizes, largest, suggested, room)))
    return 0


def lines(sizes: Sizes, largest: int, suggested: int, room: float) -> Iterator[str]:
    """For the console: what was tried, and what came out. Memory is what torch has reserved."""
    yield f"{'batch_size':>10}  {'GiB':>8}   of {room:.1f} GiB that are free"
    for batch_size, peak in sorted(sizes.peaks_gib.items()):
        yield f"{batch_size:>10}  {f'{peak:.2f}' if peak < float('inf') else 'too much':>8}"
    whole = ", which is the whole training part" if largest == sizes.samples else ""
    yield f"largest:    trainer.batch_size={largest}, {sizes.peaks_gib[largest]:.2f} GiB{whole}"
    yield f"suggestion: trainer.batch_size={suggested}, {sizes.peaks_gib[suggested]:.2f} GiB"
