"""What decoded sequences of token ids (B, T) are worth beside their targets (B, T), both padded after their ends."""

from __future__ import annotations

import torch
from torch import Tensor

from runner.data.vocabulary import EOS, PAD
from runner.metrics.sample_mean import SampleMean


def token_accuracy() -> SampleMean:
    """The fraction of the target's tokens, its end among them, that stand at their place in what was decoded."""

    def values(decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        _require_tokens(decoded, target)
        return decoded == target, target != PAD

    return SampleMean(values)


def exact_match() -> SampleMean:
    """The fraction of sequences that are decoded without a fault."""

    def values(decoded: Tensor, target: Tensor) -> tuple[Tensor, None]:
        _require_tokens(decoded, target)
        return (decoded == target).all(1), None

    return SampleMean(values)


def bleu(*, n_gram: int = 4) -> SampleMean:
    """BLEU of the whole part, in [0, 1], over token ids without their end.

    Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (2002), with one reference,
    n-grams up to ``n_gram`` at equal weights, and no smoothing: 0 where no n-gram of some order is right.
    Raises ``ValueError`` for an ``n_gram`` below 1.
    """
    if n_gram < 1:
        raise ValueError(f"metrics.bleu.n_gram must be at least 1, got {n_gram}; set metrics.bleu.n_gram=4")

    def values(decoded: Tensor, target: Tensor) -> tuple[Tensor, None]:
        _require_tokens(decoded, target)
        columns = [count for n in range(1, n_gram + 1) for count in _matches(decoded, target, n)]
        return torch.stack([*columns, _words(decoded).sum(1), _words(target).sum(1)], 1), None

    def finish(means: Tensor) -> Tensor:
        """All counts were divided by the same number, which their ratios do not see."""
        right, all_of_them = means[:-2:2], means[1:-2:2]
        precisions = right / all_of_them.clamp(min=torch.finfo(means.dtype).tiny)
        decoded, target = means[-2], means[-1].clamp(min=torch.finfo(means.dtype).tiny)
        brevity = torch.where(decoded > 0, (1 - target / decoded).clamp(max=0).exp(), 0.0)
        return brevity * precisions.log().mean().exp()

    return SampleMean(values, finish=finish, columns=2 * n_gram + 2)


def _words(ids: Tensor) -> Tensor:
    """Whether a place holds a token that is neither the end nor padding."""
    return (ids != PAD) & (ids != EOS)


def _matches(decoded: Tensor, target: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(B,) n-grams of ``decoded`` that stand in ``target``, each at most as often as there, and (B,) all of them.

    Compares each n-gram with each, (B, T, T) values: nothing has to be looked at on the host.
    """
    (grams, real), (others, real_others) = _n_grams(decoded, n), _n_grams(target, n)
    same = (grams[:, :, None] == grams[:, None]).all(3) & real[:, None]
    before = same.tril(-1).sum(2)  # how often the n-gram has come already
    there = ((grams[:, :, None] == others[:, None]).all(3) & real_others[:, None]).sum(2)
    return ((before < there) & real).sum(1), real.sum(1)


def _n_grams(ids: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(B, T, n) ids from each place on, and (B, T) whether all of them are words."""
    padded = torch.nn.functional.pad(ids, (0, n - 1), value=PAD)
    grams = padded.unfold(1, n, 1)
    return grams, _words(grams).all(2)


def _require_tokens(decoded: Tensor, target: Tensor) -> None:
    if decoded.shape != target.shape or decoded.ndim != 2 or decoded.is_floating_point():
        raise ValueError(
            f"sequences of token ids (B, T) are compared, got {decoded.dtype} {tuple(decoded.shape)} and "
            f"{tuple(target.shape)}; it is for task=seq2seq"
        )
