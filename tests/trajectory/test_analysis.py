"""Paths of weights against what libraries and geometry say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA, KernelPCA
from torch import Tensor

from runner.trajectory import analysis
from runner.trajectory.analysis import Geometry

STEPS, WEIGHTS = 30, 400


def path(seed: int = 0) -> Tensor:
    """A random walk that slows down."""
    draws = torch.randn(STEPS, WEIGHTS, generator=torch.Generator().manual_seed(seed))
    return (draws / torch.arange(1.0, STEPS + 1)[:, None]).cumsum(0) + 5.0


def test_pca_is_that_of_scikit_learn() -> None:
    both = torch.cat([path(0), path(1)]).double().numpy()
    expected = PCA(3).fit(both)
    found = analysis.pca(Geometry.of([path(0), path(1)]), components=3)
    scores = expected.transform(both)
    np.testing.assert_allclose(found.coordinates.abs(), np.abs(scores), rtol=1e-5, atol=1e-5 * np.abs(scores).max())
    np.testing.assert_allclose(found.shares, expected.explained_variance_ratio_, rtol=1e-5)


def test_kernel_pca_is_that_of_scikit_learn() -> None:
    found = analysis.kernel_pca(Geometry.of([path()]), components=2, gamma=0.01)
    expected = KernelPCA(2, kernel="rbf", gamma=0.01).fit_transform(path().double().numpy())
    np.testing.assert_allclose(found.coordinates.abs(), np.abs(expected), rtol=1e-5, atol=1e-8)


def test_the_default_kernel_has_the_width_of_the_path() -> None:
    """Without it every snapshot of a long path would be alone."""
    for scale in (1e-3, 1e3):
        shares = analysis.kernel_pca(Geometry.of([path() * scale])).shares
        assert 0.2 < float(shares.sum()) < 1.0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Geometry.of([path()])
    monkeypatch.setattr(analysis, "BLOCK_BYTES", 8 * STEPS * 7)
    torch.testing.assert_close(Geometry.of([path()]).gram, whole.gram, rtol=1e-12, atol=1e-9)


def test_layers_add_up() -> None:
    weights = path()
    parts = Geometry.of([weights[:, :100]]) + Geometry.of([weights[:, 100:]])
    torch.testing.assert_close(parts.gram, Geometry.of([weights]).gram)
    torch.testing.assert_close(parts.norms, weights.double().norm(dim=1))


def test_lengths_cosines_and_distances_are_those_of_the_weights() -> None:
    weights = path().double()
    steps = weights.diff(dim=0)
    found = Geometry.of([path()])
    torch.testing.assert_close(found.step_lengths(), steps.norm(dim=1))
    torch.testing.assert_close(found.cosines(), torch.cosine_similarity(steps[:-1], steps[1:], dim=1))
    torch.testing.assert_close(found.squared_distances().sqrt(), torch.cdist(weights, weights), rtol=1e-6, atol=1e-4)


def test_a_straight_line_has_one_component_and_a_cosine_of_one() -> None:
    line = Geometry.of([torch.linspace(0, 1, 9)[:, None] * torch.randn(50)])
    assert analysis.pca(line).shares[0] == pytest.approx(1.0)
    torch.testing.assert_close(line.cosines(), torch.ones(7, dtype=torch.float64))


def test_small_steps_far_away_are_those_of_the_weights() -> None:
    """A second seed lies as far from the first one as the weights are long, and at the end of training hardly moves."""
    still = 30.0 * torch.randn(WEIGHTS, generator=torch.Generator().manual_seed(7)) + 1e-3 * path(1)
    steps = still.double().diff(dim=0)
    found = Geometry.of([path(0), still]).among(slice(STEPS, 2 * STEPS))
    torch.testing.assert_close(found.step_lengths(), steps.norm(dim=1), rtol=1e-9, atol=0.0)
    expected = torch.cosine_similarity(steps[:-1], steps[1:], dim=1)
    torch.testing.assert_close(found.cosines(), expected, rtol=0.0, atol=1e-9)


def test_a_window_has_its_own_directions_however_far_it_has_come() -> None:
    """Three snapshots span a plane: a third direction would be noise, and none of the window's."""
    far = torch.cat([path(), 1e5 + 1e-2 * path(1)])
    found = Geometry.of([far])
    for window in (slice(STEPS, STEPS + 3), slice(STEPS + 3, STEPS + 6)):
        cosines = analysis.principal_cosines(found, window, window, dimensions=3)
        torch.testing.assert_close(cosines, torch.ones(2, dtype=torch.float64))


def test_what_stands_still_moves_by_nothing_at_all() -> None:
    still = [path(seed)[:1].expand(6, -1) for seed in (0, 1)]
    found = Geometry.of(still)
    alone = found.among(slice(6, 12))
    assert not alone.gram.any()
    assert alone.cosines().isnan().all()
    assert not analysis.pca(found.from_starts()).shares.any()
    assert math.isnan(
        analysis.subspace_distance(analysis.principal_cosines(alone, slice(0, 3), slice(3, 6), dimensions=3))
    )


def test_two_that_are_the_same_have_no_distance() -> None:
    apart = Geometry.of([path(), path()]).squared_distances()
    assert not apart[:STEPS, STEPS:].diagonal().any()


def in_plane(first: int, second: int, count: int = 6) -> Tensor:
    """A path in the plane of two axes."""
    weights = torch.zeros(count, 8)
    weights[:, first] = torch.arange(count).float()
    weights[:, second] = torch.arange(count).float().square()
    return weights


def test_principal_angles_are_those_of_known_planes() -> None:
    parts = [in_plane(0, 1), in_plane(0, 1) + 3.0, in_plane(0, 2), in_plane(4, 5)]
    found = Geometry.of([torch.cat(parts)])
    rows = [slice(start, start + 6) for start in range(0, 24, 6)]
    cosines = [analysis.principal_cosines(found, rows[0], other, dimensions=2) for other in rows]
    expected = [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(torch.stack(cosines), expected, atol=1e-6)
    distances = [analysis.subspace_distance(each) for each in cosines]
    np.testing.assert_allclose(distances, [0.0, 0.0, math.sqrt(0.5), 1.0], atol=1e-5)


def test_windows_cover_all_and_hold_three_at_least() -> None:
    assert analysis.windows(20, parts=3) == [slice(0, 7), slice(7, 13), slice(13, 20)]
    assert analysis.windows(7, parts=5) == [slice(0, 4), slice(4, 7)]
    assert analysis.windows(2, parts=5) == [slice(0, 2)]
