"""A start that cannot be made is told before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from runner.models import MLP
from runner.preflight.settings import settings_problems
from runner.tasks import Classification

if TYPE_CHECKING:
    from preflight.conftest import Changed, Found


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of the model of the small configuration, but for seven classes; from another program."""
    model = MLP(hidden=[4], in_channels=1, image_size=(8, 8), num_classes=7)
    state = Classification(model, nn.CrossEntropyLoss()).state_dict()
    file = tmp_path / "weights.pt"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)
    return file


def head(file: Path) -> str:
    """The name of the last layer."""
    *_, name = torch.load(file, weights_only=True)
    return str(name).removeprefix("module.").rpartition(".")[0]


@pytest.mark.slow
def test_a_start_that_can_be_made_is_no_problem(found: Found, weights: Path) -> None:
    pattern = f"-{head(weights)}.*"
    assert found({"init_from": str(weights), "init_prefix": "module.", "init_pattern": pattern}) == []


@pytest.mark.slow
def test_what_does_not_fit_is_told_once_with_a_remedy(found: Found, weights: Path) -> None:
    values = {"init_from": str(weights)}
    (line,) = found(values)
    assert line.startswith(f"init_from={weights}: ")
    assert line.endswith("every name begins with 'module.': set init_prefix=module.")
    (line,) = found({**values, "init_prefix": "module."})
    assert "(7, 4) instead of (10, 4)" in line
    assert line.endswith(f"set init_pattern=-{head(weights)}.* to let the others start at random")
    (line,) = found({**values, "init_prefix": "modle."})
    assert line == f"init_prefix=modle.: begins no name in {weights}; did you mean module.?"
    (line,) = found({**values, "init_prefix": "module.", "init_pattern": "fc.*"})
    assert line.startswith("init_pattern=fc.*: matches no weight of the model")


def test_a_file_that_was_replaced_is_read_again(found: Found, weights: Path) -> None:
    assert "init_prefix" in found({"init_from": str(weights)})[0]
    torch.save([1], weights)
    assert found({"init_from": str(weights)}) == [
        f"init_from={weights}: holds no weights, but a list; give a file of a state_dict"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"init_prefix": "module."}, "init_prefix=module.: is about a file of weights, but none is given; set init_"),
        ({"init_pattern": "*"}, "init_pattern=*: is about a file of weights, but none is given; set init_from=<file>"),
        ({"init_from": "nowhere/x.pt"}, "init_from=nowhere/x.pt: there is no such file or folder; give a file of"),
        ({"init_from": "???"}, "init_from=???: has no value"),
    ],
)
def test_reading_the_settings_is_enough(changed: Changed, values: dict[str, Any], message: str) -> None:
    (problem,) = settings_problems(changed(values))
    assert problem.line().startswith(message)


def test_nothing_is_said_where_nothing_is_asked(changed: Changed) -> None:
    assert settings_problems(changed({})) == []
