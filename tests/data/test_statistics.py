"""Mean and standard deviation against torch's own, in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from runner.data.source import Arrays
from runner.data.statistics import channel_statistics, example_statistics

IMAGES = torch.randint(0, 256, (50, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_they_are_those_of_the_scaled_pixels() -> None:
    pixels = IMAGES.double() / 255
    mean, std = channel_statistics(IMAGES)
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_one_by_one_gives_the_same_bits() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert example_statistics(Arrays(IMAGES), pool) == channel_statistics(IMAGES)


def test_a_constant_channel_can_be_divided_by() -> None:
    mean, std = channel_statistics(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8))
    assert mean == pytest.approx([0.2])
    assert std == [1.0]
