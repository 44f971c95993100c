"""Settings that all tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its threads: ten times faster on tiny tensors

import pytest
import torch


@pytest.fixture(autouse=True)
def untouched_torch() -> Iterator[None]:
    """Each test starts from the same random state and leaves torch's switches as it found them."""
    torch.manual_seed(0)
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    assert torch.are_deterministic_algorithms_enabled() == deterministic, "a test left deterministic mode changed"


@pytest.fixture(scope="module")
def shipped() -> Iterator[None]:
    """Inside, Hydra composes what is shipped in ``conf``."""
    from hydra import initialize_config_dir

    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


@pytest.fixture
def real_data() -> Path:
    """The folder with real MNIST that ``RUNNER_TEST_DATA`` names; the test is skipped where there is none."""
    folder = os.environ.get("RUNNER_TEST_DATA")
    if not folder:
        pytest.skip("RUNNER_TEST_DATA is not set: it names the folder that holds MNIST/raw")
    return Path(folder)


def pytest_collection_finish() -> None:
    gc.freeze()  # modules are no garbage: composing drops so many objects that visiting them takes a part of its time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, "mnist" not in item.name))  # longest first
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
