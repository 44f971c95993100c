"""Which errors are the configuration's, and which say only that something cannot be tried here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from runner.preflight import Findings, Job, causes, check
from runner.preflight.causes import DependsOnContent, TooLarge, for_any, lacks_content, limited, obstacle

MODELS = "preflight.untraceable"
MINE = {"model.hidden": ..., "model.dropout": ...}
NO_DRIVER = RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU")
NO_KERNEL = NotImplementedError("Could not run 'mine::op' with arguments from the 'CPU' backend. This could be")
NO_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def raised(work: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        work()
    assert isinstance(caught.value, Exception)
    return caught.value


META = torch.zeros(2, 3, device="meta")
OF_TORCH: dict[str, Callable[[], object]] = {
    "item": META.sum().item,
    "bool": lambda: bool(META.sum() > 0),
    "numpy": META.numpy,
    "nonzero": META.nonzero,
    "mask": lambda: META[META > 0],
    "unique": lambda: torch.unique(META),
    "list": META.tolist,
    "two devices": lambda: nn.Linear(3, 3)(META),
}


SLOW = ("bool", "nonzero", "mask", "unique", "two devices")  # their meta kernels import torch's compiler


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in OF_TORCH]
)
def test_what_lacks_content_on_meta_tensors_is_told_by_the_cpu(name: str) -> None:
    assert lacks_content(raised(OF_TORCH[name]))


@pytest.mark.parametrize(
    "work",
    [
        lambda: nn.Linear(4, 3, device="meta")(META),
        lambda: nn.Linear(3, 3, bais=True),  # type: ignore[call-arg]
        lambda: META.view(7, 1),
        lambda: META.shapes,  # type: ignore[attr-defined]
        lambda: dict[str, int]()["metadata"],
    ],
    ids=["shapes", "arguments", "view", "attribute", "key"],
)
def test_mistakes_are_seen_on_meta_tensors_and_no_obstacles(work: Callable[[], object]) -> None:
    error = raised(work)
    assert not lacks_content(error)
    assert obstacle(error, runs_on_cpu=False) == ""


@pytest.mark.parametrize("error", [NO_DRIVER, NO_KERNEL, AssertionError("Torch not compiled with CUDA enabled")])
def test_a_missing_gpu_is_an_obstacle_unless_the_run_has_none_either(error: Exception) -> None:
    assert lacks_content(error)
    assert obstacle(error, runs_on_cpu=True) == ""
    told = obstacle(error, runs_on_cpu=False)
    assert told.startswith("it cannot be tried without a GPU (")
    assert len(told) < 140


@pytest.mark.parametrize("error", [NO_MEMORY, MemoryError()])
@pytest.mark.parametrize("runs_on_cpu", [True, False])
def test_missing_memory_is_an_obstacle(error: Exception, runs_on_cpu: bool) -> None:
    assert obstacle(error, runs_on_cpu=runs_on_cpu).startswith("there is not the memory to try it on the CPU")


def test_a_missing_forward_is_a_mistake() -> None:
    error = raised(lambda: nn.Module()(META))
    assert obstacle(error, runs_on_cpu=False) == ""


class TestContents:
    def test_the_first_that_works_is_taken(self) -> None:
        assert for_any(lambda number: 6 / number, [3, 2]) == 2

    def test_one_that_works_after_another_is_told(self) -> None:
        with pytest.raises(DependsOnContent, match=r"depends on the samples \(ZeroDivisionError: division by zero\)"):
            for_any(lambda number: 6 / number, [0, 2])

    def test_none_that_works_is_told_by_the_first(self) -> None:
        def fail(text: str) -> None:
            raise KeyError(text)

        with pytest.raises(KeyError, match="first"):
            for_any(fail, ["first", "second"])


def test_too_many_weights_are_noticed_before_they_are_made() -> None:
    with limited(1000), pytest.raises(TooLarge, match="GiB of weights"):
        nn.Linear(1 << 20, 1 << 20, bias=False, device="meta")
    with limited(1000):
        nn.Linear(10, 10)
    nn.Linear(100, 100)  # the limit ends with the context


@pytest.fixture
def findings(changed: Callable[[dict[str, Any]], DictConfig], tmp_path: Path) -> Callable[..., Findings]:
    """Of a run with a model of ``preflight.untraceable``."""

    def find(model: str, *, elsewhere: bool = False, **values: Any) -> Findings:
        cfg = changed({"model._target_": f"{MODELS}.{model}", **MINE, **values})
        return check([Job("job", cfg, tmp_path / "run")], elsewhere=elsewhere)

    return find


@pytest.mark.parametrize("model", ["Branches", "Selects", "Counts"])
def test_what_works_on_the_first_samples_is_checked(findings: Callable[..., Findings], model: str) -> None:
    found = findings(model)
    assert (found.lines(), list(found.notes())) == ([], [])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("FailsForZeros", ""),
        ("WantsDarkness", "whether it works depends on the samples (ValueError: the images are too bright)"),
    ],
)
def test_what_fails_for_some_samples_only_is_not_checked(
    findings: Callable[..., Findings], model: str, told: str
) -> None:
    found = findings(model)
    assert found.lines() == []
    assert list(found.notes()) == ([f"not checked: job: model: {told}"] if told else [])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("BranchesThenMisfits", "[2, 64] X [7, 10]"),
        ("BranchesThenMistypes", "TypeError"),
        ("NoForward", 'missing the required "forward" function'),
    ],
)
def test_a_mistake_behind_what_cannot_be_traced_is_a_mistake(
    findings: Callable[..., Findings], model: str, told: str
) -> None:
    found = findings(model)
    (line,) = found.lines()
    assert told in line.replace("(2x64 and 7x10)", "[2, 64] X [7, 10]")
    assert list(found.notes()) == []


def test_a_kernel_for_gpus_is_not_checked_where_the_jobs_run_elsewhere(findings: Callable[..., Findings]) -> None:
    found = findings("OnGpuOnly", elsewhere=True)
    assert found.lines() == []
    (note,) = found.notes()
    assert note.startswith("not checked: job: model: it cannot be tried without a GPU (NotImplementedError: ")
    (line,) = findings("OnGpuOnly", **{"trainer.device": "cpu"}).lines()
    assert "Could not run" in line


def test_a_model_too_large_for_the_cpu_is_not_checked_but_for_the_rest(
    findings: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "CPU_LIMIT_BYTES", 100)
    found = findings("Branches", **{"optimizer.groups": {"foo.*": {"lr": 1}}})
    assert ["optimizer.groups['foo.*'] matches no parameter" in line for line in found.lines()] == [True]
    (note,) = found.notes()
    assert "GiB of weights, too many to try on the CPU" in note


def test_the_random_state_is_left_alone(findings: Callable[..., Findings]) -> None:
    before = torch.get_rng_state()
    findings("Branches")
    assert torch.equal(torch.get_rng_state(), before)


def test_other_devices_are_no_problem_elsewhere(findings: Callable[..., Findings]) -> None:
    assert findings("Branches", elsewhere=True, **{"trainer.device": "cuda:7"}).lines() == []
    assert len(findings("Branches", **{"trainer.device": "cuda:7"}).lines()) == 1
