"""Metrics against scikit-learn, with a last batch that is short."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from torch import Tensor
from torchmetrics import Metric

from runner.metrics import Metrics, accuracy, confusion_matrix, f1, mse, precision, recall, top5

CONF = Path(__file__).parents[2] / "conf" / "metrics"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
OF_TOKENS = ("bleu", "exact_match", "token_accuracy")
OF_MASKS = ("dice", "iou", "pixel_precision", "pixel_recall")
OF_RANKS = ("average_precision", "precision_at_k", "roc_auc")
CLASSES = 7
LABELS = torch.randint(0, CLASSES - 1, (83,), generator=torch.Generator().manual_seed(0))  # one class is absent
LOGITS = torch.randn(83, CLASSES, generator=torch.Generator().manual_seed(1)) + 1.5 * torch.eye(CLASSES)[LABELS]
GUESSES = LOGITS.argmax(1)


def measure(metrics: Metrics, predictions: Tensor = LOGITS, targets: Tensor = LABELS) -> Metrics:
    """Fed in batches of 20: the last has 3."""
    with torch.inference_mode():
        for batch in zip(torch.split(predictions, 20), torch.split(targets, 20), strict=True):
            metrics.update(*batch)
    return metrics


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_class_metrics_equal_scikit_learn(average: str) -> None:
    made = {"precision": precision, "recall": recall, "f1": f1}
    metrics = Metrics({name: make(num_classes=CLASSES, average=average) for name, make in made.items()})
    expected = sklearn.metrics.precision_recall_fscore_support(LABELS, GUESSES, average=average, zero_division=0)
    found = measure(metrics).compute()
    assert list(found) == ["precision", "recall", "f1"]
    assert list(found.values()) == pytest.approx(expected[:3], abs=1e-6)


def test_accuracy_and_top5_equal_scikit_learn() -> None:
    metrics = Metrics({"accuracy": accuracy(num_classes=CLASSES), "top5": top5(num_classes=CLASSES)})
    assert measure(metrics).compute() == pytest.approx(
        {
            "accuracy": sklearn.metrics.accuracy_score(LABELS, GUESSES),
            "top5": sklearn.metrics.top_k_accuracy_score(LABELS, LOGITS, k=5, labels=range(CLASSES)),
        }
    )


def test_macro_accuracy_is_the_mean_over_the_classes() -> None:
    labels, guesses = torch.tensor([0, 0, 0, 1]), torch.eye(2)[[0, 0, 1, 1]]
    metrics = Metrics({"a": accuracy(num_classes=2, average="macro"), "b": accuracy(num_classes=2)})
    metrics.update(guesses, labels)
    assert metrics.compute() == pytest.approx({"a": (2 / 3 + 1) / 2, "b": 3 / 4})


@pytest.mark.parametrize(("normalize", "theirs"), [(None, None), ("labels", "true"), ("all", "all")])
def test_confusion_matrix_equals_scikit_learn(normalize: str | None, theirs: str | None) -> None:
    metrics = measure(Metrics({"matrix": confusion_matrix(num_classes=CLASSES, normalize=normalize)}))
    expected = sklearn.metrics.confusion_matrix(LABELS, GUESSES, labels=range(CLASSES), normalize=theirs)
    np.testing.assert_allclose(metrics.arrays()["matrix"].numpy(), expected, atol=1e-6)
    assert metrics.compute() == {}


def test_pixels_are_samples_and_an_ignored_label_is_none() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32).reshape(2, 4, 4) % 3
    labels[0, :2] = 255
    metrics = Metrics({"accuracy": accuracy(num_classes=3, ignore_index=255)})
    metrics.update(logits.to(memory_format=torch.channels_last), labels)
    kept = labels != 255
    right = logits.argmax(1)[kept] == labels[kept]
    assert metrics.compute()["accuracy"] == pytest.approx(right.double().mean().item())


def test_mse_equals_scikit_learn_also_on_channels_last() -> None:
    images = torch.rand(45, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    rebuilt = torch.rand(45, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = sklearn.metrics.mean_squared_error(images.flatten(), rebuilt.flatten())
    metrics = Metrics({"mse": mse(), "rmse": mse(squared=False)})
    measure(metrics, rebuilt.to(memory_format=torch.channels_last), images)
    assert metrics.compute() == pytest.approx({"mse": expected, "rmse": expected**0.5}, rel=1e-6)


def test_a_mean_counts_samples_and_not_batches() -> None:
    metrics = Metrics({})
    metrics.mean("loss", torch.tensor(1.0, requires_grad=True), 20)
    metrics.mean("loss", torch.tensor(5.0, dtype=torch.bfloat16), weight=5)
    metrics.mean("other", torch.tensor(2.0), weight=25)
    assert metrics.compute() == {"loss": 45 / 25, "other": 2.0}


def test_a_mean_is_taken_in_float64() -> None:
    metrics = Metrics({})
    value = torch.tensor(0.1)
    for _ in range(1000):
        metrics.mean("loss", value, weight=97)
    assert metrics.compute()["loss"] == pytest.approx(value.item(), abs=1e-14)


def test_reset_forgets_and_what_saw_no_batch_is_left_out() -> None:
    metrics = Metrics({"accuracy": accuracy(num_classes=CLASSES)})
    assert metrics.compute() == {}
    measure(metrics).mean("loss", torch.tensor(1.0), weight=1)
    first = metrics.compute()
    assert list(first) == ["loss", "accuracy"]
    metrics.reset()
    assert metrics.compute() == {}
    assert measure(metrics).compute() == {"accuracy": first["accuracy"]}


def test_asking_in_between_disturbs_nothing() -> None:
    asked = Metrics({"accuracy": accuracy(num_classes=CLASSES)})
    asked.update(LOGITS[:20], LABELS[:20])
    asked.compute()
    asked.update(LOGITS[20:], LABELS[20:])
    assert asked.compute() == measure(Metrics({"accuracy": accuracy(num_classes=CLASSES)})).compute()


def test_to_moves_what_was_added_and_what_will_be() -> None:
    metrics = Metrics({"accuracy": accuracy(num_classes=CLASSES), "mse": mse()})
    metrics.mean("loss", torch.tensor(1.0), weight=1)
    assert metrics.to(torch.device("meta")) is metrics
    assert all(metric.device.type == "meta" for metric in metrics.metrics.values())


def test_nothing_is_read_on_the_host_before_compute() -> None:
    metrics = Metrics({"accuracy": accuracy(num_classes=3)}).to(torch.device("meta"))
    logits, labels = torch.empty(4, 3, device="meta"), torch.empty(4, dtype=torch.long, device="meta")
    metrics.update(logits, labels)  # a value that was read would not exist
    metrics.mean("loss", torch.empty((), device="meta"), weight=4)
    with pytest.raises((RuntimeError, NotImplementedError)):
        metrics.compute()


@pytest.mark.parametrize("make", [accuracy, precision, recall, f1, top5])
def test_bad_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="average must be one of micro, macro, weighted, got mean"):
        make(num_classes=9, average="mean")
    with pytest.raises(ValueError, match=r"at least [25] classes, got 1"):
        make(num_classes=1)


def test_refusals_name_the_metric() -> None:
    with pytest.raises(ValueError, match=r"metrics=top5 needs at least 5 classes, got 4"):
        top5(num_classes=4)
    with pytest.raises(ValueError, match=r"confusion_matrix\.normalize must be labels, .* got true"):
        confusion_matrix(num_classes=4, normalize="true")
    with pytest.raises(ValueError, match=r"leave out metrics\.loss"):
        Metrics({"loss": mse()}).mean("loss", torch.tensor(1.0), weight=1)


def test_the_options_are_those_promised() -> None:
    assert (
        sorted(
            [
                "accuracy",
                "top5",
                "precision",
                "recall",
                "f1",
                "confusion_matrix",
                "mse",
                *OF_TOKENS,
                *OF_RANKS,
                *OF_MASKS,
                "map",
            ]
        )
        == OPTIONS
    )


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_names_its_metric_and_shows_every_value(option: str) -> None:
    node: Any = OmegaConf.load(CONF / f"{option}.yaml")
    assert list(node) == [option]
    signature = inspect.signature(get_object(node[option]["_target_"]))
    told = {"class_names", "ignore_index"} if option in (*OF_MASKS, "map") else set()
    assert set(node[option]) - {"_target_"} == set(signature.parameters) - {"num_classes", *told}
    facts = {"num_classes": 9} if "num_classes" in signature.parameters else {}
    metrics = Metrics({option: instantiate(node[option], **facts, _convert_="all")})
    targets = torch.rand(5, 9) if option == "mse" else torch.arange(5)
    tokens = torch.full((5, 9), 7)
    given = {
        **dict.fromkeys(OF_TOKENS, (tokens, tokens)),
        **dict.fromkeys(OF_RANKS, (torch.rand(5), torch.arange(5) > 2)),
        "map": (torch.zeros(5, 9, 6), torch.zeros(5, 2, 5)),
        **dict.fromkeys(OF_MASKS, (torch.rand(5, 9, 2, 2), torch.arange(20).view(5, 2, 2) % 9)),
    }
    metrics.update(*given.get(option, (torch.rand(5, 9), targets)))
    names = 10 if option in OF_MASKS else 3 if option == "map" else 1
    assert len(metrics.compute()) + len(metrics.arrays()) == names


class Two(Metric):
    """Two numbers, of which one may be anything."""

    def __init__(self, other: object) -> None:
        super().__init__()
        self.other = other

    def update(self, predictions: Tensor, targets: Tensor) -> None: ...

    def compute(self) -> dict[str, object]:
        return {"": torch.tensor(1.0), "other": self.other}


def test_a_dict_gives_each_of_its_tensors_a_name() -> None:
    assert measure(Metrics({"two": Two(torch.tensor(2.0))})).compute() == {"two": 1.0, "two_other": 2.0}
    with pytest.raises(ValueError, match=r"metrics.two must give one tensor or a dict of them, got float"):
        measure(Metrics({"two": Two(2.0)})).compute()


@pytest.mark.slow
def test_torchmetrics_is_imported_only_when_a_metric_is_made() -> None:
    code = "import sys, runner.metrics; assert 'torchmetrics' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
