# python benchmarks/kill.py --kills 200            at random instants
# python benchmarks/kill.py --aimed --kills 100    where something is being written
"""Kill training with SIGKILL, resume it with the real command, and compare with a run that was never killed.

Each process is a fork of this one, which has imported torch and started nothing, and runs ``runner.cli.main.main``: so
it starts in a second. What it leaves when it is killed is what any process leaves.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a process that has started threads cannot be forked

from boundaries import Boundaries
from remains import differences
from scenarios import SCENARIOS, Scenario
from traces import Traces, logged_bytes

from runner.cli.main import main as command

LOADED = (  # here, once, so that no process has to: most of what a command loads, of which most is torch's
    *("runner.run", "runner.cli.app", "runner.cli.resume", "runner.preflight.check", "runner.preflight.trial"),
    *("runner.models", "runner.optim.schedulers", "runner.data.sources", "runner.observers.csv_files"),
    *("torch._dynamo", "torch.utils.tensorboard", "torchmetrics", "torchvision.transforms.v2", "torchvision.models"),
)
STEPS, AIMED_STEPS = 24, 6
KILLS_A_RUN = 8
AT_ANY_TIME = 0.25  # of the kills come at any time after the start; the others once steps are made
START_S = 1.5  # about what a process takes until it trains
SHOWN = 10


class Broken(Exception):
    """A command that did not end well."""


def life(
    argv: Sequence[str],
    log: Path,
    *,
    before: Callable[[], object] = lambda: None,
    kill: Callable[[int], object] | None = None,
) -> int:
    """Run a command in a process of its own, after ``before``; its exit status, -9 when it was killed.

    ``kill`` is told the process and waits for its instant: the process is killed when it returns.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _live(argv, log, before)
    if kill is not None:
        kill(pid)
        os.kill(pid, signal.SIGKILL)  # one that has ended stays until it was waited for
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _live(argv: Sequence[str], log: Path, before: Callable[[], object]) -> None:
    status = 70
    try:
        with log.open("wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        print(">", *argv, flush=True)
        before()
        status = command(list(argv))
        sys.stdout.flush()
    finally:
        os._exit(status)


def has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@dataclass
class Campaign:
    """Kills and what came of them, in folders under ``root``."""

    root: Path
    random: random.Random
    tally: Counter[str] = field(default_factory=Counter)
    where: Counter[str] = field(default_factory=Counter)
    window_s: dict[str, float] = field(default_factory=dict)  # after its first step, in which a scenario is killed

    @property
    def well(self) -> bool:
        return not (self.tally["different"] or self.tally["broken"])

    def report(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.tally.items())
        return "\n".join([counts, *(f"{count:6d}  {place}" for place, count in self.where.most_common())])

    def lives(self, argv: Sequence[str], **options: Callable[..., object]) -> bool:
        """Run a command; whether it came to its end. Raises ``Broken`` when it failed."""
        log = self.root / "log"
        status = life(argv, log, **options)
        if status not in (0, -signal.SIGKILL):
            raise Broken(f"exit status {status}:\n{log.read_text()[-4000:]}")
        return status == 0

    def command(self, scenario: Scenario, folder: Path, *, steps: int, times: int) -> list[str]:
        """What goes on with the run in ``folder``, if there is one; otherwise what starts it."""
        state = Traces.of(folder).state
        self.tally["resumed" if state else "started"] += 1
        if state == "completed":
            return ["resume", str(folder)]
        return scenario.resumed(folder, times=times) if state else scenario.started(folder, steps=steps)

    def killed(self, folder: Path, before: Traces) -> Traces:
        after = Traces.of(folder)
        self.tally["killed"] += 1
        self.where[after.since(before)] += 1
        return after

    def compare(self, scenario: Scenario, folder: Path, *, steps: int) -> None:
        """Say in what ``folder`` is not what a run leaves that nobody disturbs, and remove it."""
        whole = self.root / f"{scenario.name}_whole"
        if not whole.is_dir():
            self.lives(scenario.started(whole, steps=steps))
        differing = differences(whole, folder)
        self.tally["different" if differing else "identical"] += 1
        for line in differing[:SHOWN]:
            print(f"{folder.name}: {line}")
        shutil.rmtree(folder)

    def kill_at_random(self, scenario: Scenario, *, kills: int, steps: int) -> int:
        """One run, killed up to ``kills`` times; how often it was."""
        folder = self.root / scenario.name
        window_s = self.window_s.setdefault(scenario.name, 0.3)
        for times in range(kills):
            before = Traces.of(folder)
            argv = self.command(scenario, folder, steps=steps, times=times)
            if self.lives(argv, kill=functools.partial(self._instant, folder, window_s)):
                self.window_s[scenario.name] = window_s / 2
                break
            gained = self.killed(folder, before).step - before.step
            window_s *= 0.8 if gained > steps / (kills + 1) else 1.1
            self.window_s[scenario.name] = window_s
        else:
            times = kills
            self.lives(self.command(scenario, folder, steps=steps, times=times))
        self.compare(scenario, folder, steps=steps)
        return times

    def _instant(self, folder: Path, window_s: float, pid: int) -> None:
        if self.random.random() < AT_ANY_TIME:
            window_s = START_S
        else:
            before = logged_bytes(folder)
            while not has_ended(pid) and logged_bytes(folder) == before:
                time.sleep(0.002)
        time.sleep(self.random.uniform(0, window_s))

    def aim(self, scenario: Scenario, *, kills: int | None, steps: int) -> None:
        """Kill a run, and one that goes on, at each call that changes a file, or at ``kills`` of them."""
        stump, watched = self.root / f"{scenario.name}_stump", self.root / f"{scenario.name}_watched"
        calls = self._calls(scenario.started(watched, steps=steps), watched)
        shutil.rmtree(watched)
        half = Boundaries(stump, last=len(calls) // 2)
        self.lives(scenario.started(stump, steps=steps), before=half.watch)
        shutil.copytree(stump, watched)
        further = self._calls(scenario.resumed(watched), watched)
        targets = [(None, *target) for target in _targets(calls)] + [(stump, *target) for target in _targets(further)]
        for target in targets if kills is None else self.random.sample(targets, min(kills, len(targets))):
            self._kill_at(scenario, *target, steps=steps)

    def _calls(self, argv: Sequence[str], folder: Path) -> list[str]:
        told = self.root / "calls"
        self.lives(argv, before=lambda: Boundaries(folder, told=told).watch())
        return told.read_text().splitlines()

    def _kill_at(self, scenario: Scenario, stump: Path | None, number: int, torn: bool, *, steps: int) -> None:
        """A run, or one that goes on from ``stump``: killed at its ``number``-th call, then left alone."""
        folder = self.root / scenario.name
        if stump is not None:
            shutil.copytree(stump, folder)
        before = Traces.of(folder)
        argv = self.command(scenario, folder, steps=steps, times=0)
        if not self.lives(argv, before=lambda: Boundaries(folder, last=number, torn=torn).watch()):
            self.killed(folder, before)
        self.lives(self.command(scenario, folder, steps=steps, times=1))
        self.compare(scenario, folder, steps=steps)


def _targets(calls: Sequence[str]) -> list[tuple[int, bool]]:
    """Before each call, and in the middle of what one writes."""
    return [(number, torn) for number, call in enumerate(calls) for torn in (False, True) if not torn or _writes(call)]


def _writes(call: str) -> bool:
    return call.startswith("write ")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every run came out as if it had never been killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, help="how many: 20 unless given, with --aimed all that there are")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--aimed", action="store_true", help="kill where files change, instead of at random")
    parser.add_argument("--scenario", choices=[scenario.name for scenario in SCENARIOS], help="only this one")
    args = parser.parse_args(argv)
    scenarios = [scenario for scenario in SCENARIOS if args.scenario in (None, scenario.name)]
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), random.Random(args.seed))
        try:
            (_aimed if args.aimed else _at_random)(campaign, scenarios, args.kills)
        except Broken as broken:
            print(broken)
            campaign.tally["broken"] += 1
    print(campaign.report())
    return 0 if campaign.well else 1


def _aimed(campaign: Campaign, scenarios: Sequence[Scenario], kills: int | None) -> None:
    share = None if kills is None else -(-kills // len(scenarios))
    for scenario in scenarios:
        campaign.aim(scenario, kills=share, steps=AIMED_STEPS)


def _at_random(campaign: Campaign, scenarios: Sequence[Scenario], kills: int | None) -> None:
    left = 20 if kills is None else kills
    a_run = min(KILLS_A_RUN, -(-left // len(scenarios)))
    for scenario in itertools.cycle(scenarios):
        if left <= 0:
            return
        left -= campaign.kill_at_random(scenario, kills=min(a_run, left), steps=STEPS)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
