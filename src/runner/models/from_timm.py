"""Any model of timm, adapted to the data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def classifier(
    *,
    name: str,
    in_channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The untrained model ``name`` of timm; images (B, in_channels, H, W) to logits (B, num_classes).

    A model built for one image size is built for ``image_size``. ``options`` goes to ``timm.create_model``.
    Raises ``ValueError`` where timm is not installed, for an unknown ``name`` or option, and for images that
    the model cannot take.
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
    settings: dict[str, Any] = {"pretrained": False, "in_chans": in_channels, "num_classes": num_classes}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        settings["img_size"] = image_size
    settings |= given
    _refuse_misfit(name, settings, given, image_size)
    return _build(name, settings)


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
