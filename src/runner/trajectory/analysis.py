"""What the paths of weights look like: distances, directions, principal components, subspaces.

All of it follows from the inner products of the moves from one snapshot to the next, which are few; the weights, which
are many, are passed over once, in blocks. Differences of inner products of the snapshots themselves would not do:
what a slow layer moves in a step is lost in them beside where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

BLOCK_BYTES = 2**26  # of weights in float64 at once


@dataclass(frozen=True)
class Geometry:
    """Of M snapshots, run after run: ``moves`` (M, M), inner products of the moves that lead to them; ``norms`` (M,).

    A run's first snapshot is reached from the first run's first one, any other from the one before it. ``lengths`` are
    the snapshots of each run.
    """

    moves: Tensor
    norms: Tensor
    lengths: Sequence[int]

    @classmethod
    def of(cls, matrices: Sequence[Tensor], *, rows: Sequence[Sequence[int]] | None = None) -> Geometry:
        """From the weights (steps, W) of each run, or those of its ``rows``.

        Computes in float64, and loads a block of columns at a time.
        """
        rows = rows or [range(len(matrix)) for matrix in matrices]
        lengths = [len(kept) for kept in rows]
        count, width = sum(lengths), matrices[0].shape[1]
        moves, squares = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        for place in _blocks(width, rows=count):
            runs = [matrix[:, place][list(kept)].double() for matrix, kept in zip(matrices, rows, strict=True)]
            squares += torch.cat([run.square().sum(dim=1) for run in runs])
            block = torch.cat([run.diff(dim=0, prepend=runs[0][:1]) for run in runs])
            moves += block @ block.T
        return cls(moves, squares.sqrt(), lengths)

    def __add__(self, other: Geometry) -> Geometry:
        """That of both sets of weights together: the same snapshots of other layers."""
        return Geometry(self.moves + other.moves, (self.norms.square() + other.norms.square()).sqrt(), self.lengths)

    @property
    def gram(self) -> Tensor:
        """(M, M): inner products of the displacements from the first snapshot."""
        rows = torch.cat([part.cumsum(dim=0) for part in torch.split(self.moves, list(self.lengths), dim=0)])
        return torch.cat([part.cumsum(dim=1) for part in torch.split(rows, list(self.lengths), dim=1)], dim=1)

    def among(self, rows: slice) -> Geometry:
        """Of some snapshots of one run, which follow each other, alone."""
        part = Geometry(self.moves[rows, rows], self.norms[rows], [rows.stop - rows.start])
        return part.from_starts()

    def from_starts(self) -> Geometry:
        """Each snapshot as the displacement from its own run's first one."""
        follows = torch.ones(len(self.moves), dtype=torch.float64)
        follows[[0, *accumulate(self.lengths[:-1])]] = 0.0
        return Geometry(self.moves * follows[:, None] * follows, self.norms, self.lengths)

    def squared_distances(self) -> Tensor:
        """(M, M) between all pairs."""
        gram = self.gram
        squares = gram.diagonal()
        return (squares[:, None] + squares[None, :] - 2 * gram).clamp(min=0.0)

    def step_lengths(self) -> Tensor:
        """(M - 1,): of one run, Euclidean lengths of the steps from each snapshot to the next."""
        return self.moves.diagonal()[1:].sqrt()

    def cosines(self) -> Tensor:
        """(M - 2,): of one run, between each step and the next one; nan where one of them has no length."""
        lengths = self.step_lengths()
        return self.moves.diagonal(1)[1:] / (lengths[:-1] * lengths[1:])


@dataclass(frozen=True)
class Components:
    """``coordinates`` (M, k) of the snapshots, and the ``shares`` (k,) of the variance that each component has."""

    coordinates: Tensor
    shares: Tensor


def pca(geometry: Geometry, *, components: int = 2) -> Components:
    """Principal components of the snapshots, from their inner products instead of the covariance of the weights.

    Scores are those of the usual PCA (Turk and Pentland, "Eigenfaces for recognition", 1991, for this way round); the
    largest value of each component is positive.
    """
    return _leading(_centred(geometry.gram), components)


def kernel_pca(geometry: Geometry, *, components: int = 2, gamma: float | None = None) -> Components:
    """Principal components under the kernel exp(-gamma d²) (Schölkopf, Smola and Müller, 1998).

    ``gamma`` is one over the median squared distance of two snapshots where none is given.
    """
    squares = geometry.squared_distances()
    if gamma is None:
        apart = squares[squares > 0]
        gamma = 1.0 / float(apart.median()) if len(apart) else 1.0
    return _leading(_centred(torch.exp(-gamma * squares)), components)


def principal_cosines(geometry: Geometry, one: slice, other: slice, *, dimensions: int) -> Tensor:
    """(k,): of one run, cosines of the principal angles between two windows' leading subspaces, largest first.

    ``k`` is ``dimensions``, or less where a window spans less (Björck and Golub, 1973).
    """
    left, right = _basis(geometry, one, dimensions), _basis(geometry, other, dimensions)
    count = min(left.shape[1], right.shape[1])
    cosines: Tensor = torch.linalg.svdvals(left.T @ geometry.moves @ right)
    return cosines[:count].clamp(0.0, 1.0)


def subspace_distance(cosines: Tensor) -> float:
    """From 0, where the subspaces are one, to 1, where they are orthogonal: the root of the mean of sin²."""
    return float((1.0 - cosines.square()).mean().sqrt()) if len(cosines) else float("nan")


def windows(count: int, *, parts: int) -> list[slice]:
    """``count`` snapshots cut into at most ``parts`` stretches of at least three."""
    parts = max(1, min(parts, count // 3))
    edges = [round(part * count / parts) for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


def _basis(geometry: Geometry, rows: slice, dimensions: int) -> Tensor:
    """(M, k): combinations of moves that are orthonormal directions of the window's leading subspace."""
    values, vectors = torch.linalg.eigh(_centred(geometry.among(rows).gram))
    values, vectors = values.flip(0)[:dimensions], vectors.flip(1)[:, :dimensions]
    kept = values > values[0].clamp(min=0.0) * 1e-12
    of_snapshots = vectors[:, kept] / values[kept].sqrt()
    of_snapshots -= of_snapshots.mean(dim=0)
    basis = torch.zeros(len(geometry.moves), of_snapshots.shape[1], dtype=torch.float64)
    basis[rows] = of_snapshots.flip(0).cumsum(0).flip(0)  # a snapshot is the sum of the moves up to it
    basis[rows.start] = 0.0  # of all of them: the mean of the window is its origin
    return basis


def _centred(gram: Tensor) -> Tensor:
    return gram - gram.mean(dim=0, keepdim=True) - gram.mean(dim=1, keepdim=True) + gram.mean()


def _leading(gram: Tensor, components: int) -> Components:
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp(min=0.0), vectors.flip(1)[:, :components]
    largest = vectors.abs().argmax(dim=0)
    signs = vectors[largest, torch.arange(vectors.shape[1])].sign()
    coordinates = vectors * signs * values[:components].sqrt()
    return Components(coordinates, values[:components] / values.sum().clamp(min=torch.finfo(torch.float64).tiny))


def _blocks(width: int, *, rows: int) -> Iterator[slice]:
    size = max(1, BLOCK_BYTES // (8 * rows))
    return (slice(start, min(start + size, width)) for start in range(0, width, size))
