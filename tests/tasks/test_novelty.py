"""Scores of novelty, and what ranks by them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.losses import SSIM, BinaryCrossEntropy
from runner.metrics import Metrics, average_precision, precision_at_k, roc_auc
from runner.models import CAE
from runner.tasks import Novelty

LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Dimming(nn.Module):
    """Rebuilds dark images well, and bright ones badly; its codes are two of the pixels."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2]

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images


def images_of(*levels: float) -> Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def ranks() -> Metrics:
    return Metrics({"roc_auc": roc_auc(), "average_precision": average_precision(), "precision_at_k": precision_at_k()})


def scored(task: Novelty, images: Tensor, labels: Tensor) -> dict[str, float]:
    metrics = ranks()
    task.eval()
    with torch.no_grad():
        task.scores((images, labels), metrics)
    return metrics.compute()


@pytest.mark.parametrize(("loss", "expected"), [(nn.MSELoss(), [0.01, 0.25]), (nn.L1Loss(), [0.1, 0.5])])
def test_an_image_is_scored_by_its_own_loss(loss: nn.Module, expected: list[float]) -> None:
    task = Novelty(Dimming(), loss, novel_classes=[2])
    scored(task, images_of(0.2, 1.0), torch.tensor([0, 2]))
    ((scores, novel),) = task.ranked
    torch.testing.assert_close(scores, torch.tensor(expected))
    assert novel.tolist() == [False, True]


@pytest.mark.parametrize("loss", [SSIM(window=5), BinaryCrossEntropy(), nn.SmoothL1Loss()])
def test_the_scores_of_a_batch_have_its_loss_as_their_mean(loss: nn.Module) -> None:
    task = Novelty(nn.Hardtanh(), loss, novel_classes=[2])
    found = scored(task, torch.rand(6, 1, 8, 8), LABELS)
    assert task.ranked[0][0].mean().item() == pytest.approx(found["loss"], rel=1e-5)


def test_what_is_rebuilt_badly_ranks_first() -> None:
    task = Novelty(Dimming(), nn.MSELoss(), novel_classes=[2, 1])
    found = scored(task, images_of(0.1, 0.9, 1.0, 0.2, 0.8, 0.7), LABELS)
    assert {name: found[name] for name in ranks().metrics} == dict.fromkeys(ranks().metrics, 1.0)
    mixed = scored(task, images_of(0.95, 0.9, 1.0, 0.2, 0.8, 0.7), LABELS)
    assert mixed["roc_auc"] == pytest.approx(5 / 8)  # of 8 pairs 3 are the wrong way round
    assert mixed["precision_at_k"] == 0.75


def test_a_part_of_normal_samples_has_a_loss_and_no_rank() -> None:
    task = Novelty(Dimming(), nn.MSELoss(), novel_classes=[2])
    assert list(scored(task, images_of(0.1, 0.2), torch.tensor([0, 1]))) == ["loss"]


def test_the_mahalanobis_distance_is_that_from_the_training_codes() -> None:
    task = Novelty(Dimming(), nn.MSELoss(), score="mahalanobis", novel_classes=[2])
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.5, 0.5, 0.0, 0.0], [0, 0, 1, 0], [0, 0, 0, 1]])
    batches = [(torch.randn(50, 4, generator=generator) @ mixing + 1).view(-1, 1, 2, 2) for _ in range(3)]
    for batch in batches:
        list(task.losses((batch, torch.zeros(50))))
    codes = torch.cat(batches).flatten(1)[:, :2].double().numpy()
    scored(task, batches[0], torch.zeros(50))
    centred = codes[:50] - codes.mean(0)
    covariance = np.cov(codes.T, bias=True)
    expected = (centred @ np.linalg.inv(covariance) * centred).sum(1)
    np.testing.assert_allclose(task.ranked[0][0].detach().numpy(), expected, rtol=0.01)


def test_what_was_ranked_is_forgotten_when_the_next_evaluation_begins() -> None:
    task = Novelty(Dimming(), nn.MSELoss(), novel_classes=[2])
    for _ in range(2):
        scored(task, images_of(0.1, 0.2), torch.tensor([0, 2]))
        assert len(task.ranked) == 1
        task.train()


def test_the_moments_of_the_codes_are_saved() -> None:
    task = tiny.task_of("novelty")
    assert {"code_mean", "code_products", "code_batches"} < set(task.state_dict())
    assert "code_mean" not in Novelty(Dimming(), nn.MSELoss(), novel_classes=[2]).state_dict()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs classes that are not trained on; set dataset.novel_classes=\[2,7\]"):
        Novelty(Dimming(), nn.MSELoss())
    with pytest.raises(ValueError, match=r"task.score must be one of reconstruction.*got 'loud'"):
        Novelty(Dimming(), nn.MSELoss(), score="loud", novel_classes=[2])
    with pytest.raises(ValueError, match=r"mahalanobis needs a model with encode and latent_dim, got Identity"):
        Novelty(nn.Identity(), nn.MSELoss(), score="mahalanobis", novel_classes=[2])
    assert Novelty(CAE(in_channels=1, image_size=(6, 6)), nn.MSELoss(), score="mahalanobis", novel_classes=[2])
