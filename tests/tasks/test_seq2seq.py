"""What a sequence task minimises and decodes, and what does not fit it."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.data.vocabulary import BOS, EOS, PAD
from runner.losses import CrossEntropy
from runner.losses.terms import total
from runner.metrics import Metrics, exact_match, token_accuracy
from runner.models import AttentionSeq2Seq
from runner.tasks import Seq2Seq
from runner.tasks.decoding import beam, greedy

SOURCE = torch.tensor([[4, 5, 6, EOS, PAD], [7, EOS, PAD, PAD, PAD], [5, 5, 4, 7, EOS]])
TARGET = torch.tensor([[6, 5, 4, EOS, PAD], [7, EOS, PAD, PAD, PAD], [7, 4, 5, 5, EOS]])


def task_of(**settings: Any) -> Seq2Seq:
    torch.manual_seed(0)
    model = AttentionSeq2Seq(source_vocabulary_size=8, target_vocabulary_size=8, embedding_dim=4, hidden_dim=6)
    return Seq2Seq(model, CrossEntropy(ignore_index=PAD), **settings)


def loss_of(task: Seq2Seq, source: Tensor = SOURCE, target: Tensor = TARGET) -> Tensor:
    ((name, loss),) = task.losses((source, target))
    assert name == "model"
    return total(loss)


def test_the_loss_is_the_mean_over_the_tokens_after_the_targets_own() -> None:
    task = task_of()
    inputs = torch.tensor([[BOS, 6, 5, 4, EOS], [BOS, 7, EOS, PAD, PAD], [BOS, 7, 4, 5, 5]])
    log_p = task.networks()["model"](SOURCE, inputs).log_softmax(2)
    real = TARGET != PAD
    expected = -log_p.gather(2, TARGET[:, :, None])[:, :, 0][real].sum() / real.sum()
    torch.testing.assert_close(loss_of(task), expected)


def test_more_padding_changes_nothing() -> None:
    task = task_of()
    wider = [torch.nn.functional.pad(part, (0, 3), value=PAD) for part in (SOURCE, TARGET)]
    torch.testing.assert_close(loss_of(task), loss_of(task, *wider))


def test_a_coin_that_always_falls_for_the_target_is_teacher_forcing() -> None:
    task = task_of()
    whole = task.model(SOURCE, torch.nn.functional.pad(TARGET[:, :-1], (1, 0), value=BOS))
    torch.testing.assert_close(task._sampled(SOURCE, TARGET), whole)


@pytest.mark.parametrize(("teacher_forcing", "sees"), [(1.0, True), (0.0, False)])
def test_without_teacher_forcing_the_targets_own_tokens_are_not_read(teacher_forcing: float, sees: bool) -> None:
    """The last token is the same in both targets: only what stands before it differs."""
    task = task_of(teacher_forcing=teacher_forcing)
    logits: list[Tensor] = []
    task.loss.register_forward_pre_hook(lambda _module, inputs: logits.append(inputs[0].detach()))
    for first in (4, 6):
        loss_of(task, target=torch.tensor([[first, 5, 4, 4, EOS]] * 3))
    last_of_each = slice(4, None, 5)
    assert torch.equal(logits[0][last_of_each], logits[1][last_of_each]) != sees


def test_which_tokens_are_the_targets_is_drawn_from_the_steps_generator() -> None:
    task = task_of(teacher_forcing=0.5)

    def drawn(seed: int) -> float:
        torch.manual_seed(seed)
        return loss_of(task).item()

    assert drawn(0) == drawn(0)
    assert len({drawn(seed) for seed in range(6)}) > 1


def test_what_is_decoded_is_scored_beside_the_loss() -> None:
    task = task_of().eval()
    metrics = Metrics({"exact_match": exact_match(), "token_accuracy": token_accuracy()})
    with torch.inference_mode():
        decoded = task.decode(SOURCE, length=5)
        task.scores((SOURCE, TARGET), metrics)
    found = metrics.compute()
    assert found["loss"] == pytest.approx(loss_of(task).item())
    assert found["exact_match"] == (decoded == TARGET).all(1).double().mean().item()
    assert found["token_accuracy"] == pytest.approx(((decoded == TARGET) & (TARGET != PAD)).sum().item() / 11)


def test_the_loss_of_a_part_counts_tokens_and_not_batches() -> None:
    task, one, many = task_of().eval(), Metrics({}), Metrics({})
    with torch.inference_mode():
        task.scores((SOURCE, TARGET), one)
        for row in range(3):
            task.scores((SOURCE[row : row + 1], TARGET[row : row + 1]), many)
    assert many.compute() == pytest.approx(one.compute())


def test_the_beam_is_as_wide_as_it_was_set() -> None:
    plain, wide = task_of().eval(), task_of(beam_width=3, length_penalty=2.0).eval()
    with torch.inference_mode():
        for task in (plain, wide):  # weights with which the likeliest beginnings are not the best
            generator = torch.Generator().manual_seed(2)
            for weight in task.parameters():
                weight.normal_(generator=generator)
        assert torch.equal(plain.decode(SOURCE, length=5), greedy(plain.model, SOURCE, length=5))
        expected = beam(wide.model, SOURCE, length=5, width=3, length_penalty=2.0)
        assert torch.equal(wide.decode(SOURCE, length=5), expected)
        assert not torch.equal(expected, plain.decode(SOURCE, length=5))


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.CrossEntropyLoss(), CrossEntropy(), nn.Identity(), CrossEntropy(ignore_index=1)]
)
def test_a_loss_that_does_not_leave_padding_out_is_refused(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"leaves padding out, got \w+ with ignore_index=.*set loss=cross_entropy"):
        Seq2Seq(tiny.task_of("seq2seq").networks()["model"], loss)


def test_a_model_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got Flatten; set model=attention_seq2seq or transformer_seq2seq"):
        Seq2Seq(nn.Flatten(), CrossEntropy(ignore_index=PAD))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_forcing": 1.1}, r"task\.teacher_forcing must lie in \[0, 1\], got 1\.1"),
        ({"teacher_forcing": -0.1}, r"task\.teacher_forcing must lie in"),
        ({"beam_width": 0}, r"task\.beam_width must be at least 1, got 0"),
        ({"length_penalty": -1.0}, r"task\.length_penalty must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_of(**settings)
