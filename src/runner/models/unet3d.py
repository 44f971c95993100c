"""U-Nets in three dimensions, for voxels and whole volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_GROUPS = 8
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "g": lambda channels: nn.GroupNorm(math.gcd(_GROUPS, channels), channels),
    "b": nn.BatchNorm3d,
    "i": lambda channels: nn.InstanceNorm3d(channels, affine=True),
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "r": lambda: nn.ReLU(inplace=True),
    "l": lambda: nn.LeakyReLU(0.1, inplace=True),
    "e": lambda: nn.ELU(inplace=True),
}
_LETTERS = {"group": "g", "batch": "b", "instance": "i", "none": ""}
JOININGS = ("concatenate", "sum")
OUTPUTS = ("pixels", "image")


def layer_letters(layer_order: str, norm: str | None) -> str:
    """``layer_order``, with its norm replaced by that which ``norm`` names, if it is not None.

    A letter stands for what is done to volumes, from left to right: c convolution; g group, b batch, i instance norm;
    r ReLU, l leaky ReLU, e ELU. Raises ``ValueError`` unless there are one convolution, at most one norm and at most
    one activation, which does not come first: it would take the sign off the data.
    """
    counts = [sum(letter in kind for letter in layer_order) for kind in ("c", _NORMS, _ACTIVATIONS)]
    known = sum(counts) == len(layer_order)
    if not known or counts[0] != 1 or max(counts) > 1 or layer_order[0] in _ACTIVATIONS:
        raise ValueError(
            "model.layer_order must have one c (convolution), at most one of g, b, i (group, batch, instance norm) and "
            f"at most one of r, l, e (ReLU, leaky ReLU, ELU), which is not first; got {layer_order!r}; "
            "set model.layer_order=gcr"
        )
    if norm is None:
        return layer_order
    if norm not in _LETTERS:
        raise ValueError(f"model.norm must be {', '.join(_LETTERS)} or null, got {norm!r}; set model.norm=null")
    if norm != "none" and not counts[1]:
        raise ValueError(
            f"model.norm={norm} takes the place of the norm in model.layer_order={layer_order}, which has none; "
            "set model.layer_order=gcr"
        )
    return "".join(_LETTERS[norm] if letter in _NORMS else letter for letter in layer_order)


class Layer(nn.Sequential):
    """A 3x3x3 convolution with the norm and the activation of ``letters`` around it.

    (B, in_channels, D, H, W) to (B, out_channels, D, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, *, letters: str) -> None:
        layers: list[nn.Module] = []
        channels = in_channels
        for letter, following in zip(letters, [*letters[1:], ""], strict=True):
            if letter == "c":
                bias = following not in _NORMS  # which would take it off again
                layers.append(nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=bias))
                nn.init.kaiming_normal_(layers[-1].get_parameter("weight"), nonlinearity="relu")
                channels = out_channels
            else:
                layers.append(_NORMS[letter](channels) if letter in _NORMS else _ACTIVATIONS[letter]())
        super().__init__(*layers)


class DoubleConvolution(nn.Sequential):
    """Two layers, of which one that doubles the channels does so in two steps (Çiçek et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, *, letters: str) -> None:
        between = max(in_channels, out_channels // 2) if in_channels < out_channels else out_channels
        super().__init__(Layer(in_channels, between, letters=letters), Layer(between, out_channels, letters=letters))


class ResidualBlock(nn.Module):
    """A layer, then two more that learn what to add to it; the last activation follows the sum (Lee et al. 2017)."""

    def __init__(self, in_channels: int, out_channels: int, *, letters: str) -> None:
        super().__init__()
        last = "".join(letter for letter in letters if letter not in _ACTIVATIONS)
        self.first = Layer(in_channels, out_channels, letters=letters)
        self.rest = nn.Sequential(
            Layer(out_channels, out_channels, letters=letters), Layer(out_channels, out_channels, letters=last)
        )
        self.activation = next((_ACTIVATIONS[letter]() for letter in letters if letter in _ACTIVATIONS), nn.Identity())

    def forward(self, volumes: Tensor) -> Tensor:
        first = self.first(volumes)
        added: Tensor = self.activation(first + self.rest(first))
        return added


class SymmetricUNet3D(nn.Module):
    """An encoder and a decoder of ``block``s on ``levels`` resolutions, joined at each of them.

    Max-pooling halves the volume from level to level and doubles the width, ``channels`` at full resolution;
    transposed convolutions go back. ``joining``: the encoder's features are put beside the decoder's
    ("concatenate") or added to them ("sum"). What comes out depends on ``output``:

    - "pixels": a logit for each class and voxel, (B, num_classes, D, H, W);
    - "image": a volume of the input's shape, (B, in_channels, D, H, W).

    Raises ``ValueError`` for settings that mean nothing, data that are not volumes, and an ``image_size``, also that of
    a later input, that cannot be halved ``levels`` - 1 times.
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        *,
        in_channels: int,
        num_classes: int,
        image_size: Sequence[int] | None,
        output: str,
        channels: int,
        levels: int,
        letters: str,
        joining: str,
    ) -> None:
        super().__init__()
        _check(output=output, channels=channels, levels=levels, joining=joining)
        self.multiple = 2 ** (levels - 1)
        if image_size is not None:
            self._check_size(image_size)
        widths = [channels * 2**level for level in range(levels)]
        upwards = list(pairwise(reversed(widths)))
        self.joining = joining
        self.pool = nn.MaxPool3d(2)
        self.encoders = nn.ModuleList(
            block(before, width, letters=letters) for before, width in pairwise([in_channels, *widths])
        )
        adds = joining == "sum"
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(below, width if adds else below, 2, stride=2) for below, width in upwards
        )
        self.decoders = nn.ModuleList(
            block(width if adds else below + width, width, letters=letters) for below, width in upwards
        )
        self.head = nn.Conv3d(channels, in_channels if output == "image" else num_classes, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        self._check_size(volumes.shape[2:])
        skips: list[Tensor] = []
        x = volumes
        for encoder in self.encoders:
            x = encoder(self.pool(x) if skips else x)
            skips.append(x)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            skip, x = skips.pop(), up(x)
            x = decoder(skip + x if self.joining == "sum" else torch.cat([skip, x], dim=1))
        voxels: Tensor = self.head(x)
        return voxels

    def _check_size(self, size: Sequence[int]) -> None:
        if len(size) != 3:
            raise ValueError(
                f"{type(self).__name__} takes volumes (depth, height, width), but the data have the size "
                f"{'x'.join(map(str, size))}; set dataset=<one of volumes>, or model=unet"
            )
        if any(length % self.multiple for length in size):
            raise ValueError(
                f"model.levels={self.multiple.bit_length()} halves a volume {self.multiple.bit_length() - 1} times, "
                f"which needs sides that are multiples of {self.multiple}, got {'x'.join(map(str, size))}; set "
                "dataset.image_size (dataset.patch_size of hdf5_volumes) to such a size, or a smaller model.levels"
            )


class UNet3D(SymmetricUNet3D):
    """The 3-D U-Net: two convolutions a level, features put beside each other. See ``SymmetricUNet3D``.

    Çiçek et al., "3D U-Net: learning dense volumetric segmentation from sparse annotation" (2016), with padded
    convolutions, so that the output has the input's size. ``layer_order`` and ``norm``: see ``layer_letters``; the
    paper's is "cbr".
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: Sequence[int] | None = None,
        output: str = "pixels",
        channels: int = 16,
        levels: int = 3,
        layer_order: str = "gcr",
        norm: str | None = None,
    ) -> None:
        super().__init__(
            DoubleConvolution,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            output=output,
            channels=channels,
            levels=levels,
            letters=layer_letters(layer_order, norm),
            joining="concatenate",
        )


class ResidualUNet3D(SymmetricUNet3D):
    """The residual symmetric U-Net: three convolutions a level around a shortcut, features added by default.

    Lee et al., "Superhuman accuracy on the SNEMI3D connectomics challenge" (2017), with isotropic kernels and widths
    that double. See ``SymmetricUNet3D`` for ``joining``, ``layer_letters`` for the rest; the paper's order is "cbe".
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: Sequence[int] | None = None,
        output: str = "pixels",
        channels: int = 16,
        levels: int = 3,
        layer_order: str = "gce",
        norm: str | None = None,
        joining: str = "sum",
    ) -> None:
        super().__init__(
            ResidualBlock,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            output=output,
            channels=channels,
            levels=levels,
            letters=layer_letters(layer_order, norm),
            joining=joining,
        )


def _check(*, output: str, channels: int, levels: int, joining: str) -> None:
    if output not in OUTPUTS:
        raise ValueError(
            f"a 3-D U-Net can give {' or '.join(OUTPUTS)}, but the task wants {output}; "
            "set task=segmentation or task=reconstruction"
        )
    for name, value, least in (("channels", channels, 1), ("levels", levels, 1)):
        if value < least:
            raise ValueError(f"model.{name} must be at least {least}, got {value}; set model.{name}={least}")
    if joining not in JOININGS:
        raise ValueError(f"model.joining must be {' or '.join(JOININGS)}, got {joining!r}; set model.joining=sum")
