"""Sequence to sequence: from the tokens of one sequence to those of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.data.vocabulary import BOS, PAD
from runner.losses import targets_of, weight_of
from runner.losses.terms import Loss
from runner.tasks.decoding import SequenceModel, beam, greedy
from runner.tasks.task import Task

if TYPE_CHECKING:
    from runner.metrics import Metrics


class Seq2Seq(Task):
    """Learn the target's tokens (B, T), ended and padded, from those of the source (B, S), one after the other.

    Sutskever et al., "Sequence to sequence learning with neural networks" (2014). ``teacher_forcing`` is the
    probability with which a token is learnt after the target's own token, and not after the one that the model found
    likeliest there (Bengio et al., "Scheduled sampling for sequence prediction with recurrent neural networks", 2015).
    Below 1 the tokens are computed one by one. The loss is the mean over all tokens that are not padding; evaluations
    measure it with the target's own tokens, and decode for the metrics: greedily, or with a beam (see ``beam``).
    Raises ``ValueError`` for a model that has no steps, a loss that does not leave padding out, and for numbers out of
    their range.
    """

    output = "tokens"
    examples = ("sequences of tokens",)

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        teacher_forcing: float = 1.0,
        beam_width: int = 1,
        length_penalty: float = 0.6,
    ) -> None:
        super().__init__()
        if not isinstance(model, SequenceModel):
            raise ValueError(
                f"task=seq2seq needs a model with start(source) and step(tokens, state), got {type(model).__name__}; "
                "set model=attention_seq2seq or transformer_seq2seq"
            )
        if targets_of(loss) == "image" or getattr(loss, "ignore_index", None) != PAD:
            raise ValueError(
                f"task=seq2seq needs a loss on class scores that leaves padding out, got {type(loss).__name__} with "
                f"ignore_index={getattr(loss, 'ignore_index', None)}; "
                f"set loss=cross_entropy, nll or focal with loss.ignore_index={PAD}"
            )
        _check(teacher_forcing, beam_width, length_penalty)
        self.model = model
        self.loss = loss
        self.teacher_forcing = teacher_forcing
        self.beam_width = beam_width
        self.length_penalty = length_penalty

    def losses(self, batch: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Loss]]:
        source, target = batch
        logits = self.model(source, _shifted(target)) if self.teacher_forcing == 1 else self._sampled(source, target)
        yield "model", self.loss(logits.flatten(0, 1), target.flatten())

    def scores(self, batch: tuple[Tensor, Tensor], metrics: Metrics) -> None:
        source, target = batch
        logits = self.model(source, _shifted(target)).float()
        loss = self.loss(logits.flatten(0, 1), target.flatten())
        metrics.loss(loss, weight=weight_of(self.loss, target.flatten()))
        metrics.update(self.decode(source, length=target.shape[1]), target)

    def decode(self, source: Tensor, *, length: int) -> Tensor:
        """The target that the model means for each source (B, S): ids (B, length), padding after the end."""
        assert isinstance(self.model, SequenceModel), "the constructor refuses others"
        if self.beam_width == 1:
            return greedy(self.model, source, length=length)
        return beam(self.model, source, length=length, width=self.beam_width, length_penalty=self.length_penalty)

    def _sampled(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V), each after the target's own token or the model's, as a coin falls for it."""
        assert isinstance(self.model, SequenceModel), "the constructor refuses others"
        own = torch.rand(target.shape, device=target.device) < self.teacher_forcing
        state, tokens, found = self.model.start(source), target.new_full((len(target),), BOS), []
        for place in range(target.shape[1]):
            logits, state = self.model.step(tokens, state)
            tokens = torch.where(own[:, place], target[:, place], logits.detach().argmax(1))
            found.append(logits)
        return torch.stack(found, 1)


def _shifted(target: Tensor) -> Tensor:
    """What stands before each token: the beginning, and the tokens but for the last."""
    return F.pad(target[:, :-1], (1, 0), value=BOS)


def _check(teacher_forcing: float, beam_width: int, length_penalty: float) -> None:
    if not 0 <= teacher_forcing <= 1:
        raise ValueError(f"task.teacher_forcing must lie in [0, 1], got {teacher_forcing}; set task.teacher_forcing=1")
    if beam_width < 1:
        raise ValueError(f"task.beam_width must be at least 1, got {beam_width}; set task.beam_width=1")
    if length_penalty < 0:
        raise ValueError(f"task.length_penalty must be at least 0, got {length_penalty}; set task.length_penalty=0.6")
