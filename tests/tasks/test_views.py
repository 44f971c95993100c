"""Test-time augmentation against its definition."""

from __future__ import annotations

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.losses.terms import total
from runner.metrics import Metrics
from runner.tasks import Classification
from runner.tasks.views import VIEWS, averaged

IMAGES = torch.rand(5, 2, 6, 7, generator=torch.Generator().manual_seed(1))


def predict(images: Tensor) -> Tensor:
    """Neither linear in the image nor blind to where things are."""
    weights = torch.linspace(-1, 1, images[0].numel()).view(images.shape[1:])
    return torch.stack([(images * weights).sum((1, 2, 3)), (images * weights).square().sum((1, 2, 3))], dim=1)


def one_by_one(image: Tensor) -> Tensor:
    """The mean over two sides and (with equal chance) the place itself, or one of the two diagonal neighbours."""
    wide = F.pad(image[None], (1, 1, 1, 1), mode="reflect")[0]
    height, width = image.shape[1:]
    total = torch.zeros(2)
    for shift, chance in ((1, 0.5), (0, 0.25), (2, 0.25)):
        view = wide[:, shift : shift + height, shift : shift + width]
        for side in (view, view.flip(2)):
            total += chance * 0.5 * predict(side[None])[0]
    return total


def test_mirror_translate_is_the_mean_over_six_views() -> None:
    expected = torch.stack([one_by_one(image) for image in IMAGES])
    torch.testing.assert_close(averaged(predict, IMAGES, views="mirror_translate"), expected)


def test_mirror_is_the_mean_over_both_sides() -> None:
    expected = 0.5 * predict(IMAGES) + 0.5 * predict(IMAGES.flip(3))
    torch.testing.assert_close(averaged(predict, IMAGES, views="mirror"), expected)


def test_none_is_the_prediction() -> None:
    assert torch.equal(averaged(predict, IMAGES, views="none"), predict(IMAGES))


def test_means_are_taken_in_full_precision() -> None:
    for views in VIEWS:
        assert averaged(lambda images: predict(images).bfloat16(), IMAGES, views=views).dtype == torch.float32


def test_evaluations_see_the_views_and_training_does_not() -> None:
    plain = tiny.task_of("classification").eval()
    assert isinstance(plain, Classification)
    batch = torch.rand(6, 1, tiny.PIXELS, tiny.PIXELS), torch.arange(6) % 3
    scores, losses = {}, set()
    for views in VIEWS:
        task, metrics = Classification(plain.model, nn.CrossEntropyLoss(), tta=views).eval(), Metrics({})
        losses.add(total(next(iter(task.losses(batch)))[1]).item())
        with torch.no_grad():
            task.scores(batch, metrics)
            expected = task.loss(averaged(plain.model, batch[0], views=views), batch[1]).item()
        scores[views] = metrics.compute()["loss"]
        assert scores[views] == pytest.approx(expected)
    assert len(losses) == 1
    assert len(set(scores.values())) == len(VIEWS)


def test_unknown_views_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.tta must be one of none, mirror, mirror_translate, got 'flip'"):
        Classification(nn.Identity(), nn.CrossEntropyLoss(), tta="flip")
