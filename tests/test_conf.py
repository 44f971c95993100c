"""Every option of every group composes, passes preflight, builds and trains two steps."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.config.schema import EXTRA_GROUPS, GROUPS, TrainerConfig, register
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
TOKENS = ["dataset=sequences", *SMALL[1:]]
PAIRS = ["dataset=shape_pairs", *SMALL[1:], "dataset.image_size=16"]
VOLUMES = ["dataset=shape_volumes", *SMALL[1:], "dataset.image_size=12"]
OF_VOLUMES = ("residual_unet3d", "unet3d")
OF_PAIRS = {
    name: [f"task={name}", "model.width=4", "model.discriminator_width=4", "model.discriminator_layers=2"]
    for name in ("cyclegan", "pix2pix")
}
MASKS = ["dataset=shapes_masks", *SMALL[1:], "dataset.image_size=16", "model.channels=4"]
OF_MASKS = (
    "pidnet",
    "bce_dice",
    "cldice",
    "dice",
    "generalised_dice",
    "iou",
    "pixel_precision",
    "pixel_recall",
    "tversky",
)
BOXES = ["dataset=shapes_boxes", *SMALL[1:], "dataset.image_size=16"]
OF_BOXES = ("detection", "detector", "fasterrcnn_mobilenet", "map", "retinanet")
FINDING = ["task=detection", "model.backbone=resnet18", "model.strides=[4]", "model.width=8"]
NOVEL = ["task=novelty", "dataset.novel_classes=[2,7]", "model.channels=[4]"]
TASK_OF_MODEL = {
    "cae": ["task=reconstruction"],
    "cae_small": ["task=reconstruction"],
    "pca": ["task=reconstruction"],
    "vae": ["task=vae"],
    "aae": ["task=aae"],
    "dcgan": ["task=gan", "model.width=8"],
}
OF_RANKS = ("average_precision", "precision_at_k", "roc_auc", "novelty")
OF_TOKENS = ("attention_seq2seq", "transformer_seq2seq", "bleu", "exact_match", "token_accuracy", "seq2seq")
SHORT = ["trainer.steps=2", "trainer.batch_size=4", "trainer.workers=0", "trainer.resident=auto"]


@pytest.fixture(scope="module", autouse=True)
def shipped() -> Iterator[None]:
    register()
    preflight = importlib.import_module("runner.preflight.check")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "FEW", 0)  # all on the meta device: its import is paid once for all of them
        yield


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def trained(cfg: DictConfig, folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    assert check([Job("job", cfg, folder)]).lines() == []
    return run(cfg, folder, name="job")


@pytest.mark.slow
@pytest.mark.parametrize("option", [option for option in options("model") if option not in HEAVY])
def test_models(option: str, tmp_path: Path) -> None:
    task = TASK_OF_MODEL.get(option, [])
    data = SMALL
    if option in OF_TOKENS:
        data, task = TOKENS, ["task=seq2seq"]
    if option in OF_BOXES:
        data, task = BOXES, FINDING
    if option in OF_VOLUMES:
        data, task = VOLUMES, ["task=segmentation", "model.channels=4"]
    if option in OF_PAIRS:
        data, task = PAIRS, OF_PAIRS[option]
    if option in OF_MASKS:
        data, task = MASKS, ["task=segmentation"]
    scores = trained(composed(*data, *SHORT, f"model={option}", *task), tmp_path)
    assert scores


@pytest.mark.slow
@pytest.mark.parametrize("option", sorted(HEAVY))
def test_heavy_models(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, f"model={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("optimizer"))
def test_optimizers(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"optimizer={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("scheduler"))
def test_schedulers(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"scheduler={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("momentum"))
def test_momenta(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"momentum={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("stopping"))
def test_stopping(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"stopping={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("loss"))
def test_losses(option: str, tmp_path: Path) -> None:
    task = [] if option in ("cross_entropy", "nll", "bce", "focal") else ["task=reconstruction", "model.channels=[4]"]
    model = ["model=mlp", "model.hidden=[8]"] if not task else []
    if option.startswith("gan_"):
        task = ["task=gan", "model.width=8", "model.discriminator_norm=layer"]
    data = SMALL
    if option in OF_MASKS:
        data, model, task = MASKS, ["model.levels=1"], ["task=segmentation"]
    if option in OF_BOXES:
        data, model, task = BOXES, ["model.head_width=8"], FINDING
    assert trained(composed(*data, *SHORT, *model, *task, f"loss={option}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", options("metrics"))
def test_metrics(option: str, tmp_path: Path) -> None:
    task = ["task=reconstruction", "model.channels=[4]"] if option == "mse" else ["model=mlp", "model.hidden=[8]"]
    data = SMALL
    if option in OF_TOKENS:
        data, task = TOKENS, ["task=seq2seq"]
    if option in OF_RANKS:
        task = NOVEL
    if option in OF_MASKS:
        data, task = MASKS, ["task=segmentation", "model.levels=1"]
    if option in OF_BOXES:
        data, task = BOXES, [*FINDING, "model.head_width=8"]
    scores = trained(
        composed(*data, *SHORT, *task, f"metrics=[{option}]", "++trainer.best={loss: min}", *_no_accuracy(option)),
        tmp_path,
    )
    assert option == "confusion_matrix" or any(name.removeprefix("test/") in option for name in scores)


def _no_accuracy(option: str) -> list[str]:
    if option in OF_TOKENS:
        return [] if option == "exact_match" else ["~trainer.best.exact_match"]
    if option in OF_MASKS:
        return [] if option == "iou" else ["~trainer.best.iou"]
    return [] if option in ("accuracy", "mse", *OF_RANKS, *OF_BOXES) else ["~trainer.best.accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("option", options("augmentation"))
def test_augmentations(option: str, tmp_path: Path) -> None:
    assert trained(composed(*SMALL, *SHORT, "model=mlp", "model.hidden=[8]", f"augmentation={option}"), tmp_path)


TRACKERS = {"mlflow": "tracking_uri=sqlite:///{folder}/mlflow.db", "wandb": "mode=offline"}  # without a network


@pytest.mark.parametrize(
    "option", [pytest.param(o, marks=pytest.mark.slow if o in TRACKERS else ()) for o in options("logger")]
)
def test_loggers(option: str, tmp_path: Path) -> None:
    task = NOVEL if option in OF_RANKS else ["task=reconstruction", "model.channels=[4]"]
    where = [f"logger.{option}.{TRACKERS[option].format(folder=tmp_path)}"] if option in TRACKERS else []
    cfg = composed(*SMALL, *SHORT, *task, f"logger=[{option}]", *where, "trainer.evaluate_every_steps=1")
    assert trained(cfg, tmp_path)
    left = {"csv": "history.csv", "tensorboard": "tensorboard", "images": "images", "console": "status.json"}
    left |= {"history": "history/loss.svg", "novelty": "images/novelty_roc.png"}
    left |= {"mlflow": "mlruns/runner", "wandb": "tracking/wandb"}
    assert (tmp_path / left[option]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("option", options("task"))
def test_tasks_bring_what_they_need(option: str, tmp_path: Path) -> None:
    narrow = {name: ["model.channels=[4]"] for name in ("reconstruction", "vae", "aae")} | {"novelty": NOVEL}
    small = {**narrow, "gan": ["model.width=8"]}.get(option, ["model=mlp"])
    data, small = (TOKENS, []) if option in OF_TOKENS else (SMALL, small)
    data, small = (PAIRS, OF_PAIRS[option]) if option in OF_PAIRS else (data, small)
    data, small = (BOXES, [*FINDING[1:], "model.head_width=8"]) if option in OF_BOXES else (data, small)
    data, small = (MASKS, ["model.levels=1"]) if option == "segmentation" else (data, small)
    assert trained(composed(*data, *SHORT, f"task={option}", *small), tmp_path)


SLOW = {"determinism": pytest.mark.slow}


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("option", options("dataset"))
def test_datasets_compose_and_describe_themselves(option: str) -> None:
    roots = {"image_folder": "dataset.root=photos", "paired_images": "dataset.root=photos"}
    roots["coco_boxes"] = "dataset.root=photos"
    roots["mask_folder"] = "dataset.root=street"
    roots["text_pairs"] = "dataset.file=pairs.tsv"
    roots["hdf5_volumes"] = "dataset.train=a.h5"
    roots["several"] = "+dataset@dataset.sets.near=digits"
    root = [roots[option]] if option in roots else []
    cfg = composed(f"dataset={option}", *root)
    least = {"shape_pairs": 1, "shape_volumes": 3, "shapes_boxes": 3, "shapes_masks": 4}
    if not root:
        assert build.build_source(cfg.dataset).spec.num_classes >= least.get(option, 10)


@pytest.mark.slow
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
        if "novel_classes" in cfg.dataset:
            smaller.dataset.novel_classes = cfg.dataset.novel_classes
        if not any(name in option for name in ("seq2seq", "pix2pix", "cyclegan", "volumes", "shapes")):
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
    assert folders == {*GROUPS, *EXTRA_GROUPS, "hydra"}


@pytest.mark.slow
def test_first_samples_cut_every_part() -> None:
    splits: Splits = build.load_splits(composed())
    few = first_samples(splits, 5)
    assert [len(part) for part in (few.train, few.valid, few.test)] == [5, 5, 5]
    with pytest.raises(ValueError, match=r"debug\.samples must be at least 1"):
        first_samples(splits, 0)
