"""Mixed precision and accumulation, which the loop does not see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.data.augment import NoAugmentation
from runner.losses import BinaryCrossEntropy
from runner.losses.terms import Loss, total
from runner.precision import Precision, resolve
from runner.tasks import GAN, Classification, Task

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_name_means_itself(name: str) -> None:
    assert resolve(name, CPU) == name


def test_auto_is_full_precision_on_the_cpu_and_the_identity() -> None:
    precision = Precision("auto", device=CPU)
    assert precision.name == "fp32"
    assert not precision.scaler().is_enabled()
    with precision.autocast():
        assert not torch.is_autocast_enabled("cpu")


def test_only_fp16_scales_its_losses() -> None:
    assert [Precision(name, device=CPU).scaler().is_enabled() for name in ("fp32", "bf16", "fp16")] == [0, 0, 1]


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_networks_run_in_the_dtype_and_weights_stay(name: str, dtype: torch.dtype) -> None:
    task = tiny.task_of("classification")
    seen: list[torch.dtype] = []
    handle = task.networks()["model"][5].register_forward_hook(lambda _, __, out: seen.append(out.dtype))  # type: ignore[index]
    made = tiny.session(task=task, precision=name, steps=3)
    made.train()
    handle.remove()
    assert set(seen) == {dtype}
    assert {parameter.dtype for parameter in task.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "fp8"}, "precision must be one of auto, fp32, bf16, fp16, got 'fp8'"),
        ({"micro_batches": 0}, "micro_batches must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Precision(device=CPU, **settings)


class Chained(Task):
    """Two losses over one weight: the second must see the weight that the first one's step left."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.first.weight, 1.0)
        self.seen: list[float] = []

    def losses(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
        for _ in range(2):
            predicted = self.first(batch)
            self.seen.append(predicted.mean().item())
            yield "first", predicted.float().mean()


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_second_loss_sees_what_the_first_one_changed(name: str, micro_batches: int) -> None:
    """Autocast keeps the weights that it converted: in one block around both, the second would see the old ones."""
    task = Chained()
    precision = Precision(name, device=CPU, micro_batches=micro_batches)
    optimizer = torch.optim.SGD(task.parameters(), lr=1.0)
    for _, parts in precision.losses(task, torch.ones(4, 1)):
        for part in parts:
            torch.autograd.backward(total(part))
        optimizer.step()
        optimizer.zero_grad()
    assert task.seen == [1.0] * micro_batches + [0.0] * micro_batches


def test_one_block_around_both_would_serve_the_old_weights() -> None:
    """So the test above is able to fail."""
    task = Chained()
    optimizer = torch.optim.SGD(task.parameters(), lr=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _, loss in task.losses(torch.ones(4, 1)):
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
    assert task.seen == [1.0, 1.0]


def without_batch_norm() -> Task:
    """Batch norm, dropout and noise draw or average per piece: without them a batch in pieces is the batch."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(tiny.PIXELS**2, 8), nn.Tanh(), nn.Linear(8, tiny.CLASSES))
    return Classification(model, nn.CrossEntropyLoss())


@pytest.mark.parametrize("micro_batches", [2, 3, 5, 9])
def test_accumulation_gives_the_same_update(micro_batches: int) -> None:
    """5 samples in 2 pieces are 2 and 3: a mean of means would be another number."""
    whole = tiny.session(task=without_batch_norm(), augmentation=NoAugmentation())
    pieces = tiny.session(task=without_batch_norm(), augmentation=NoAugmentation(), micro_batches=micro_batches)
    for made in (whole, pieces):
        made.train()
    for one, other in zip(whole.task.parameters(), pieces.task.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6, rtol=0)


class Noting(GAN):
    """Notes which weights each loss was computed with."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(tiny.Pair(), BinaryCrossEntropy())
        self.order: list[str] = []

    def losses(self, batch: Any) -> Iterator[tuple[str, Loss]]:
        for name, loss in super().losses(batch):
            self.order.append(name)
            yield name, loss


def test_accumulation_keeps_the_order_of_a_gan() -> None:
    """Each loss over all pieces, then its step, before the next loss is asked for."""
    task = Noting()
    made = tiny.session(task=task, micro_batches=2)
    before = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
    seen: list[tuple[str, bool, bool]] = []

    def changed(network: str) -> bool:
        return any(
            not torch.equal(parameter, before[name])
            for name, parameter in task.named_parameters()
            if name.startswith(network)
        )

    batch = next(made.data.train(0))
    for name, parts in made.precision.losses(task, batch):
        for part in parts:
            seen.append((name, changed("discriminator"), changed("generator")))
            made.updates[name].parameters[0].grad = torch.zeros_like(made.updates[name].parameters[0])
            torch.autograd.backward(total(part), inputs=made.updates[name].parameters)
        made.updates[name].optimizer.step()
    assert task.order == ["discriminator"] * 2 + ["generator"] * 2
    assert seen == [("discriminator", False, False)] * 2 + [("generator", True, False)] * 2


def test_pieces_that_disagree_about_the_losses_are_told() -> None:
    class Fickle(Chained):
        calls = 0

        def losses(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
            self.calls += 1
            yield ("first" if self.calls == 1 else "second"), self.first(batch).mean()

    precision = Precision("fp32", device=CPU, micro_batches=2)
    with pytest.raises(ValueError, match="must yield the same losses for each batch, got 'first' and then 'second'"):
        [list(parts) for _, parts in precision.losses(Fickle(), torch.ones(4, 1))]


def test_a_piece_that_yields_fewer_losses_is_told() -> None:
    """Not a StopIteration, which says nothing and inside a generator becomes a RuntimeError."""

    class Short(Chained):
        calls = 0

        def losses(self, batch: Tensor) -> Iterator[tuple[str, Tensor]]:
            self.calls += 1
            if self.calls == 1:
                yield "first", self.first(batch).mean()

    precision = Precision("fp32", device=CPU, micro_batches=2)
    with pytest.raises(ValueError, match="must yield the same losses for each batch"):
        [list(parts) for _, parts in precision.losses(Short(), torch.ones(4, 1))]
