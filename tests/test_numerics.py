"""Process-wide settings hold inside, and those from before hold after."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from runner.numerics import numerics, resolve_device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_threads_act_and_are_taken_back() -> None:
    outside = torch.get_num_threads()
    with numerics(CPU, threads=outside + 1):
        assert torch.get_num_threads() == outside + 1
    assert torch.get_num_threads() == outside
    with numerics(CPU):
        assert torch.get_num_threads() == outside


def test_deterministic_acts_and_is_taken_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    inside: list[tuple[bool, bool]] = []

    def fail() -> None:
        with numerics(CPU, deterministic=True, threads=torch.get_num_threads() + 1):
            inside.append((torch.are_deterministic_algorithms_enabled(), "CUBLAS_WORKSPACE_CONFIG" in os.environ))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [(True, True)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_what_is_not_asked_for_on_the_cpu_is_left_alone() -> None:
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with numerics(CPU, tf32=not cudnn):
        assert torch.get_float32_matmul_precision() == matmul
        assert torch.backends.cudnn.allow_tf32 == cudnn


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_names_of_devices(name: str) -> None:
    assert resolve_device(name).type == ("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:", "tpu", "cuda:-1", "", "xla"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"must be auto, cpu, cuda, cuda:<n> or mps, got"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"this machine has {count} CUDA devices"):
        resolve_device(f"cuda:{count}")
