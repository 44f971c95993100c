"""Sweeps by the pool: real runs in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli.terminal import SMALL, Terminal
from hydra.core.utils import JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict
from sweep.conftest import composed

from hydra_plugins.runner_plugins.pool_launcher import PoolLauncher
from runner.problem import Failed, Refused
from runner.sweep import slots

__all__ = ["composed"]  # a fixture

POOL = ["hydra/launcher=pool", "hydra.sweep.dir=sweep", "-m"]
SLOW = [
    "trainer.steps=60",
    "trainer.log_every_steps=1",
    "trainer.save_every_steps=5",
    "trainer.evaluate_every_steps=5",
]
SLOWLY = "+logger.mine._target_=sweep.troubles.Slows"
TESTS = Path(__file__).resolve().parents[1]


def of(cfg: DictConfig, sweep: Path, *names: str, **settings: Any) -> list[DictConfig]:
    """Frozen configurations, as our sweeper makes them."""
    frozen = []
    for number, name in enumerate(names):
        config = cfg.copy()
        with open_dict(config):
            config.hydra.sweep.dir, config.hydra.sweep.subdir = str(sweep), name
            config.hydra.job.id = config.hydra.job.num = config.seed = number
            for key, value in settings.items():
                config.trainer[key] = value
        frozen.append(config)
    return frozen


class TestSettings:
    """Before anything is started."""

    @pytest.fixture(autouse=True)
    def two_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")

    @pytest.mark.parametrize(
        ("launcher", "device", "line"),
        [
            (PoolLauncher(gpus=[3]), "auto", "hydra.launcher.gpus=[3]: visible GPUs are 0 to 1; name some of these"),
            (PoolLauncher(n_jobs=3), "auto", "hydra.launcher.n_jobs=3: there is room for 2 jobs on 2 GPUs"),
            (PoolLauncher(n_jobs=0), "cpu", "hydra.launcher.n_jobs=0: must be a whole number of at least 1"),
            (
                PoolLauncher(),
                "cuda:1",
                "trainer.device=cuda:1: each job is given a GPU of its own, which is cuda:0 to it",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, composed: DictConfig, tmp_path: Path, launcher: PoolLauncher, device: str, line: str
    ) -> None:
        configs = of(composed, tmp_path, "mlp__0", device=device)
        (told,) = launcher.problems(configs)
        assert told.startswith(line)
        with pytest.raises(Refused):
            launcher.launch_frozen(configs)
        assert list(tmp_path.iterdir()) == []

    def test_jobs_on_the_cpu_need_no_gpu(self, composed: DictConfig, tmp_path: Path) -> None:
        assert PoolLauncher(n_jobs=3).problems(of(composed, tmp_path, "mlp__0", device="cpu")) == []

    def test_nothing_to_do(self) -> None:
        assert PoolLauncher().launch_frozen([]) == []


@pytest.mark.slow
class TestLaunching:
    """By the seam between sweeper and launcher."""

    def test_returns_are_those_of_hydra(self, composed: DictConfig, tmp_path: Path) -> None:
        good, other = of(composed, tmp_path, "one", "two", steps=2)
        with open_dict(other):
            other.model._target_ = "cli.user_code.BreaksAtStepTwo"
            other.model.pop("hidden")
            other.model.pop("dropout")
        names: list[str] = []
        first, second = PoolLauncher(n_jobs=2).launch_frozen([good, other], on_end=names.append)
        assert sorted(names) == ["one", "two"]
        assert (first.status, second.status) == (JobStatus.COMPLETED, JobStatus.FAILED)
        assert first.return_value["test/loss"] > 0
        assert isinstance(second._return_value, Failed)
        assert str(second._return_value) == "ValueError: the lookup table has no entry for 17"
        assert first.cfg is not None
        assert first.hydra_cfg is not None
        assert first.cfg == {key: value for key, value in good.items() if key != "hydra"}
        assert first.hydra_cfg.hydra.runtime.output_dir == str(tmp_path / "one")

    def test_threads_are_split_and_recorded_and_kept_by_a_run_that_goes_on(
        self, composed: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr(slots, "usable_cores", lambda: 6)

        def threads(launcher: PoolLauncher, configs: Sequence[DictConfig], **settings: Any) -> list[int]:
            launcher.launch_frozen(configs, **settings)
            return [
                json.loads((tmp_path / config.hydra.sweep.subdir / "manifest.json").read_text())["threads"]
                for config in configs
            ]

        split = of(composed, tmp_path, "one", "two", steps=2)
        assert threads(PoolLauncher(n_jobs=2), split) == [3, 3]
        longer = of(composed, tmp_path, "one", "two", steps=4)
        assert threads(PoolLauncher(n_jobs=3), longer, resume=[True, True]) == [3, 3]
        assert threads(PoolLauncher(n_jobs=2), of(composed, tmp_path, "own", steps=1, threads=1)) == [1]

    def test_hydras_own_way(self, composed: DictConfig, tmp_path: Path) -> None:
        """As any sweeper calls it: with overrides, composed here."""

        class Loader:
            def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
                return of(master, tmp_path, *overrides, steps=1)[0]

        launcher = PoolLauncher()
        context = HydraContext(config_loader=Loader(), callbacks=None)  # type: ignore[arg-type]
        launcher.setup(hydra_context=context, task_function=print, config=composed)
        (ended,) = launcher.launch([["plain"]], initial_job_idx=7)
        assert ended.status == JobStatus.COMPLETED
        assert (tmp_path / "plain/manifest.json").is_file()
        assert ended.hydra_cfg is not None
        assert ended.hydra_cfg.hydra.job.num == 7


@pytest.mark.slow
class TestSweeps:
    """By commands in this process."""

    @pytest.mark.parametrize("data", [["trainer.resident=device"], ["trainer.resident=never", "trainer.workers=2"]])
    def test_results_are_those_of_the_basic_launcher_to_the_bit(self, terminal: Terminal, data: list[str]) -> None:
        asked = [*data, "model.hidden=[8],[4]", "model.dropout=0.2", "seed=0,1", "trainer.steps=6", "-m"]
        terminal.trains(*asked, "hydra/launcher=basic", "hydra.sweep.dir=basic")
        terminal.trains(*asked, "hydra/launcher=pool", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=pool")
        names = sorted(folder.name for folder in (terminal.folder / "basic").glob("mlp__*"))
        assert len(names) == 4
        for name in names:
            one, other = terminal.manifest(f"basic/{name}"), terminal.manifest(f"pool/{name}")
            for key in ("config", "weights_sha256", "metrics", "best", "threads"):
                assert one[key] == other[key]
            lines = [
                (terminal.folder / launcher / name / "digests.jsonl").read_text() for launcher in ("basic", "pool")
            ]
            assert lines[0] == lines[1]
            assert "hydra/launcher=pool" in other["argv"]

    def test_a_failed_job_leaves_its_traceback_in_both_logs(self, terminal: Terminal) -> None:
        broken = ["model._target_=cli.user_code.BreaksAtStepTwo", "~model.hidden", "~model.dropout"]
        assert terminal.runs(*POOL, *broken).status == 1
        for log in ("console.log", "runner.log"):
            told = (terminal.folder / "sweep/mlp__0" / log).read_text()
            assert "Traceback" in told
            assert "no entry for 17" in told


class Sweep:
    """A sweep of slow runs in a process group of its own, as a terminal starts one. Its processes carry a mark."""

    def __init__(self, folder: Path, *launcher: str) -> None:
        self.folder = folder
        self.launcher = [*launcher, "hydra.sweep.dir=sweep", "-m"] if launcher else POOL
        self.mark = f"POOL_TEST_SWEEP={folder}"

    def start(self, *arguments: str) -> None:
        name, _, value = self.mark.partition("=")
        environment = {**os.environ, name: value, "PYTHONPATH": str(TESTS)}
        command = [sys.executable, "-m", "runner", *SMALL, *SLOW, SLOWLY, *self.launcher, *arguments]
        with (self.folder / "output.txt").open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def wait_for(self, condition: Callable[[], bool], limit_s: float = 90) -> None:
        until_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < until_s, self.output()
            time.sleep(0.05)

    def steps(self) -> int:
        """The jobs that have a checkpoint."""
        return len(list(self.folder.glob("sweep/*/checkpoints/last.pt")))

    def states(self) -> dict[str, str]:
        files = sorted(self.folder.glob("sweep/*/status.json"))
        return {file.parent.name: json.loads(file.read_text())["state"] for file in files}

    def survivors(self) -> list[str]:
        """What runs that was started by the sweep, or by what it started."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()[:200]!r}")
            except OSError:
                continue
        return found

    def clear(self) -> None:
        for line in self.survivors():
            os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.mark.slow
class TestEnds:
    """By commands in processes that are stopped."""

    @pytest.fixture
    def sweep(self, tmp_path: Path) -> Iterator[Sweep]:
        made = Sweep(tmp_path)
        yield made
        made.clear()

    def test_ctrl_c_on_a_terminal(self, sweep: Sweep) -> None:
        """Everything in the foreground gets it: the sweep stops its jobs, none is killed by it."""
        sweep.start("seed=0,1,2", "hydra.launcher.n_jobs=2")
        sweep.wait_for(lambda: sweep.steps() >= 2)
        os.killpg(sweep.process.pid, signal.SIGINT)
        assert sweep.process.wait(60) == 130
        sweep.wait_for(lambda: sweep.survivors() == [])
        assert sweep.states() == {"mlp__0": "interrupted", "mlp__1": "interrupted"}
        said = sweep.output()
        assert "interrupted by SIGINT: 2 jobs save and stop; Ctrl-C again kills" in said
        assert "interrupted by SIGINT: 0 of 3 jobs completed, 2 interrupted, 1 unstarted" in said
        assert "Traceback" not in said
