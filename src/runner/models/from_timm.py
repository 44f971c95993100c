"""Any model of timm, adapted to the data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runner.models.pretrained import HubFile, HuggingFaceFile, Pretrained, Published

HUB_NAMES = ("model.safetensors", "pytorch_model.bin")  # of weights at Hugging Face, in the order of preference


def classifier(
    *,
    name: str,
    in_channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    pretrained: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The model ``name`` of timm, not trained; images (B, in_channels, H, W) to logits (B, num_classes).

    A model built for one image size is built for ``image_size``. ``options`` goes to ``timm.create_model``. With
    ``pretrained`` the weights that timm publishes under ``name`` ("resnet18.a1_in1k") become the model's
    ``pretrained``, with which a run begins; without a configuration, call ``model.pretrained.load(model)``.
    Raises ``ValueError`` where timm is not installed, for an unknown ``name`` or option, where there are no published
    weights, and for images that the model cannot take.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError("model=timm needs the package timm; install runner[timm]") from error
    if not timm.is_model(name):
        closest = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        suggestion = f"did you mean {', '.join(closest)}?" if closest else "timm.list_models() lists them"
        raise ValueError(f"timm has no model of model.name={name}; {suggestion}")
    given = dict(options or {})
    if given.pop("pretrained", False):
        raise ValueError("model.options.pretrained is model.pretrained; set model.pretrained=true")
    settings: dict[str, Any] = {"pretrained": False, "in_chans": in_channels, "num_classes": num_classes}
    config = _config(name)
    if config is not None and config.fixed_input_size:
        settings["img_size"] = image_size
    settings |= given
    _refuse_misfit(name, settings, given, image_size)
    model = _build(name, settings)
    if pretrained:
        model.pretrained = _pretrained(name, settings)  # type: ignore[assignment]
    return model


def _config(name: str) -> Any:
    """What timm publishes under ``name``, None where that is nothing."""
    import timm

    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # for what follows the dot
        known = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"
        raise ValueError(f"timm publishes nothing as model.name={name}; there are: {known}") from error


def _pretrained(name: str, settings: Mapping[str, Any]) -> Pretrained:
    config = _config(name)
    if config is None or not config.has_weights:
        raise ValueError(f"timm publishes no weights of model.name={name}; set model.pretrained=false")
    kept = {key: value for key, value in settings.items() if key != "num_classes"}
    return Pretrained(
        key="model.pretrained",
        value=True,
        source=_source(config),
        donor=partial(_donor, name, settings=kept),
        classes=config.num_classes,
        stem="",  # timm adapts it
        remedy="take out model.options, or set model.pretrained=false",
    )


def _source(config: Any) -> Published:
    if not config.hf_hub_id:
        return HubFile(config.url)
    repository, _, revision = config.hf_hub_id.partition("@")
    names = (config.hf_hub_filename,) if config.hf_hub_filename else HUB_NAMES
    return HuggingFaceFile(repository, names, revision or None)


def _donor(name: str, file: Path | None, *, settings: Mapping[str, Any]) -> nn.Module:
    """The model with the classes that it was published with, and the weights of ``file``, or random ones."""
    if file is None:
        return _build(name, settings)
    return _build(name, {**settings, "pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}})


def _build(name: str, settings: Mapping[str, Any]) -> nn.Module:
    import timm

    try:
        model: nn.Module = timm.create_model(name, **settings)
    except NotImplementedError:  # a few read tensors while they are built, which the meta device cannot
        device = torch.get_default_device()
        with torch.device("cpu"):
            model = timm.create_model(name, **settings)
        model = model.to(device)
    return model


def _refuse_misfit(
    name: str, settings: Mapping[str, Any], given: Mapping[str, Any], image_size: tuple[int, int]
) -> None:
    """Build and run on the meta device, where nothing is computed."""
    height, width = image_size
    try:
        with torch.device("meta"):
            _build(name, settings)(torch.empty(2, settings["in_chans"], height, width))
    except TypeError as error:
        raise ValueError(f"model.options={dict(given)} does not suit model.name={name}: {error}") from error
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError) as error:
        reason = str(error).strip().split("\n")[0]
        remedy = "another model.name" if image_size == (224, 224) else "dataset.image_size=224"
        raise ValueError(
            f"model.name={name} cannot take images of {height}x{width} ({reason}); set {remedy}"
        ) from error
