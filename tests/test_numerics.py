"""Process-wide settings hold inside, and those from before hold after."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from runner.numerics import KEPT_BYTES, has_amx, keep_freed_memory, numerics, resolve_device

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


@pytest.mark.parametrize("tf32", [True, False])
def test_switches_of_a_gpu_act_and_are_taken_back(tf32: bool) -> None:
    """They can be set without one."""

    def switches() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark

    outside = switches()
    with numerics(torch.device("cuda"), tf32=tf32):
        assert switches() == ("high" if tf32 else "highest", tf32, True)
    assert switches() == outside


def test_kernels_are_not_tried_out_where_results_must_repeat() -> None:
    with numerics(torch.device("cuda"), deterministic=True):
        assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("text", "amx"),
    [("flags\t: fpu amx_bf16 avx\n", True), ("flags\t: fpu amx_tile\n", False), ("Features : asimd bf16\n", False)],
)
def test_amx_is_read_from_what_the_system_tells(text: str, amx: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}")
    assert has_amx(tmp_path / "cpuinfo") == amx
    assert not has_amx(tmp_path / "absent")


FAULTS = """
import resource, sys
import torch
from runner.numerics import numerics

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24).sum()  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with numerics(torch.device(sys.argv[1])):
    print(min(faults() for _ in range(10)))  # small blocks may take a place in between
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/lib64/ld-linux-x86-64.so.2").exists(), reason="needs glibc")
def test_memory_that_a_step_frees_is_there_for_the_next_one() -> None:
    def counted(device: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, device], capture_output=True, text=True, check=True)
        return int(done.stdout)

    pages = 2**26 // resource.getpagesize()
    assert counted("cpu") < pages // 100
    assert counted("cuda") > pages // 1024  # where the host's memory does not matter: huge pages may make them few


def test_other_systems_and_a_users_own_settings_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def mallopt(_: int, value: int) -> int:
        told.append(value)
        return 1

    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    assert keep_freed_memory()
    assert told == [KEPT_BYTES, KEPT_BYTES]
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace())  # musl
    assert not keep_freed_memory()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    monkeypatch.setattr("ctypes.CDLL", None)
    assert not keep_freed_memory()
    monkeypatch.delenv("GLIBC_TUNABLES")
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()


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
