"""scikit-learn's handwritten digits: real data that needs no network."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data.source import Problem, Spec, Splits
from runner.data.sources.settings import (
    ImageSize,
    Statistics,
    class_problems,
    fraction_problems,
    image_size_problems,
    number_problems,
    size_or,
    statistics_problems,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1797 images of 8x8 pixels, one channel, 10 classes.

    They are the test part of UCI's "Optical recognition of handwritten digits" (Alpaydin and Kaynak, 1998).
    ``test_fraction`` of all is held out as the test part, then ``valid_fraction`` of the rest as the
    validation part. ``image_size`` None keeps the 8x8 pixels.
    """

    image_size: ImageSize = 32
    test_fraction: float = 0.2
    valid_fraction: float = 0.1
    split_seed: int = 0
    mean: Statistics = None  # None: computed from the training part
    std: Statistics = None
    novel_classes: Sequence[int] = ()  # in the test part only
    labelled_fraction: float | None = None  # None: all of the training part

    @property
    def spec(self) -> Spec:
        height, width = size_or(self.image_size, (8, 8))
        return Spec(channels=1, height=height, width=width, num_classes=10)

    def problems(self) -> list[Problem]:
        return [
            *image_size_problems(self.image_size),
            *fraction_problems(test_fraction=self.test_fraction, valid_fraction=self.valid_fraction),
            *number_problems(0, split_seed=self.split_seed),
            *statistics_problems(self.mean, self.std, channels=1),
            *class_problems(self.novel_classes, num_classes=10),
            *([] if self.labelled_fraction is None else fraction_problems(labelled_fraction=self.labelled_fraction)),
        ]

    def load(self) -> Splits:
        import torch

        from runner.data.sources.in_memory import Labelled, splits_of

        table = read_digits()  # (1797, 65): 64 pixels of 0..16, then the label
        pixels = torch.from_numpy(table[:, :64]).float().mul(255 / 16).round().byte().view(-1, 1, 8, 8)
        everything = Labelled(pixels, torch.from_numpy(table[:, 64]).long())
        rest, test = everything.hold_out(self.test_fraction, seed=self.split_seed, purpose="test")
        train, valid = rest.hold_out(self.valid_fraction, seed=self.split_seed, purpose="valid")
        names = tuple(str(digit) for digit in range(10))
        return splits_of(
            train,
            valid,
            test,
            spec=self.spec,
            mean=self.mean,
            std=self.std,
            class_names=names,
            notes={"split_seed": self.split_seed},
            novel_classes=self.novel_classes,
            labelled_fraction=self.labelled_fraction,
            split_seed=self.split_seed,
        )


def read_digits() -> NDArray[np.float64]:
    """The table that ``sklearn.datasets.load_digits`` reads.

    Importing sklearn costs more than the default run's set-up otherwise does, so its file is read directly.
    """
    import numpy as np

    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ValueError("dataset=digits needs the package scikit-learn; install scikit-learn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.exists():
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target])
