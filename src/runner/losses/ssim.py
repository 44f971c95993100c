"""A loss that compares structure instead of single pixels."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_K1, _K2 = 0.01, 0.03  # the paper's


class SSIM(nn.Module):
    """1 - SSIM of two batches of images (B, C, H, W), as a mean over samples, channels and places: 0 where they agree.

    Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004), equation 13, in
    Gaussian windows that lie inside the image. ``data_range`` is the difference between the largest and the smallest
    value that a pixel can have. Always computed in float32: small variances are differences of large numbers.
    Raises ``ValueError`` for an even ``window``, one that is larger than the images, and numbers that are not positive.
    """

    targets: ClassVar[str] = "image"
    kernel: Tensor

    def __init__(
        self,
        *,
        window: int = 11,
        sigma: float = 1.5,
        data_range: float = 1.0,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"loss.window must be odd and positive, got {window}; set loss.window=11")
        for name, value in (("sigma", sigma), ("data_range", data_range)):
            if value <= 0:
                raise ValueError(f"loss.{name} must be above 0, got {value}")
        if image_size is not None and min(image_size) < window:
            rows, columns = image_size
            raise ValueError(
                f"loss=ssim compares windows of {window}x{window} pixels, but images have {rows}x{columns}; "
                f"set loss.window={min(image_size) - 1 + min(image_size) % 2}"
            )
        places = torch.arange(window) - window // 2
        weights = torch.exp(-(places**2) / (2 * sigma**2))
        self.register_buffer("kernel", weights / weights.sum(), persistent=False)  # the configuration knows it
        self.c1, self.c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        kind = "cpu" if predictions.is_meta else predictions.device.type  # autocast does not know the meta device
        with torch.autocast(kind, enabled=False):
            x, y = predictions.float(), targets.float()
            maps = (x, y, x * x, y * y, x * y)
            mean_x, mean_y, xx, yy, xy = (self._smoothed(some.flatten(0, 1)) for some in maps)
            luminance = (2 * mean_x * mean_y + self.c1) / (mean_x**2 + mean_y**2 + self.c1)
            variances = xx - mean_x**2 + yy - mean_y**2
            structure = (2 * (xy - mean_x * mean_y) + self.c2) / (variances + self.c2)
            return 1 - (luminance * structure).mean()

    def _smoothed(self, maps: Tensor) -> Tensor:
        """Maps (M, H, W) to their weighted means in all windows inside, one axis after the other."""
        column = self.kernel.view(1, 1, -1, 1)
        smoothed: Tensor = F.conv2d(F.conv2d(maps.unsqueeze(1), column), column.mT)
        return smoothed.squeeze(1)
