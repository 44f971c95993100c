"""What is wrong with a run, or with the jobs of a sweep: key, value and remedy, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.preflight import Job, check

if TYPE_CHECKING:
    from preflight.conftest import Changed, Found

MINE = {"model.hidden": ..., "model.dropout": ...}
TRIVIAL = {"_target_": "runner.data.augment.Trivial"}
CONSOLE = {"logger.mine": {"_target_": "runner.observers.Console"}}
REACHED = {"_target_": "runner.stopping.Reached", "monitor": "valid/accuracy"}

WRONG: list[tuple[dict[str, Any], list[str]]] = [
    # keys that nothing reads
    ({"foo": 1}, ["foo=1: is read by nothing; remove +foo"]),
    ({"sede": 1}, ["sede=1: is read by nothing; did you mean seed?"]),
    ({"trainer.epoch": 5}, ["trainer.epoch=5", "did you mean trainer.epochs?"]),
    ({"debug.sample": 5}, ["debug.sample=5", "did you mean debug.samples?"]),
    # values
    ({"optimizer.lr": "???"}, ["optimizer.lr=???: has no value; set optimizer.lr=<value>"]),
    ({"optimizer.lr": "abc"}, ["optimizer.lr=abc"]),
    ({"optimizer.lr": "fnd"}, ["optimizer.lr=fnd: must be a number; did you mean find?"]),
    ({"optimizer.eps": "find"}, ["optimizer.eps=find: must be a number; set optimizer.eps=<value>"]),
    ({"optimizer.lr": "find", "trainer.nproc": 2}, ["optimizer.lr=find: is looked for by one process, got 2"]),
    ({"optimizer.lr": None}, ["optimizer.lr"]),
    ({"stopping": {"target": {**REACHED, "value": "high"}}}, ["stopping.target.value=high: must be a number; set"]),
    ({"stopping": {"target": {**REACHED, "value": None}}}, ["stopping.target.value: must be a number; set"]),
    ({"optimizer.lr": -1}, ["optimizer=adam", "-1"]),
    ({"model.hidden": "abc"}, ["model.hidden=abc"]),
    ({"model.hidden": [0]}, ["model.hidden", "positive widths, got [0]"]),
    ({"trainer.precision": "fp8"}, ["trainer.precision=fp8", "must be one of auto, fp32, bf16, fp16"]),
    ({"trainer.resident": "devise"}, ["trainer.resident=devise", "did you mean device?"]),
    ({"trainer.resident": "always"}, ["trainer.resident=always", "set trainer.resident=device"]),
    ({"trainer.compile": "on"}, ["trainer.compile=on", "must be one of off, default"]),
    ({"trainer.batch_size": 0}, ["trainer.batch_size=0", "must be at least 1"]),
    ({"trainer.eval_batch_size": 0}, ["trainer.eval_batch_size=0", "must be at least 1"]),
    ({"trainer.log_every_steps": 0}, ["trainer.log_every_steps=0", "must be at least 1"]),
    ({"trainer.threads": 0}, ["trainer.threads=0", "must be at least 1"]),
    ({"trainer.clip_norm": 0}, ["trainer.clip_norm=0", "must be positive"]),
    ({"trainer.clip_value": -1}, ["trainer.clip_value=-1", "must be positive"]),
    ({"trainer.workers": -1}, ["trainer.workers=-1", "must not be negative"]),
    ({"trainer.epochs": None, "trainer.steps": None}, ["trainer.epochs: a budget is needed"]),
    ({"trainer.steps": None, "trainer.epochs": float("inf")}, ["trainer.epochs=inf"]),
    ({"trainer.steps": None, "trainer.epochs": float("nan")}, ["trainer.epochs=nan", "must be positive"]),
    ({"trainer.evaluate_every_epochs": 1e-3}, ["trainer", "evaluation must last at least one step, got 0.001 epochs"]),
    ({"trainer.best": {"loss": "up"}}, ["trainer.best.loss=up", "must be min or max"]),
    ({"trainer.best": {"los": "min"}}, ["trainer.best.los=min", "is not measured", "did you mean loss?"]),
    ({"trainer.keep_best": 0}, ["trainer.keep_best=0", "must be at least 1"]),
    (
        {"trainer.keep_best": 2, "trainer.best": {}},
        ["trainer.keep_best=2", "names no metric; set +trainer.best.loss=min"],
    ),
    ({"debug.samples": 0}, ["debug.samples=0", "must be at least 1"]),
    ({"debug.steps": 0}, ["debug.steps=0", "must be at least 1"]),
    ({"optimizer.lr": "${now:%S}"}, ["optimizer.lr=${now:%S}: changes from run to run"]),
    ({"optimizer.lr": "${nowhere}"}, ["optimizer.lr", "nowhere"]),
    ({"scheduler.interval": "month"}, ["scheduler.interval", "must be step or evaluation, got month"]),
    ({"dataset.height": 0}, ["dataset.height=0", "must be a whole number, at least 1"]),
    # targets
    ({"model._target_": "runner.models.MPL"}, ["model._target_=runner.models.MPL", "did you mean MLP?"]),
    ({"model._target_": "runner.modles.MLP"}, ["model._target_=runner.modles.MLP", "No module named"]),
    ({"model._target_": "MLP"}, ["model._target_=MLP", "is not a dotted path"]),
    ({"model._target_": None}, ["model"]),
    ({"model._target_": 3}, ["model._target_=3"]),
    ({"model._target_": "cli.user_code.NUMBER", **MINE}, ["model._target_=cli.user_code.NUMBER", "called"]),
    ({"model._target_": "runner.models.mlp", **MINE}, ["model._target_=runner.models.mlp", "called"]),
    ({"model._target_": "preflight.broken_module.Model"}, ["model._target_", "raises ZeroDivisionError"]),
    ({"model": {"hidden": [4]}}, ["has no _target_", "model=<option>"]),
    ({"optimizer": None}, ["optimizer", "has no _target_"]),
    ({"metrics": {"mine": 3}}, ["metrics.mine=3: has no _target_"]),
    # arguments of targets, partial or not
    ({"model.hiden": [3]}, ["model.hiden=[3]", "takes no such argument", "did you mean hidden?"]),
    ({"optimizer.weight_decai": 1}, ["optimizer.weight_decai=1", "did you mean weight_decay?"]),
    ({"scheduler.intervall": 1}, ["scheduler.intervall=1", "did you mean interval?"]),
    ({"loss.label_smothing": 1}, ["loss.label_smothing=1", "did you mean label_smoothing?"]),
    ({"augmentation.size": 1}, ["augmentation.size=1", "takes no such argument"]),
    ({"dataset.hight": 3}, ["dataset.hight=3", "did you mean height?"]),
    ({**CONSOLE, "logger.mine.evry_s": 1}, ["logger.mine.evry_s=1", "did you mean every_s?"]),
    ({**CONSOLE, "logger.mine.every_s": -1}, ["every_s", "must not be negative, got -1"]),
    (
        {"model": {"_target_": "cli.user_code.Wide"}},
        ["model.width: cli.user_code.Wide needs it; set model.width=<value>"],
    ),
    ({"model._target_": "cli.user_code.Unbuildable", **MINE}, ["model=mlp", "no such block", "user_code.py:"]),
    # what does not fit together
    ({"model._target_": "cli.user_code.WrongShape", **MINE}, ["2x64 and 7x10", "user_code.py:"]),
    ({"model._target_": "cli.user_code.Untrained", **MINE}, ["networks are none"]),
    ({"loss": {"_target_": "cli.user_code.PerSample"}}, ["the loss of 'model' must be one number, got the shape (2,)"]),
    (
        {"loss": {"_target_": "torch.nn.MSELoss"}},
        ["MSELoss compares images", "set loss=cross_entropy, nll, bce or focal"],
    ),
    ({"task": {"_target_": "runner.tasks.Reconstruction"}}, ["CrossEntropy compares scores", "set loss=mse"]),
    ({"task": {"_target_": "runner.tasks.GAN"}}, ["needs a model with a generator", "got MLP; set model=dcgan"]),
    ({"loss.weight": [1, 2]}, ["loss.weight needs one number for each of 10 classes, got 2"]),
    ({"model": {"_target_": "runner.models.VGG", "depth": 16}}, ["32x32", "got 8x8; set dataset.image_size=32"]),
    ({"optimizer.groups": {"foo.*": {"lr": 1}}}, ["optimizer.groups['foo.*'] matches no parameter"]),
    ({"optimizer.groups": {"*": {"lrr": 1}}}, ["optimizer.groups['*'] sets lrr, which Adam lacks"]),
    ({"trainer.batch_size": 9}, ["trainer.batch_size=9", "8 samples", "at most 8"]),
    ({"debug.samples": 2}, ["trainer.batch_size=4", "2 samples", "at most 2"]),
    ({"trainer.resident": "device", "augmentation": TRIVIAL}, ["trainer.resident=device", "set trainer.resident=auto"]),
    # devices
    ({"trainer.device": "cuda:99"}, ["trainer.device=cuda:99", "CUDA devices"]),
    ({"trainer.device": "gpu"}, ["trainer.device=gpu", "must be auto, cpu, cuda, cuda:<n> or mps"]),
]


@pytest.mark.parametrize(("values", "fragments"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_one_mistake_is_told_once(found: Found, values: dict[str, Any], fragments: list[str], tmp_path: Path) -> None:
    (line,) = found(values)
    for fragment in fragments:
        assert fragment in line
    assert "site-packages" not in line
    assert len(line) < 400
    assert list(tmp_path.iterdir()) == []


def test_a_rate_is_not_looked_for_by_two_networks(found: Found) -> None:
    targets = {"task": "runner.tasks.GAN", "model": "tiny.Pair", "loss": "runner.losses.Vanilla"}
    two = {"optimizer.lr": "find"} | {group: {"_target_": target} for group, target in targets.items()}
    said = "optimizer.lr=find: is looked for with one loss, but each of generator, discriminator has its own"
    lines = found(two)
    assert [line for line in lines if line.startswith(said)], lines


@pytest.mark.parametrize(
    ("values", "batch"),
    [({"trainer.batch_size": 7}, "7, 1"), ({"trainer.micro_batches": 4}, "1, 1, 1, 1")],
    ids=["the last batch of an epoch", "micro-batches"],
)
def test_a_model_that_cannot_train_on_one_sample(found: Found, values: dict[str, Any], batch: str) -> None:
    """Batch norm needs two: 8 samples in batches of 7 leave one for the last, 4 in 4 pieces leave one for each."""
    lines = found({"model._target_": "cli.user_code.Normed", **MINE, **values})
    assert lines, f"batches of {batch} samples are going to fail"
    assert "batch" in lines[0]
    assert found({"model._target_": "cli.user_code.Normed", **MINE}) == []


def test_a_users_own_task_may_make_of_its_model_what_it_likes(found: Found) -> None:
    """It says nothing of classes, so nothing of the output's shape can be wrong."""
    assert (
        found({"task": {"_target_": "cli.user_code.Embedding"}, "model._target_": "cli.user_code.Four", **MINE}) == []
    )


def test_a_model_that_needs_content_is_tried_on_the_cpu(found: Found) -> None:
    assert found({"model._target_": "cli.user_code.LooksAtPixels", **MINE}) == []


def test_nothing_is_wrong_with_the_small_configuration(found: Found, tmp_path: Path) -> None:
    assert found({}) == []
    assert list(tmp_path.iterdir()) == []


def test_a_seed_of_zero_and_other_false_values_are_values(found: Found) -> None:
    assert found({"seed": 0, "trainer.workers": 0, "optimizer.weight_decay": 0}) == []


def test_all_mistakes_are_told_at_once(found: Found) -> None:
    """However they are found: by reading, by importing, by trying."""
    values = {
        "trainer.micro_batches": 0,
        "model.hiden": [3],
        "foo": 1,
        "trainer.device": "cuda:99",
        "dataset.height": 0,
    }
    lines = "\n".join(found(values))
    assert [key for key in values if key not in lines] == []


def test_the_random_state_is_left_alone(found: Found) -> None:
    import torch

    before = torch.get_rng_state()
    found({})
    assert torch.equal(torch.get_rng_state(), before)


class TestSweeps:
    def test_a_mistake_names_the_jobs_that_have_it(self, changed: Changed, tmp_path: Path) -> None:
        values: list[dict[str, Any]] = [{}, {"optimizer.lr": -1}, {"optimizer.lr": -1, "seed": 1}, {"model.hiden": 3}]
        jobs = [Job(f"job{number}", changed(each), tmp_path / str(number)) for number, each in enumerate(values)]
        lines = check(jobs).lines()
        assert len(lines) == 2
        assert lines[0].endswith("  [job1, job2]")
        assert lines[1].endswith("  [job3]")

    def test_a_mistake_of_all_jobs_names_none(self, changed: Changed, tmp_path: Path) -> None:
        jobs = [Job(f"job{seed}", changed({"seed": seed, "model.hiden": 3}), tmp_path / str(seed)) for seed in range(3)]
        (line,) = check(jobs).lines()
        assert "job" not in line

    def test_many_jobs_are_counted(self, changed: Changed, tmp_path: Path) -> None:
        jobs = [Job(f"mlp__{n}", changed({"seed": n, "model.hiden": 3}), tmp_path / str(n)) for n in range(8)]
        (line,) = check([*jobs, Job("well", changed({}), tmp_path / "well")]).lines()
        assert line.endswith("  [mlp__0 … mlp__7 (8)]")

    def test_the_choices_of_each_job_are_its_own(self, changed: Changed, tmp_path: Path) -> None:
        wrong = {"model._target_": "cli.user_code.Unbuildable", **MINE}
        jobs = [
            Job(name, changed({**wrong, "optimizer.lr": lr}), tmp_path / name, choices={"model": name})
            for name, lr in (("mine", 0.1), ("other", 0.2))
        ]
        assert [line.partition(":")[0] for line in check(jobs).lines()] == ["model=mine", "model=other"]

    def test_seeds_are_checked_once(self, changed: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import cli.user_code

        builds: list[object] = []
        init = cli.user_code.Linear.__init__

        def counted(self: Any, **settings: Any) -> None:
            builds.append(self)
            init(self, **settings)

        counted.__signature__ = __import__("inspect").signature(init)  # type: ignore[attr-defined]
        monkeypatch.setattr(cli.user_code.Linear, "__init__", counted)
        values = {"model._target_": "cli.user_code.Linear", **MINE}
        jobs = [Job(f"j{n}", changed({**values, "seed": n}), tmp_path / str(n)) for n in range(5)]
        assert check(jobs).lines() == []
        assert len(builds) == 1
