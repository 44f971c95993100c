"""Every option of every group composes, passes preflight, builds and trains two steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.schema import GROUPS, TrainerConfig, register
from runner.data.source import Splits
from runner.data.subset import first_samples
from runner.preflight import Job, check
from runner.run import run

HEAVY = {
    "vgg16",
    "mobilenet_v3_small",
    "shufflenet_v2",
    "resnet50",
    "wide_resnet",
    "alexnet",
    "efficientnet_b0",
    "timm",
    "torchvision",
    "vit_tiny",
}
SMALL = ["dataset=synthetic", "dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4", "logger=[]"]
SHORT = ["trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0", "trainer.resident=auto"]


@pytest.fixture(scope="module", autouse=True)
def shipped() -> Iterator[None]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    assert check([Job("job", cfg, folder)]) == []
    return run(cfg, folder, name="job")


@pytest.mark.parametrize("option", [option for option in options("model") if option not in HEAVY])
def test_models(option: str, tmp_path: Path) -> None:
    task = {"cae": ["task=reconstruction"], "dcgan": ["task=gan", "model.width=8"]}.get(option, [])
    scores = trained(composed(*SMALL, *SHORT, f"model={option}", *task), tmp_path)
    assert scores


@pytest.mark.slow
@pytest.mark.parametrize("option", sorted(HEAVY))
def test_heavy_models(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, f"model={option}"), tmp_path)


@pytest.mark.parametrize("option", options("optimizer"))
def test_optimizers(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"optimizer={option}"), tmp_path)


@pytest.mark.parametrize("option", options("scheduler"))
def test_schedulers(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"scheduler={option}"), tmp_path)


@pytest.mark.parametrize("option", options("stopping"))
def test_stopping(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"stopping={option}"), tmp_path)


@pytest.mark.parametrize("option", options("loss"))
def test_losses(option: str, tmp_path: Path) -> None:
    task = [] if option in ("cross_entropy", "nll", "bce", "focal") else ["task=reconstruction", "model.channels=[4]"]
    model = ["model=mlp", "model.hidden=[8]"] if not task else []
    assert trained(composed(*SMALL, *SHORT, *model, *task, f"loss={option}"), tmp_path)


@pytest.mark.parametrize("option", options("metrics"))
def test_metrics(option: str, tmp_path: Path) -> None:
    task = ["task=reconstruction", "model.channels=[4]"] if option == "mse" else ["model=mlp", "model.hidden=[8]"]
    scores = trained(
        composed(*SMALL, *SHORT, *task, f"metrics=[{option}]", "++trainer.best={loss: min}", *_no_accuracy(option)),
        tmp_path,
    )
    assert option == "confusion_matrix" or any(name.removeprefix("test/") in option for name in scores)


def _no_accuracy(option: str) -> list[str]:
    return [] if option in ("accuracy", "mse") else ["~trainer.best.accuracy"]


@pytest.mark.parametrize("option", options("augmentation"))
def test_augmentations(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"augmentation={option}"), tmp_path)


@pytest.mark.parametrize("option", options("logger"))
def test_loggers(option: str, tmp_path: Path) -> None:
    cfg = composed(*SMALL, *SHORT, "task=reconstruction", "model.channels=[4]", f"logger=[{option}]")
    assert trained(cfg, tmp_path)
    left = {"csv": "history.csv", "tensorboard": "tensorboard", "images": "images", "console": "status.json"}
    assert (tmp_path / left[option]).exists()


@pytest.mark.parametrize("option", options("task"))
def test_tasks_bring_what_they_need(option: str, tmp_path: Path) -> None:
    small = {"reconstruction": ["model.channels=[4]"], "gan": ["model.width=8"]}.get(option, ["model=mlp"])
    assert trained(composed(*SMALL, *SHORT, f"task={option}", *small), tmp_path)


SLOW = {"determinism": pytest.mark.slow}


@pytest.mark.parametrize("option", [pytest.param(o, marks=SLOW.get(o, ())) for o in options("debug")])
def test_debug(option: str, tmp_path: Path) -> None:
    cfg = composed("model=mlp", "model.hidden=[8]", f"debug={option}", "logger=[]")
    assert bool(trained(cfg, tmp_path)) == (option != "determinism")
    assert (tmp_path / "determinism.txt").exists() == (option == "determinism")
    assert (tmp_path / "profile" / "table.txt").exists() == (option == "profile")


@pytest.mark.slow
def test_overfit_means_the_loss_goes_to_zero(tmp_path: Path) -> None:
    scores = trained(composed("model=mlp", "debug=overfit", "logger=[]"), tmp_path)
    assert scores["test/loss"] < 0.01
    assert scores["test/accuracy"] == 1.0


@pytest.mark.parametrize("option", options("dataset"))
def test_datasets_compose_and_describe_themselves(option: str) -> None:
    cfg = composed(f"dataset={option}", *(["dataset.root=photos"] if option == "image_folder" else []))
    if option != "image_folder":
        assert build.build_source(cfg.dataset).spec.num_classes >= 10


@pytest.mark.parametrize("option", ["digits", "synthetic"])
def test_embedded_datasets_train(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SHORT, f"dataset={option}", "model=mlp", "logger=[]"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("experiment"))
def test_experiments(option: str, tmp_path: Path) -> None:
    """Everything of a recipe but its data, which most would have to download."""
    cfg = composed(f"experiment={option}", "debug.steps=2", "trainer.batch_size=4", "logger=[]")
    smaller = composed("dataset=synthetic", f"dataset.channels={3 if 'cifar' in option else 1}")
    with open_dict(cfg):
        if "mean" in cfg.dataset and cfg.dataset.mean is not None:
            smaller.dataset.mean, smaller.dataset.std = cfg.dataset.mean, cfg.dataset.std
        cfg.dataset = smaller.dataset
        cfg.dataset.train_size, cfg.dataset.valid_size, cfg.dataset.test_size = 8, 4, 4
    assert trained(cfg, tmp_path)


def test_each_file_opens_with_its_command() -> None:
    for file in conf_dir().glob("**/*.yaml"):
        lines = file.read_text().splitlines()
        where = file.relative_to(conf_dir()).as_posix()
        if where.startswith(("hydra/job_logging", "hydra/hydra_logging")):
            continue
        first = next(line for line in lines if "@package" not in line)
        assert first.startswith("# python -m runner"), where


def test_trainer_values_and_types_name_the_same_settings() -> None:
    values = OmegaConf.load(conf_dir() / "trainer" / "default.yaml")
    assert set(values) == set(TrainerConfig.__dataclass_fields__)


def test_groups_are_the_folders_of_conf() -> None:
    folders = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    assert folders == {*GROUPS, "experiment", "debug", "hydra"}


def test_first_samples_cut_every_part() -> None:
    splits: Splits = build.load_splits(composed())
    few = first_samples(splits, 5)
    assert [len(part) for part in (few.train, few.valid, few.test)] == [5, 5, 5]
    with pytest.raises(ValueError, match=r"debug\.samples must be at least 1"):
        first_samples(splits, 0)
