"""Weights that torchvision and timm publish, from their caches, with no network."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum, _api

from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.initial import load_published
from runner.manner import Manner
from runner.models import from_timm
from runner.models.from_torchvision import classifier
from runner.models.pretrained import HubFile, Pretrained, Unavailable
from runner.preflight.initial import published_problems
from runner.run import run
from runner.weights_file import read

CLASSES = 5


class Tiny(nn.Module):
    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.norm(self.conv(images)).mean((2, 3)))
        return scores


def tiny(
    *, weights: Any = None, progress: bool = True, num_classes: int = CLASSES, width: int = 4, **_: Any
) -> nn.Module:
    """As torchvision's builders are."""
    if weights is None:
        return Tiny(num_classes, width)
    model = Tiny(len(weights.meta["categories"]), width)
    model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model that is torchvision's for this test; its cache is empty."""
    torch.manual_seed(7)
    torch.save(Tiny(CLASSES, 4).state_dict(), tmp_path / "made.pth")
    digits = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "made.pth").rename(tmp_path / f"tiny-{digits}.pth")

    class TinyWeights(WeightsEnum):  # type: ignore[misc]
        FIRST = Weights(url=file.as_uri(), transforms=lambda: None, meta={"categories": ["x"] * CLASSES})
        DEFAULT = FIRST

    found = inspect.signature(tiny)
    given = [p.replace(annotation=TinyWeights) if p.name == "weights" else p for p in found.parameters.values()]
    monkeypatch.setattr(tiny, "__signature__", found.replace(parameters=given), raising=False)
    monkeypatch.setattr(tiny, "__module__", "torchvision.models.tiny")
    monkeypatch.setitem(_api.BUILTIN_MODELS, "tiny", tiny)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return file


make: Callable[..., Any] = partial(
    classifier, name="tiny", in_channels=3, image_size=(32, 32), num_classes=2, weights="DEFAULT"
)


def task_of(model: nn.Module) -> nn.Module:
    return nn.ModuleDict({"model": model})


def test_a_run_begins_with_them_but_for_the_last_layer(published: Path) -> None:
    model = make()
    first, state = model.fc.weight.clone(), torch.get_rng_state()
    given = torch.load(published, weights_only=True)
    assert not torch.equal(model.conv.weight, given["conv.weight"])
    facts = load_published(task_of(model))["pretrained"]["model"]
    assert torch.equal(model.conv.weight, given["conv.weight"])
    assert torch.equal(model.norm.running_var, given["norm.running_var"])
    assert torch.equal(model.fc.weight, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert facts["sha256"].startswith(published.stem[-8:])
    assert facts["report"] == f"7 of 9 weights from {facts['file']}; 2 keep random values: fc.weight, fc.bias"


def test_what_was_fetched_is_used_without_network(published: Path) -> None:
    load_published(task_of(make()))
    published.unlink()
    model = make(num_classes=CLASSES)
    assert published_problems(task_of(model), here=True) == []
    assert load_published(task_of(model))["pretrained"]["model"]["kept"] == []


@pytest.mark.parametrize(("channels", "factor"), [(1, None), (6, 0.5), (2, 1.5)])
def test_other_channels_take_the_kernels_too(published: Path, channels: int, factor: float | None) -> None:
    model, given = make(in_channels=channels), torch.load(published, weights_only=True)["conv.weight"]
    load_published(task_of(model))
    expected = given.sum(1, keepdim=True) if factor is None else given.repeat(1, 2, 1, 1)[:, :channels] * factor
    assert torch.equal(model.conv.weight, expected)


def test_with_neither_file_nor_network_one_sentence_says_what_to_do(published: Path) -> None:
    published.unlink()
    task = task_of(make())
    (problem,) = published_problems(task, here=True)
    place = HubFile(published.as_uri()).path
    assert problem.line().startswith(
        f"model.weights=DEFAULT: needs {place}, which is not there, and cannot be fetched ("
    )
    assert problem.remedy == "bring it there from another machine, or set model.weights=null"
    assert published_problems(task, here=False) == []
    with pytest.raises(
        ValueError, match=r"model.weights=DEFAULT: needs .*, which is not there, .* set model.weights=null"
    ):
        load_published(task)
    assert not place.exists()


def test_half_a_file_is_refused_wherever_it_is(published: Path) -> None:
    task, place = task_of(make()), HubFile(published.as_uri()).path
    whole = published.read_bytes()
    published.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=r"cannot be fetched .*invalid hash value"):
        load_published(task)
    assert list(place.parent.iterdir()) == []
    place.write_bytes(whole[:-5])
    (problem,) = published_problems(task, here=True)
    assert "is damaged: its SHA-256 begins with" in problem.text
    with pytest.raises(ValueError, match="is damaged"):
        load_published(task)
    place.write_bytes(whole)
    assert published_problems(task, here=True) == []


def test_a_name_without_digits_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "plain.pth").write_bytes(b"anything")
    file = HubFile((tmp_path / "plain.pth").as_uri())
    assert file.cached() is None
    assert file.fetch() == file.cached()


def test_other_shapes_are_told_before_anything_is_fetched(published: Path) -> None:
    wide: Any = Tiny(2, width=8)
    wide.pretrained = make().pretrained
    (problem,) = published_problems(task_of(wide), here=True)
    assert problem.text.startswith(
        "has weights of another shape than the model: conv.weight is (4, 3, 3, 3) instead of (8"
    )
    assert problem.text.endswith(" and 4 more")
    assert "set dataset.image_size=224" in problem.remedy
    assert HubFile(published.as_uri()).cached() is None


def test_unknown_weights_are_refused(published: Path) -> None:  # noqa: ARG001
    with pytest.raises(ValueError, match=r"no model.weights=BEST for model.name=tiny; there are FIRST, DEFAULT"):
        make(weights="BEST")


@pytest.mark.slow
def test_a_run_says_what_it_began_with_and_goes_on_without_the_file(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["dataset=synthetic", "dataset.train_size=8", "dataset.valid_size=4", "dataset.test_size=4"]
    overrides += ["model=torchvision", "model.name=tiny", "model.weights=FIRST", "trainer.steps=2", "logger=[]"]
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[*overrides, "freeze={conv.*: null}", "trainer.batch_size=4"])
    folder = tmp_path / "run"
    folder.mkdir()
    run(cfg, folder, name="run", manner=Manner(until_steps=1))
    loaded = json.loads((folder / "manifest.json").read_text())["pretrained"]["model"]
    assert (loaded["kept"], Path(loaded["file"]).name) == (["fc.weight", "fc.bias"], published.name)
    assert loaded["report"] in capsys.readouterr().out
    published.unlink()
    Path(loaded["file"]).unlink()
    run(cfg, folder, name="run", manner=Manner(resume=True))
    torch.manual_seed(7)
    assert torch.equal(
        read(folder / "checkpoints" / "last.pt").tensors["model.conv.weight"], Tiny(CLASSES, 4).conv.weight
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Put the weights of timm's smallest model into a cache of Hugging Face's, which is never online."""
    timm, safetensors = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def fill() -> Path:
        folder = tmp_path / f"models--{timm.get_pretrained_cfg('test_resnet').hf_hub_id.replace('/', '--')}"
        snapshot = folder / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("0123")
        safetensors.save_file(timm.create_model("test_resnet").state_dict(), snapshot / "model.safetensors")
        return snapshot / "model.safetensors"

    return fill


@pytest.mark.slow
def test_timms_weights_come_from_its_cache(hub: Callable[[], Path]) -> None:
    model = from_timm.classifier(name="test_resnet", in_channels=1, image_size=(32, 32), num_classes=3, pretrained=True)
    assert isinstance(model.pretrained, Pretrained)
    (problem,) = published_problems(task_of(model), here=True)
    assert "cannot be fetched (HF_HUB_OFFLINE is set); bring it there" in problem.line()
    assert problem.remedy.endswith("set model.pretrained=false")
    with pytest.raises(Unavailable):
        model.pretrained.source.fetch()
    with pytest.raises(ValueError, match=r"model.pretrained=True: needs .*models--timm--test_resnet.r160_in1k, which"):
        load_published(task_of(model))

    file, first = hub(), model.get_parameter("fc.weight").clone()
    assert published_problems(task_of(model), here=True) == []
    facts = load_published(task_of(model))["pretrained"]["model"]
    assert facts["file"] == str(file)
    assert facts["kept"] == ["fc.weight", "fc.bias"]
    from safetensors.torch import load_file

    given = load_file(file)
    assert torch.equal(model.get_parameter("layer1.0.conv1.weight"), given["layer1.0.conv1.weight"])
    assert torch.equal(model.get_parameter("fc.weight"), first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet10t.none", "timm publishes nothing as model.name=resnet10t.none; there are: resnet10t.c3_in1k"),
        ("resnet14t.none", "timm publishes nothing"),
        ("resnet50t", "timm publishes no weights of model.name=resnet50t; set model.pretrained=false"),
    ],
)
def test_timm_without_published_weights_says_so(name: str, message: str) -> None:
    pytest.importorskip("timm")
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        from_timm.classifier(name=name, in_channels=1, image_size=(64, 64), num_classes=3, pretrained=True)
