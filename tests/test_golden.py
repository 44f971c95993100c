"""The losses of ten steps, as recorded: a refactor that changes numbers shows here.

Where a change is meant, run ``python tests/test_golden.py`` and put its output in place of ``RECORDED``.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import tiny
from torch import Tensor

from runner.state import LossMeans

RECORDED: dict[str, dict[str, list[float]]] = {
    "classification": {
        "train/loss": [
            1.212767,
            1.088251,
            1.129046,
            1.213944,
            1.274933,
            1.085486,
            1.327268,
            0.989498,
            1.048652,
            0.755284,
        ]
    },
    "reconstruction": {
        "train/loss": [1.962375, 2.431178, 1.960829, 1.614304, 2.359376, 1.849289, 1.996309, 1.55321, 1.901882, 1.36265]
    },
    "aae": {
        "train/autoencoder_loss": [
            1.97129,
            2.462785,
            1.816857,
            1.796156,
            2.044371,
            2.093402,
            1.957954,
            1.924436,
            1.910734,
            1.582585,
        ],
        "train/discriminator_loss": [
            1.51032,
            1.494117,
            1.458354,
            1.461888,
            1.46303,
            1.460693,
            1.400139,
            1.481078,
            1.427289,
            1.414715,
        ],
        "train/generator_loss": [
            0.839247,
            0.768484,
            0.81849,
            0.815303,
            0.807994,
            0.787623,
            0.78159,
            0.779338,
            0.786105,
            0.777996,
        ],
        "train/classifier_loss": [
            1.397805,
            1.481598,
            1.20887,
            1.321528,
            1.72759,
            0.827204,
            1.456371,
            1.626875,
            1.288909,
            2.265482,
        ],
    },
    "novelty": {
        "train/loss": [
            1.469508,
            1.809169,
            1.662598,
            1.290036,
            1.541039,
            1.264982,
            1.307471,
            1.271768,
            1.241637,
            1.379582,
        ]
    },
    "vae": {
        "train/loss": [
            122.809059,
            97.908539,
            94.280327,
            219.790085,
            364.706635,
            217.393997,
            140.778168,
            70.107086,
            159.591583,
            74.472725,
        ],
        "train/reconstruction": [
            121.65757,
            97.130081,
            93.134171,
            219.393402,
            363.924744,
            216.497101,
            139.156143,
            69.550438,
            159.111954,
            74.121819,
        ],
        "train/kl": [1.151489, 0.778456, 1.146156, 0.396683, 0.781876, 0.896899, 1.622028, 0.556646, 0.479622, 0.35091],
    },
    "gan": {
        "train/discriminator_loss": [
            1.340186,
            1.405941,
            1.330718,
            1.354788,
            1.19284,
            1.350937,
            1.243423,
            1.237407,
            1.259288,
            1.122043,
        ],
        "train/generator_loss": [
            0.669791,
            0.665894,
            0.721517,
            0.671384,
            0.640087,
            0.654912,
            0.718727,
            0.634213,
            0.692564,
            0.786566,
        ],
    },
}


class Keeping(LossMeans):
    """The sums of the training losses, and each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[float]] = {}

    def add(self, losses: Mapping[str, Tensor], samples: int) -> None:
        super().add(losses, samples)
        for name, loss in losses.items():
            self.kept.setdefault(name, []).append(round(loss.item(), 6))


def losses_of(kind: str) -> dict[str, list[float]]:
    made = tiny.session(kind, steps=10)
    made.state.means = kept = Keeping()
    made.train()
    return kept.kept


@pytest.mark.parametrize("kind", RECORDED)
def test_losses_are_those_recorded(kind: str) -> None:
    found = losses_of(kind)
    assert found.keys() == RECORDED[kind].keys()
    for name, values in found.items():
        assert values == pytest.approx(RECORDED[kind][name], rel=1e-4), name


if __name__ == "__main__":
    print({kind: losses_of(kind) for kind in RECORDED})
