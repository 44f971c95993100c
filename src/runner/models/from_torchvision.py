"""Any classifier of torchvision, adapted to the data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runner.models.pretrained import HubFile, Pretrained

_SMALL_UP_TO_PIXELS = 64
_SIDES_TO_TRY = (8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299)


def classifier(
    *,
    name: str,
    in_channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    stem: str = "auto",
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The model ``name`` of torchvision, not trained; images (B, in_channels, H, W) to logits (B, num_classes).

    The first convolution is replaced where ``in_channels`` is not 3. ``stem`` "small" keeps the resolution
    there: it gives a first convolution of stride 2 the stride 1 and drops the max pool after it;
    "imagenet" leaves both, and "auto" is "small" where a side is at most 64 pixels. ``options`` goes to
    torchvision's builder. Inception's and GoogLeNet's auxiliary classifiers are left out.
    ``weights`` names some that torchvision publishes, "DEFAULT" its best: they become the model's ``pretrained``,
    with which a run begins; without a configuration, call ``model.pretrained.load(model)``.
    Raises ``ValueError`` for an unknown ``name``, ``stem``, option or ``weights``, and for images that the model
    cannot take.
    """
    if stem not in ("auto", "small", "imagenet"):
        raise ValueError(f"model.stem must be auto, small or imagenet, got {stem}; set model.stem=auto")
    _refuse_unknown(name)
    given = dict(options or {})
    build = partial(_build, name, in_channels, num_classes=num_classes, stem=stem, options=given)
    try:
        reason = _misfit(build, in_channels, image_size)
    except TypeError as error:
        raise ValueError(f"model.options={given} does not suit model.name={name}: {error}") from error
    if reason is not None:
        height, width = image_size
        nearest = sorted(_SIDES_TO_TRY, key=lambda side: (side < min(image_size), side))  # the larger ones first
        fitting = next((side for side in nearest if _misfit(build, in_channels, (side, side)) is None), None)
        remedy = f"dataset.image_size={fitting}" if fitting else "another model.name"
        raise ValueError(f"model.name={name} cannot take images of {height}x{width} ({reason}); set {remedy}")
    model = build(image_size)
    if weights is not None:
        model.pretrained = _pretrained(name, weights, given)  # type: ignore[assignment]
    return model


def _pretrained(name: str, weights: str, options: dict[str, Any]) -> Pretrained:
    from torchvision import models

    known = models.get_model_weights(name)
    if weights not in known.__members__:
        names = ", ".join(known.__members__)
        raise ValueError(f"torchvision has no model.weights={weights} for model.name={name}; there are {names}")
    published = known[weights]
    side = max(published.meta.get("min_size", (1,))[0], 224)
    donor = partial(_donor, name, published, options=options)
    with torch.device("meta"):
        stem, _ = first_convolution(donor(None))
    return Pretrained(
        key="model.weights",
        value=weights,
        source=HubFile(published.url),
        donor=donor,
        classes=len(published.meta["categories"]),
        stem=f"{stem}.weight",
        remedy=f"set dataset.image_size={side}, take out model.options, or set model.weights=null",
    )


def _donor(name: str, weights: Any, file: Path | None, *, options: dict[str, Any]) -> nn.Module:
    """The model as torchvision publishes it, with the weights of ``file``, which is in its cache, or without any."""
    from torchvision import models

    settings: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    settings |= options
    if file is None:
        settings["num_classes"] = len(weights.meta["categories"])
    with torch.device("cpu" if name.startswith("regnet") else torch.get_default_device()):  # which reads its values
        model: nn.Module = models.get_model(name, weights=file and weights, progress=False, **settings)
    return model


def _refuse_unknown(name: str) -> None:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        closest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        suggestion = f"did you mean {', '.join(closest)}?" if closest else f"it has {', '.join(known)}"
        raise ValueError(f"torchvision has no classifier of model.name={name}; {suggestion}")


def _build(
    name: str,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    num_classes: int,
    stem: str,
    options: dict[str, Any],
) -> nn.Module:
    from torchvision import models

    settings = {"weights": None, "num_classes": num_classes, **_settings(name, image_size), **options}
    try:
        model: nn.Module = models.get_model(name, **settings)
    except NotImplementedError:  # RegNet reads tensors while it is built, which the meta device cannot
        device = torch.get_default_device()
        with torch.device("cpu"):
            model = models.get_model(name, **settings)
        model = model.to(device)
    small = stem == "small" or (stem == "auto" and min(image_size) <= _SMALL_UP_TO_PIXELS)
    adapt_stem(model, in_channels, small=small)
    return model


def _settings(name: str, image_size: tuple[int, int]) -> dict[str, Any]:
    """What some of the builders must be told besides the number of classes."""
    if name.startswith("vit_"):
        return {"image_size": min(image_size)}
    if name.startswith("maxvit"):
        return {"input_size": image_size}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    """Its path, and itself."""
    return next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))


def adapt_stem(model: nn.Module, in_channels: int, *, small: bool) -> None:
    """Give the first convolution ``in_channels``; ``small``: keep the resolution there, see ``classifier``."""
    path, convolution = first_convolution(model)
    strided = convolution.stride == (2, 2)
    if in_channels != convolution.in_channels:
        convolution = nn.Conv2d(
            in_channels,
            convolution.out_channels,
            convolution.kernel_size,  # type: ignore[arg-type]
            convolution.stride,  # type: ignore[arg-type]
            convolution.padding,  # type: ignore[arg-type]
            bias=convolution.bias is not None,
        )
        model.set_submodule(path, convolution)
    if small and strided:
        convolution.stride = (1, 1)
        if isinstance(getattr(model, "maxpool", None), nn.MaxPool2d):
            model.maxpool = nn.Identity()


def _misfit(build: partial[nn.Module], in_channels: int, image_size: tuple[int, int]) -> str | None:
    """Why the model cannot take such images, or None where it can; found on the meta device."""
    try:
        with torch.device("meta"):
            build(image_size)(torch.empty(2, in_channels, *image_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        return str(error).strip().split("\n")[0]
    return None
