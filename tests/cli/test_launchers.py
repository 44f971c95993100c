"""Sweeps by joblib, submitit and Ray: the same results, endings and stops as by the pool."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.terminal import SMALL, Terminal
from cli.test_pool_launcher import SLOW, SLOWLY, Sweep, of
from omegaconf import DictConfig
from sweep.conftest import Makes, composed, jobs
from sweep.test_pool import when

from hydra_plugins.runner_plugins.frozen_launcher import FrozenLauncher
from hydra_plugins.runner_plugins.joblib_launcher import JoblibLauncher
from hydra_plugins.runner_plugins.ray_launcher import RayLauncher
from hydra_plugins.runner_plugins.submitit_launcher import COMMANDS, LocalSubmititLauncher, SlurmLauncher
from runner.problem import Refused
from runner.sweep.ending import Ending
from runner.sweep.errand import Silent

__all__ = ["composed", "jobs"]  # fixtures

LOOPBACK = (
    *("+hydra.launcher.init._node_ip_address=127.0.0.1", "+hydra.launcher.init.num_cpus=2"),
    *("hydra.launcher.init.include_dashboard=false", "hydra.launcher.init.logging_level=error"),
)
ASKED = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.n_jobs=2",),
    "slurm": (),
    "ray": LOOPBACK,
}
ONE_AT_A_TIME = {
    "joblib": ("hydra.launcher.n_jobs=1",),
    "submitit_local": ("hydra.launcher.n_jobs=1",),
    "ray": ("hydra.launcher.init.num_cpus=1",),
}
TESTS = Path(__file__).resolve().parents[1]
FAKE_SLURM = {
    "sbatch": """
cp "$1" $FAKE_SLURM/script.sh
echo "Submitted batch job $$"
if [ -n "$FAKE_SLURM_IS_FULL" ]; then exit; fi
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for number in $(seq 0 $last); do
    export SLURM_ARRAY_JOB_ID=$$ SLURM_ARRAY_TASK_ID=$number SLURM_JOB_ID=$$$number
    bash "$1" >$FAKE_SLURM/out.$number 2>&1 &
done
""",
    "srun": 'shift 5\nexec "$@"\n',  # --unbuffered --output PATH --error PATH
    "sacct": 'cat "$FAKE_SLURM/accounting"\n',
    "scancel": 'echo "$@" >>$FAKE_SLURM/cancelled\n',
}
"""What there is of Slurm: all jobs of an array run at once, here."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm on the path; the folder of what they leave."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    assert set(FAKE_SLURM) == set(COMMANDS)
    for name, text in FAKE_SLURM.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    (folder / "accounting").write_text("JobID|State|NodeList\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder


class TestSettings:
    """Before anything is started."""

    @pytest.mark.parametrize(
        ("launcher", "line"),
        [
            (JoblibLauncher(n_jobs=0), "hydra.launcher.n_jobs=0: must be a whole number other than 0"),
            (JoblibLauncher(backend="lokey"), "hydra.launcher.backend=lokey: joblib knows "),
            (LocalSubmititLauncher(n_jobs=0), "hydra.launcher.n_jobs=0: must be a whole number of at least 1"),
            (
                LocalSubmititLauncher(timeout_min=1, signal_delay_s=60),
                "hydra.launcher.signal_delay_s=60: leaves a job nothing of its 1 min",
            ),
            (SlurmLauncher(cpus_per_task=0), "hydra.launcher.cpus_per_task=0: must be a whole number of at least 1"),
            (SlurmLauncher(gpus_per_node=-1), "hydra.launcher.gpus_per_node=-1: must be a whole number of at least 0"),
            (SlurmLauncher(mem_gb=0), "hydra.launcher.mem_gb=0: must be more than 0; set hydra.launcher.mem_gb="),
            (RayLauncher(num_cpus=-1), "hydra.launcher.num_cpus=-1: must be a number of at least 0"),
            (RayLauncher(num_cpus=3, init={"num_cpus": 2}), "hydra.launcher.num_cpus=3: this machine's cluster has 2"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, composed: DictConfig, tmp_path: Path, slurm: Path, launcher: FrozenLauncher, line: str
    ) -> None:
        configs = of(composed, tmp_path / "sweep", "mlp__0")
        (told,) = launcher.problems(configs)
        assert told.startswith(line)
        with pytest.raises(Refused):
            launcher.launch_frozen(configs)
        assert not (tmp_path / "sweep").exists()
        assert list(slurm.glob("script*")) == []

    def test_slurm_needs_its_commands(self, composed: DictConfig, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        (told,) = SlurmLauncher().problems(of(composed, tmp_path, "mlp__0"))
        assert told.startswith(
            "hydra/launcher=slurm: this machine has no sbatch, srun, scancel, sacct; start the sweep"
        )

    @pytest.mark.parametrize(
        ("launcher", "extra"),
        [
            (JoblibLauncher(), "joblib"),
            (LocalSubmititLauncher(), "slurm"),
            (SlurmLauncher(), "slurm"),
            (RayLauncher(), "ray"),
        ],
    )
    def test_a_missing_extra_is_named(
        self, composed: DictConfig, tmp_path: Path, monkeypatch: Any, launcher: FrozenLauncher, extra: str
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        (told,) = launcher.problems(of(composed, tmp_path, "mlp__0"))
        assert told.endswith(f"install it with: pip install 'runner[{extra}]'")

    def test_who_leaves_this_machine(self) -> None:
        here = (JoblibLauncher(), LocalSubmititLauncher(), RayLauncher())
        assert [launcher.elsewhere for launcher in here] == [False] * 3
        away = (JoblibLauncher(backend="dask"), SlurmLauncher(), RayLauncher(address="auto"))
        assert [launcher.elsewhere for launcher in away] == [True] * 3

    def test_threads_are_those_of_a_job(self, composed: DictConfig, tmp_path: Path, monkeypatch: Any) -> None:
        configs = of(composed, tmp_path, "mlp__0")
        launchers = (SlurmLauncher(cpus_per_task=6), RayLauncher(num_cpus=3.5), RayLauncher(num_cpus=0.5))
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert [launcher.threads(configs) for launcher in launchers] == [6, 3, 1]
        monkeypatch.setattr("runner.sweep.slots.usable_cores", lambda: 6)
        assert [one.threads(configs) for one in (JoblibLauncher(2), LocalSubmititLauncher(3))] == [3, 2]
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        assert [launcher.threads(configs) for launcher in launchers] == [None] * 3


class TestSlurm:
    """What is asked of Slurm, and what is made of its answers."""

    @pytest.fixture(autouse=True)
    def full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing begins."""
        monkeypatch.setenv("FAKE_SLURM_IS_FULL", "yes")
        monkeypatch.setattr("runner.sweep.by_submitit.LATE_S", 0.0)

    @pytest.mark.slow
    def test_what_is_submitted(self, jobs: Makes, slurm: Path) -> None:
        from submitit.core.utils import DelayedSubmission

        launcher = SlurmLauncher(
            timeout_min=90,
            signal_delay_s=120,
            cpus_per_task=6,
            gpus_per_node=2,
            mem_gb=12.5,
            partition="gpu",
            account="vision",
            qos="low",
            constraint="a100|h100",
            array_parallelism=2,
            setup=["module load cuda"],
            additional_parameters={"gres": "scratch:10", "nice": 5},
        )
        made = jobs("one", "two", "three")
        with launcher.place(made) as place:
            started = list(place.start(made))
        lines = (slurm / "script.sh").read_text().splitlines()
        for option in (
            *("array=0-2%2", "time=90", "signal=USR2@120", "cpus-per-task=6", "gpus-per-node=2", "mem=12800M"),
            *("partition=gpu", "account=vision", "qos=low", "constraint='a100|h100'", "gres=scratch:10", "nice=5"),
            f"job-name={made[0].folder.parent.name}",
        ):
            assert f"#SBATCH --{option}" in lines
        assert lines.index("module load cuda") < next(n for n, line in enumerate(lines) if line.startswith("srun"))
        logs = made[0].folder.parent / ".submitit"
        sent = [DelayedSubmission.load(file).function for file in sorted(logs.glob("*/*_submitted.pkl"))]
        assert [vars(one)["_errand"].job.name for one in sent] == [one.job.name for one in started]
        assert [one.has_begun() for one in started] == [False] * 3

    def test_what_slurm_says_of_jobs_that_left_no_word(self, jobs: Makes, slurm: Path) -> None:
        made = jobs("one", "two", "three")
        with SlurmLauncher().place(made) as place:
            started = list(place.start(made))
            array = started[0].ticket.job_id.partition("_")[0]
            place.stop(started)
            place.kill(started[:1])
            cancelled = (slurm / "cancelled").read_text().splitlines()
            names = " ".join(f"{array}_{number}" for number in range(3))
            assert cancelled == [
                f"--state=PENDING {names}",
                f"--state=RUNNING --signal=INT {names}",
                f"{array}_0",
            ]
            states = ("CANCELLED by 7", "OUT_OF_MEMORY", "REQUEUED")
            rows = [f"{array}_{number}|{state}|\n" for number, state in enumerate(states)]
            (slurm / "accounting").write_text("".join(["JobID|State|NodeList\n", *rows]))
            first, second, third = (
                one.look(Silent(), stopped) for one, stopped in zip(started, ("Ctrl-C", "", ""), strict=True)
            )
        assert first == Ending("unstarted", cause="Ctrl-C")
        assert second is not None
        assert second.cause.startswith("Slurm says OUT_OF_MEMORY; see ")
        assert third is None


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
class TestSweeps:
    """By whole commands."""

    @pytest.fixture(autouse=True)
    def lean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What other tests have imported here is nothing that these jobs need."""
        monkeypatch.setattr("runner.sweep.pool.COSTLY", ())

    @pytest.mark.parametrize("launcher", ASKED)
    def test_results_to_the_bit_and_causes_are_those_of_any_launcher(
        self, terminal: Terminal, ray_folder: Path, launcher: str
    ) -> None:
        asked = ["model.dropout=0.2", "trainer.steps=3", "trainer.log_every_steps=1", "-m"]
        terminal.trains(*asked, "seed=0", "hydra/launcher=basic", "hydra.sweep.dir=basic")
        bad = ["seed=3,0", "+logger.mine._target_=sweep.troubles.Sabotages", "hydra.sweep.dir=sweep"]
        asked += [*bad, f"hydra/launcher={launcher}", *ASKED[launcher]]
        if launcher == "ray":  # which makes this process its own
            assert command(terminal.folder, *asked, f"+hydra.launcher.init._temp_dir={ray_folder}").wait(300) == 1
        else:
            assert terminal.runs(*asked).status == 1
        one, other = (terminal.manifest(f"{sweep}/mlp__0") for sweep in ("basic", "sweep"))
        for key in ("weights_sha256", "metrics", "first_batch_sha256", "threads", "status"):
            assert one[key] == other[key]
        status = terminal.status("sweep/mlp__3")
        assert status["state"] == "failed"
        assert status["reason"] == "killed by SIGKILL: perhaps the system ran out of memory"
        assert (terminal.folder / "sweep/mlp__3/console.log").is_file()

    def test_a_preempted_job_goes_on_as_if_nothing_had_been(self, terminal: Terminal) -> None:
        asked = ["model.dropout=0.2", "trainer.steps=40", "-m", *SLOW[1:]]
        terminal.trains(*asked, "hydra/launcher=basic", "hydra.sweep.dir=basic")
        run = terminal.folder / "sweep/mlp__0"
        thread = when((run / "checkpoints/last.pt").exists, lambda: preempt(terminal.folder / "sweep"))
        local = ["hydra/launcher=submitit_local", "hydra.sweep.dir=sweep", SLOWLY]
        assert terminal.runs(*asked, *local).status == 0
        thread.join()
        sessions = terminal.manifest("sweep/mlp__0")["sessions"]
        assert [session["first_step"] > 0 for session in sessions] == [False, True]
        lines = [(terminal.folder / sweep / "mlp__0/digests.jsonl").read_text() for sweep in ("basic", "sweep")]
        assert lines[0] == lines[1]

    def test_a_job_whose_time_is_up_too_often_has_saved(self, terminal: Terminal) -> None:
        run = terminal.folder / "sweep/mlp__0"
        thread = when((run / "checkpoints/last.pt").exists, lambda: preempt(terminal.folder / "sweep"))
        times = ["timeout_min=1", "signal_delay_s=1", "max_num_timeout=0"]
        local = ["hydra/launcher=submitit_local", *(f"hydra.launcher.{time}" for time in times)]
        answer = terminal.runs(*SLOW, SLOWLY, *local, "hydra.sweep.dir=sweep", "-m")
        thread.join()
        assert answer.status == 1
        status = terminal.status("sweep/mlp__0")
        assert (status["state"], status["step"] > 0) == ("interrupted", True)
        assert "timed-out too many times" in answer.out

    @pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
    def test_ctrl_c_on_a_terminal(self, tmp_path: Path, ray_folder: Path, launcher: str) -> None:
        temp = [f"+hydra.launcher.init._temp_dir={ray_folder}"] if launcher == "ray" else []
        sweep = Sweep(tmp_path, f"hydra/launcher={launcher}", *ASKED[launcher], *temp, *ONE_AT_A_TIME[launcher])
        try:
            sweep.start("seed=0,1")
            sweep.wait_for(lambda: sweep.steps() >= 1)
            os.killpg(sweep.process.pid, signal.SIGINT)
            assert sweep.process.wait(60) == 130, sweep.output()
            sweep.wait_for(lambda: sweep.survivors() == [])
            assert sweep.states() == {"mlp__0": "interrupted"}
            assert "0 of 2 jobs completed, 1 interrupted, 1 unstarted" in sweep.output()
            assert "Traceback" not in sweep.output()
        finally:
            sweep.clear()


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen([sys.executable, "-m", "runner", *SMALL, *arguments], cwd=folder, env=environment)


def preempt(sweep: Path) -> None:
    """As Slurm does it, to what submitit runs: the child of its controller, whose number is the job's."""
    (file,) = sweep.glob(".submitit/*/*_submitted.pkl")
    controller = file.name.partition("_")[0]
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if entry.read_text().rpartition(")")[2].split()[1] == controller:
                os.kill(int(entry.parent.name), signal.SIGUSR2)


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Ray's sockets want a short path."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
