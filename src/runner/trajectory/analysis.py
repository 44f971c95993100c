"""What the paths of weights look like: distances, directions, principal components, subspaces.

All of it follows from the inner products of the snapshots' displacements from the first one, which are few; the
weights, which are many, are passed over once, in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

BLOCK_BYTES = 2**26  # of weights in float64 at once


@dataclass(frozen=True)
class Geometry:
    """Of M snapshots, run after run: ``gram`` (M, M) of displacements from the first one, and ``norms`` (M,)."""

    gram: Tensor
    norms: Tensor

    @classmethod
    def of(cls, matrices: Sequence[Tensor]) -> Geometry:
        """From the weights (steps, W) of each run. Computes in float64, and loads a block of columns at a time."""
        count, width = sum(len(matrix) for matrix in matrices), matrices[0].shape[1]
        gram, squares = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        for place in _blocks(width, rows=count):
            block = torch.cat([matrix[:, place] for matrix in matrices]).double()
            squares += block.square().sum(dim=1)
            block -= block[0].clone()
            gram += block @ block.T
        return cls(gram, squares.sqrt())

    def __add__(self, other: Geometry) -> Geometry:
        """That of both sets of weights together: the same snapshots of other layers."""
        return Geometry(self.gram + other.gram, (self.norms.square() + other.norms.square()).sqrt())

    def among(self, rows: slice) -> Geometry:
        """Of some of the snapshots alone."""
        return Geometry(self.gram[rows, rows], self.norms[rows])

    def from_starts(self, starts: Sequence[int]) -> Geometry:
        """Each snapshot as the displacement from the last one of the rows ``starts`` before it: its own run's first."""
        count = len(self.gram)
        change = torch.eye(count, dtype=torch.float64)
        for row in range(count):
            change[row, max(start for start in starts if start <= row)] -= 1.0
        return Geometry(change @ self.gram @ change.T, self.norms)

    def squared_distances(self) -> Tensor:
        """(M, M) between all pairs."""
        squares = self.gram.diagonal()
        return (squares[:, None] + squares[None, :] - 2 * self.gram).clamp(min=0.0)

    def steps(self) -> Tensor:
        """(M - 1, M - 1): inner products of the steps from each snapshot to the next."""
        left = self.gram[1:] - self.gram[:-1]
        return left[:, 1:] - left[:, :-1]

    def step_lengths(self) -> Tensor:
        """(M - 1,): Euclidean lengths of the steps from each snapshot to the next."""
        return self.steps().diagonal().clamp(min=0.0).sqrt()

    def cosines(self) -> Tensor:
        """(M - 2,): between each step and the next one; nan where one of them has no length."""
        lengths = self.step_lengths()
        return self.steps().diagonal(1) / (lengths[:-1] * lengths[1:])


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
    """(k,): cosines of the principal angles between the leading subspaces of two windows of snapshots, largest first.

    ``k`` is ``dimensions``, or less where a window spans less (Björck and Golub, 1973).
    """
    left, right = _basis(geometry, one, dimensions), _basis(geometry, other, dimensions)
    count = min(left.shape[1], right.shape[1])
    cosines: Tensor = torch.linalg.svdvals(left.T @ geometry.gram @ right)
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
    """(M, k): combinations of snapshots that are orthonormal directions of the window's leading subspace."""
    count = rows.stop - rows.start
    centring = torch.eye(count, dtype=torch.float64) - 1.0 / count
    values, vectors = torch.linalg.eigh(centring @ geometry.gram[rows, rows] @ centring)
    values, vectors = values.flip(0)[:dimensions], vectors.flip(1)[:, :dimensions]
    kept = values > values[0] * 1e-12
    basis = torch.zeros(len(geometry.gram), int(kept.sum()), dtype=torch.float64)
    basis[rows] = centring @ vectors[:, kept] / values[kept].sqrt()
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
