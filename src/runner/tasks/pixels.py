"""What a loss makes of an autoencoder's output: images, or logits of pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runner.losses import BinaryCrossEntropy, WeightedSum, targets_of


def check_pixels(task: str, model: nn.Module, loss: nn.Module, pixel_range: tuple[float, float] | None) -> None:
    """Raises ``ValueError`` for a ``loss`` that compares no images, and for cross-entropy of what is no probability.

    ``pixel_range`` is the lowest and the highest value that a pixel can have as the model sees it, None where unknown.
    """
    if targets_of(loss) == "classes":
        raise ValueError(
            f"loss {type(loss).__name__} compares scores with labels, but task={task} compares images; "
            "set loss=mse, l1 or smooth_l1"
        )
    if isinstance(loss, WeightedSum) and any(isinstance(part, BinaryCrossEntropy) for part in loss.parts.values()):
        raise ValueError("bce takes logits of pixels, which no other loss does; leave it out of loss.parts")
    if not isinstance(loss, BinaryCrossEntropy):
        return
    if not isinstance(getattr(model, "output_activation", nn.Identity()), nn.Identity):
        raise ValueError(f"task={task} with loss=bce needs logits of pixels; set model.output_activation=none")
    if pixel_range is not None and (pixel_range[0] < 0 or pixel_range[1] > 1):
        low, high = pixel_range
        raise ValueError(
            f"task={task} with loss=bce needs pixels in [0, 1], but these lie in [{low:.2f}, {high:.2f}]; "
            "set dataset.mean=[0.0] dataset.std=[1.0]"
        )


def full_precision(like: Tensor) -> torch.autocast:
    """Inside, no operation on tensors that are where ``like`` is is done in half precision."""
    kind = "cpu" if like.is_meta else like.device.type  # autocast does not know the meta device
    return torch.autocast(kind, enabled=False)


def as_images(outputs: Tensor, loss: nn.Module) -> Tensor:
    """What a model that minimises ``loss`` shows, as float32: of logits the probabilities."""
    return outputs.float().sigmoid() if isinstance(loss, BinaryCrossEntropy) else outputs.float()


def error_map(outputs: Tensor, images: Tensor, pixel_range: tuple[float, float] | None) -> Tensor:
    """Absolute differences, as means over channels: uint8 (B, 1, H, W), white where they span the ``pixel_range``.

    Without one, that of ``images`` is taken.
    """
    low, high = pixel_range or (images.min().item(), images.max().item())
    errors = (outputs - images).abs().mean(1, keepdim=True) / max(high - low, torch.finfo(torch.float32).tiny)
    return (255 * errors.clamp(0, 1)).to(torch.uint8)
