"""Where configuration becomes objects."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from runner.config import build
from runner.config.conf_dir import conf_dir
from runner.data.source import Spec
from runner.tasks import Classification

SPEC = Spec(channels=1, height=6, width=5, num_classes=3)


def node(name: str, **settings: Any) -> Any:
    return OmegaConf.create({"_target_": name, **settings})


def test_a_target_is_told_only_what_it_asks_for_and_is_not_set() -> None:
    assert build.instantiate(node("builtins.dict", a=1), b=2) == {"a": 1}
    made = build.instantiate(node("runner.data.source.Spec", channels=3, height=1, width=1), num_classes=7, other=1)
    assert made == Spec(3, 1, 1, 7)
    made = build.instantiate(
        node("runner.data.source.Spec", channels=3, height=1, width=1, num_classes=5), num_classes=7
    )
    assert made.num_classes == 5


def test_lists_and_dicts_arrive_as_such() -> None:
    made = build.instantiate(node("builtins.dict", a=[1, {"b": 2}], c={"d": [3]}))
    assert type(made["a"]) is list
    assert type(made["a"][1]) is dict
    assert type(made["c"]) is dict


def test_interpolations_are_resolved() -> None:
    cfg = OmegaConf.create({"seed": 3, "x": {"_target_": "builtins.dict", "a": "${seed}"}})
    assert build.instantiate(cfg.x) == {"a": 3}


def test_errors_of_a_target_come_as_they_were_raised() -> None:
    with pytest.raises(ValueError, match=r"model\.hidden needs positive widths") as caught:
        build.instantiate(node("runner.models.MLP", hidden=[0]), in_channels=1, image_size=(2, 2), num_classes=2)
    assert type(caught.value) is ValueError


def test_a_model_adapts_to_the_data() -> None:
    cfg = OmegaConf.create(
        {
            "model": {"_target_": "runner.models.MLP", "hidden": [4]},
            "task": {"_target_": "runner.tasks.Classification"},
        }
    )
    assert build.build_model(cfg, SPEC)(torch.zeros(2, 1, 6, 5)).shape == (2, 3)


def test_one_description_makes_an_optimizer_for_each_network() -> None:
    task = tiny.task_of("gan")
    cfg = OmegaConf.create({"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}})
    built = build.build_optimizers(cfg, task)
    assert list(built) == ["generator", "discriminator"]
    assert [optimizer.defaults["lr"] for optimizer in built.values()] == [0.5, 0.5]


def test_each_network_may_have_its_own_optimizer() -> None:
    sgd, adam = ({"_target_": f"torch.optim.{kind}", "_partial_": True, "lr": 0.5} for kind in ("SGD", "Adam"))
    cfg = OmegaConf.create({"optimizer": {"generator": adam, "discriminator": sgd}})
    built = build.build_optimizers(cfg, tiny.task_of("gan"))
    assert [type(built[name]).__name__ for name in ("generator", "discriminator")] == ["Adam", "SGD"]
    del cfg.optimizer["discriminator"]
    with pytest.raises(ValueError, match="optimizer has no entry for the network 'discriminator'"):
        build.build_optimizers(cfg, tiny.task_of("gan"))


def test_our_own_settings_do_not_reach_the_optimizer() -> None:
    described = {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "lr": 0.5,
        "weight_decay": 0.1,
        "decay_norms_and_biases": False,
        "groups": {"1.*": {"lr": 0.1}},
    }
    task = Classification(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), nn.CrossEntropyLoss())
    (optimizer,) = build.build_optimizers(OmegaConf.create({"optimizer": described}), task).values()
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.1), (0.1, 0.0)]


def test_a_bare_torch_scheduler_advances_once_a_step() -> None:
    cfg = OmegaConf.create({"scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5}})
    made = tiny.session()
    optimizer = torch.optim.SGD(made.task.parameters(), lr=1.0)
    schedule = build.scheduler_factory(cfg, made.plan)(optimizer)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_data_is_loaded_once_for_all_jobs_over_it() -> None:
    sizes = {"train_size": 4, "valid_size": 2, "test_size": 2, "height": 4, "width": 4, "seed": 987}

    def config(seed: int, samples: int | None = None) -> DictConfig:
        dataset = node("runner.data.sources.Synthetic", **{**sizes, "seed": seed})
        return OmegaConf.create({"dataset": dataset, "debug": {"samples": samples, "train_only": False}})

    first = build.load_splits(config(987))
    assert build.load_splits(config(987)) is first
    assert len(build.load_splits(config(987, samples=3)).train) == 3
    assert build.load_splits(config(988)) is not first


def test_what_is_no_augmentation_is_refused_where_it_is_built() -> None:
    with pytest.raises(ValueError, match="Identity is no augmentation"):
        build.build_augmentation(OmegaConf.create({"augmentation": {"_target_": "torch.nn.Identity"}}))


def test_leaves_by_dotted_key() -> None:
    cfg = OmegaConf.create({"seed": 0, "a": {"b": None, "c": {"d": [1, 2]}, "e": {}}})
    assert build.flat(cfg) == {"seed": 0, "a.b": None, "a.c.d": [1, 2], "a.e": {}}


def test_the_shipped_configuration_is_found() -> None:
    assert (conf_dir() / "config.yaml").is_file()
    assert conf_dir().is_absolute()
