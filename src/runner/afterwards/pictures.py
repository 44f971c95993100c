"""Pictures as files."""

from __future__ import annotations

import io
import os
from pathlib import Path

from torch import Tensor

from runner.durable import appearing


def write_png(path: Path, picture: Tensor) -> None:
    """(C, H, W), C 1 or 3, uint8 or in [0, 1]; whole or not at all. Raises ``OSError`` where it cannot be written."""
    from PIL import Image

    levels = picture if not picture.is_floating_point() else (picture * 255).round().byte()
    pixels = levels.cpu().movedim(0, -1).contiguous().numpy()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    with appearing(path, mark=f"{os.getpid()}.new") as temporary:
        temporary.write_bytes(buffer.getvalue())
