"""What the model of a finished run makes of images that are files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner.afterwards.loaded import LoadedRun
from runner.data.sources.image_files import read_image
from runner.observers.pictures import to_pixels
from runner.precision import Precision
from runner.problem import Refused
from runner.tasks import VAE, Classification, Detection, Reconstruction, Segmentation
from runner.tasks.overlays import palette
from runner.tasks.pixels import as_images
from runner.tasks.views import averaged
from runner.tiles import predict_tiled

PICTURED = (Segmentation, Reconstruction, VAE)
CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Predictor:
    """``tiled``: images larger than what the model was trained on are not made smaller, but seen in overlapping tiles.

    Raises ``Refused`` for a run of which there is nothing to predict from one image.
    """

    run: LoadedRun
    tiled: bool = False

    def __post_init__(self) -> None:
        task, spec = type(self.run.task).__name__, self.run.spec
        known = isinstance(self.run.task, (Classification, Detection, *PICTURED))
        if not known or len(getattr(spec, "image_size", ())) != 2:
            raise Refused([f"predict: {task} on {spec.kind} gives nothing for one image file; name a run that does"])
        if self.tiled and not self.draws:
            raise Refused([f"predict: --tiles is for pictures, and {task} draws none; leave it out"])

    @property
    def draws(self) -> bool:
        """Whether it makes pictures and not rows of a table."""
        return isinstance(self.run.task, PICTURED)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a table of ``rows``."""
        return ("file", "class", "probability", *(CORNERS if isinstance(self.run.task, Detection) else ()))

    def rows(self, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """What is found in each file: a class, or any number of boxes."""
        return self.boxes(files) if isinstance(self.run.task, Detection) else self.classes(files)

    def boxes(self, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """For each box in a file its class, its score, and its corners ``CORNERS`` in pixels of the file."""
        names, (height, width) = self._names, self.run.spec.facts()["image_size"]
        for some, images in self._batches(files):
            for file, found in zip(some, self._found(images).cpu().tolist(), strict=True):  # host sync
                own_height, own_width = size_of(file)
                scale = (own_width / width, own_height / height) * 2
                for *corners, score, number in found:
                    if number:
                        places = {key: corner * by for key, corner, by in zip(CORNERS, corners, scale, strict=True)}
                        yield {"file": str(file), "class": names[int(number) - 1], "probability": score, **places}

    def classes(self, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """For each file its class, the probability of that, and ``probabilities`` of all classes by name."""
        names = self._names
        for some, images in self._batches(files):
            for file, row in zip(some, self._probabilities(images).cpu().tolist(), strict=True):  # host sync
                best = max(range(len(row)), key=row.__getitem__)
                whole = dict(zip(names, row, strict=True))
                yield {"file": str(file), "class": names[best], "probability": row[best], "probabilities": whole}

    def pictures(self, files: Sequence[Path]) -> Iterator[tuple[Path, Tensor]]:
        """For each file the classes of its pixels, int64 (H, W) of the file's size, or an image (C, H, W) in [0, 1]."""
        segments = isinstance(self.run.task, Segmentation)
        for file in files:
            shape = size_of(file)
            drawn = self._in_tiles(file, shape) if self._takes_tiles(shape) else self._at_once(file)
            yield file, _of_size(drawn.argmax(0), shape) if segments else self._shown(drawn)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.run.class_names or tuple(map(str, range(self.run.spec.num_classes)))

    @torch.inference_mode()
    def _found(self, images: Tensor) -> Tensor:
        """Boxes (B, D, 6)."""
        with self._precision().autocast():
            found: Tensor = self.run(images)
        return found.float()

    def _batches(self, files: Sequence[Path]) -> Iterator[tuple[Sequence[Path], Tensor]]:
        count = self.run.config.trainer.eval_batch_size or self.run.config.trainer.batch_size
        for first in range(0, len(files), count):
            some = files[first : first + count]
            yield some, torch.stack([self._read(file) for file in some])

    def _read(self, file: Path, size: tuple[int, int] | None = None) -> Tensor:
        facts = self.run.spec.facts()
        return read_image(str(file), size or facts["image_size"], facts["in_channels"])

    @torch.inference_mode()
    def _probabilities(self, images: Tensor) -> Tensor:
        task = self.run.task
        assert isinstance(task, Classification), "others draw"
        with self._precision().autocast():
            logits = averaged(task.model, self.run.prepare(images), views=task.tta)
        return logits.double().softmax(1)

    def _precision(self) -> Precision:
        return Precision(self.run.config.trainer.precision, device=self.run.device)

    @torch.inference_mode()
    def _drawn(self, images: Tensor) -> Tensor:
        """Stored images uint8 (B, C, H, W) to class probabilities (B, K, H, W), or images as the model sees them."""
        task, prepared = self.run.task, self.run.prepare(images)
        with self._precision().autocast():
            if isinstance(task, Segmentation):
                probabilities: Tensor = task.model(prepared).float().softmax(1)
                return probabilities
            if isinstance(task, Reconstruction):
                return as_images(task.model(prepared), task.loss)
            assert isinstance(task, VAE), "others are refused"
            mean, _ = task._model.posterior(prepared)
            return as_images(task._model.decode(mean), task.loss)

    def _at_once(self, file: Path) -> Tensor:
        return self._drawn(self._read(file).unsqueeze(0))[0]

    def _takes_tiles(self, shape: tuple[int, int]) -> bool:
        sides = [*zip(shape, self.run.spec.facts()["image_size"], strict=True)]
        return self.tiled and all(side >= tile for side, tile in sides) and any(side > tile for side, tile in sides)

    def _in_tiles(self, file: Path, shape: tuple[int, int]) -> Tensor:
        """(K, H, W) of the whole file; neighbours share a quarter of a tile, of which each leaves out its border."""
        tile = self.run.spec.facts()["image_size"]
        drawn = predict_tiled(
            self._drawn,
            self._read(file, shape),
            tile=tile,
            overlap=[side // 4 for side in tile],
            halo=[side // 16 for side in tile],
            batch_size=16,
        )
        assert isinstance(drawn, Tensor), "nothing else was asked for"
        return drawn

    def _shown(self, image: Tensor) -> Tensor:
        return to_pixels(image.unsqueeze(0), mean=self.run.mean, std=self.run.std)[0]


def size_of(file: Path) -> tuple[int, int]:
    """(height, width) of an image file, which is not decoded."""
    from PIL import Image

    with Image.open(file) as image:
        return image.height, image.width


def _of_size(classes: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 (H, W): the class of the nearest pixel."""
    if tuple(classes.shape) == size:
        return classes
    floats = classes[None, None].double()  # exact, and the only kind that is resized
    return torch.nn.functional.interpolate(floats, size, mode="nearest-exact")[0, 0].long()


def save_classes(path: Path, classes: Tensor) -> None:
    """A PNG with the class of each pixel (H, W) as its value, up to 256, shown in the colours of a run's pictures."""
    from PIL import Image

    image = Image.fromarray(classes.cpu().numpy().astype(np.uint8))
    image.putpalette(palette(256).flatten().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")
