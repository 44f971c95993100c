"""Where a result comes from."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import runner
from runner.results import provenance
from runner.results.provenance import code, environment, is_switch, modules, switches


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a user's module ``own_model_of_a_test``, which is loaded."""
    file = tmp_path / "own_model_of_a_test.py"
    file.write_text("width = 8\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.import_module(file.stem)
    yield file
    del sys.modules[file.stem]


def test_versions_of_what_changes_the_bits_are_named() -> None:
    found = environment()
    assert {"python", "platform", "cpu", "cpus", "versions", "switches"} <= set(found)
    assert {"runner", "torch", "numpy", "hydra-core"} <= set(found["versions"])
    assert found["cpu"]


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package-at-all"))
    assert set(environment()["versions"]) == {"torch"}


def test_torch_tells_what_it_makes_of_the_machine() -> None:
    found = environment("cpu")
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert found["cuda"] == torch.version.cuda
    assert not {"gpu", "cudnn", "driver"} & set(found)  # a run on the CPU asks for no GPU


def test_torch_is_not_loaded_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert not {"cpu_capability", "cuda"} & set(environment())
    assert "torch" not in sys.modules


@pytest.mark.gpu
def test_a_run_on_a_gpu_names_it() -> None:
    found = environment("cuda:0")
    assert found["gpu"] == torch.cuda.get_device_name(0)
    assert found["cudnn"] > 0
    assert found["driver"].count(".") >= 1


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build", "560.35.03"),
        ("570.86\n570.86\n", "570.86"),
    ],
)
def test_the_driver_is_found_in_what_tells_it(text: str, version: str) -> None:
    found = provenance.DRIVER_VERSION.search(text)
    assert found is not None
    assert found.group() == version


def test_the_switches_that_are_set_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    found = environment()["switches"]
    assert found["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "MKL_CBWR" not in found


@pytest.mark.parametrize(
    "name",
    [
        *("OMP_NUM_THREADS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG"),
        *("TORCHINDUCTOR_FREEZING", "PYTORCH_CUDA_ALLOC_CONF", "PYTHONHASHSEED", "ONEDNN_DEFAULT_FPMATH_MODE"),
    ],
)
def test_switches_of_arithmetic_count(name: str) -> None:
    assert is_switch(name)


@pytest.mark.parametrize(
    "name",
    ["HOME", "PATH", "AWS_SECRET_ACCESS_KEY", "PYTORCH_TOKEN", "TORCHINDUCTOR_REDIS_URL", "TORCHINDUCTOR_CACHE_DIR"],
)
def test_no_secret_and_no_folder_is_a_switch(name: str) -> None:
    assert not is_switch(name)
    assert switches({name: "hidden", "OMP_NUM_THREADS": "1"}) == {"OMP_NUM_THREADS": "1"}


def test_a_users_module_counts_wherever_it_lies(own_model: Path) -> None:
    assert modules()[own_model.stem] == sha256(own_model)


def test_an_edit_counts_when_it_is_loaded_and_not_before(own_model: Path) -> None:
    before = modules()[own_model.stem]
    own_model.write_text("width = 9  # edited while a run trains\n")
    assert modules()[own_model.stem] == before
    del sys.modules[own_model.stem]
    importlib.invalidate_caches()
    importlib.import_module(own_model.stem)
    assert modules()[own_model.stem] == sha256(own_model) != before


def test_our_modules_count_and_what_is_installed_does_not() -> None:
    found = modules()
    assert found["runner"] == sha256(Path(str(runner.__file__)))
    assert found["runner.results.provenance"] == sha256(Path(provenance.__file__))
    assert not {"torch", "pytest", "json", "os", "__main__"} & set(found)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(("name", "counts"), [("runner.models.own", True), ("theirs", False)])
def test_this_package_counts_even_when_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: bool
) -> None:
    file = tmp_path / "site-packages" / "own.py"
    file.parent.mkdir()
    file.touch()
    module = ModuleType(name)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, module)
    assert (name in modules()) == counts


def test_what_is_no_ordinary_module_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    removed = ModuleType("removed")
    removed.__file__ = str(tmp_path / "removed.py")
    for name, entry in {"lazy": Lazy("lazy"), "removed": removed, "odd": object(), "none": None}.items():
        monkeypatch.setitem(sys.modules, name, entry)
    assert not {"lazy", "removed", "odd", "none"} & set(modules())


def test_code_is_git_and_modules(tmp_path: Path, own_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = code(tmp_path)
    assert {"git", "modules", "modules_sha256"} <= set(first)
    assert own_model.stem in first["modules"]
    del sys.modules[own_model.stem]
    own_model.write_text("width = 9\n")
    importlib.invalidate_caches()
    importlib.import_module(own_model.stem)
    assert code(tmp_path)["modules_sha256"] != first["modules_sha256"]
