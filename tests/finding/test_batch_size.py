"""The search for the largest batch size."""

from __future__ import annotations

import pytest

from runner.finding.batch_size import largest


@pytest.mark.parametrize("start", [1, 4, 8, 12, 64, 100, 5000])
@pytest.mark.parametrize("most", [0, 1, 3, 7, 8, 9, 63, 64, 65, 100, 1000, 1437])
def test_the_largest_multiple_is_found_with_few_tries(start: int, most: int) -> None:
    tried: list[int] = []

    def fits(batch_size: int) -> bool:
        tried.append(batch_size)
        return batch_size <= most

    found = largest(fits, start=start, limit=1437)
    best = most if most < 8 or most == 1437 else most - most % 8
    doubled = {start * 2**doublings for doublings in range(12)}
    assert found == max([best, *(size for size in doubled if size <= most)])  # start and its doubles count, too
    assert len(set(tried)) == len(tried) <= 24
    assert all(1 <= batch_size <= 1437 for batch_size in tried)
