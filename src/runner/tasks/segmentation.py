"""A class for each pixel, or for each voxel of a volume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from runner.losses import WeightedSum, targets_of, weight_of
from runner.losses.terms import Loss
from runner.tasks.overlays import errors, middle, overlay
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Segmentation(Task):
    """Learn masks (B, *S) from images (B, C, *S) through a model that gives logits (B, K, *S), K the classes.

    Long et al., "Fully convolutional networks for semantic segmentation" (2015). S is (H, W), or (D, H, W) of volumes,
    of which pictures show the middle slice. Two classes are two channels, too. Pixels whose mask is ``ignore_index`` do
    not count, neither in losses nor in metrics.
    Raises ``ValueError`` for a loss that compares images, or that does not leave those pixels out.
    """

    output = "pixels"
    examples = ("images with masks",)

    def __init__(self, model: nn.Module, loss: nn.Module, *, ignore_index: int | None = None) -> None:
        super().__init__()
        if targets_of(loss) == "image":
            raise ValueError(
                f"loss {type(loss).__name__} compares images, but task=segmentation compares class scores with masks; "
                "set loss=cross_entropy, dice, bce_dice, generalised_dice, tversky, cldice or focal"
            )
        for part in loss.parts.values() if isinstance(loss, WeightedSum) else (loss,):
            left_out = getattr(part, "ignore_index", ignore_index)
            if ignore_index not in (None, left_out):
                raise ValueError(
                    f"masks have pixels that do not count, {ignore_index}, but loss {type(part).__name__} leaves "
                    f"{left_out} out; set loss.ignore_index={ignore_index}"
                )
        self.model = model
        self.loss = loss

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Loss]]:
        images, masks = _checked(batch)
        yield "model", self.loss(self.model(images), masks)

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        images, masks = batch
        logits = self.model(images).float()
        metrics.loss(self.loss(logits, masks), weight=weight_of(self.loss, masks))
        metrics.update(logits, masks)

    def pictures(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        dims = batch[1].ndim - 1
        images, masks, classes = (
            middle(values, image_dims=dims) for values in (*batch, self.model(batch[0]).argmax(1))
        )
        return {
            "input": images,
            "mask": overlay(images, masks),
            "prediction": overlay(images, classes),
            "error": errors(images, classes, masks),
        }


def _checked(batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Raises ``ValueError`` for a batch that is not of images and masks."""
    images, *others = batch
    if len(others) != 1 or others[0].shape != images.shape[:1] + images.shape[2:]:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        raise ValueError(
            f"task=segmentation needs images (B, C, H, W) and masks (B, H, W), got {shapes}; "
            "set dataset=shapes_masks, mask_folder, shape_volumes or hdf5_volumes"
        )
    return images, others[0]
