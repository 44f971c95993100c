"""A square table of classes as a picture: true ones from top to bottom, predicted ones from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

CELL = 44  # pixels; of tables without numbers NARROW
NARROW = 8
NUMBERED = 20  # classes at most
LINE = 14  # pixels, of a line of text
FULL = (8, 48, 107)  # of a row's whole
INK = (40, 40, 40)


def heat_map(table: Tensor, *, names: Sequence[str] = ()) -> Tensor:
    """Each cell (true, predicted) of ``table`` (K, K) as dark as its share of its row: (3, H, W) in [0, 1].

    Up to ``NUMBERED`` classes are named, or numbered without ``names``, and cells bear their values.
    """
    from PIL import Image, ImageDraw

    values = table.detach().double().cpu()
    shares = (values / values.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
    named = len(values) <= NUMBERED
    cell = CELL if named else NARROW
    image = Image.new("RGB", (1, 1))
    labels = [names[index] if len(names) == len(values) else str(index) for index in range(len(values))]
    draw = ImageDraw.Draw(image)
    margin = 24 + (max(LINE, *(int(draw.textlength(label)) for label in labels)) if named else 0)
    side = margin + cell * len(values) + 1
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(shares.tolist()):
        for column, share in enumerate(line):
            left, top = margin + column * cell, margin + row * cell
            draw.rectangle((left, top, left + cell, top + cell), fill=_shade(share), outline=(225, 225, 225))
            if named:
                text, ink = _short(values[row, column].item()), "white" if share > 0.5 else INK
                draw.text((left + cell / 2, top + cell / 2), text, fill=ink, anchor="mm")
    if named:
        _label(draw, labels, margin=margin, cell=cell)
    _axes(image, margin)
    levels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(side, side, 3)
    return levels.permute(2, 0, 1).float() / 255


def _shade(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 + share * (full - 255)) for full in FULL)
    return red, green, blue


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def _label(draw: ImageDraw.ImageDraw, labels: Sequence[str], *, margin: int, cell: int) -> None:
    """Long names are cut where a column has no room for them."""
    for index, label in enumerate(labels):
        middle = margin + (index + 0.5) * cell
        draw.text((margin - 5, middle), label, fill=INK, anchor="rm")
        while label and draw.textlength(label) > cell - 2:
            label = label[:-1]
        draw.text((middle, margin - 5), label, fill=INK, anchor="md")


def _axes(image: Image.Image, margin: int) -> None:
    from PIL import Image, ImageDraw

    middle = (margin + image.width) // 2
    ImageDraw.Draw(image).text((middle, 4), "predicted", fill=INK, anchor="ma")
    upright = Image.new("RGB", (image.height, LINE), "white")
    ImageDraw.Draw(upright).text((image.height - middle, 1), "true", fill=INK, anchor="ma")
    image.paste(upright.rotate(90, expand=True), (2, 0))
