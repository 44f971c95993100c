"""The layer table: numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from runner.batch import Batch
from runner.results.summary import layer_table
from runner.tasks.task import Task


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 10)
        self.scale = torch.ones(1)  # neither a parameter nor a buffer

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape[0], 8, 1, 1)
        features = nn.functional.dropout(self.features(images) + noise, training=True)
        scores: Tensor = self.head(features.mean((2, 3))) * self.scale
        return scores


def cells(table: str) -> dict[str, list[str]]:
    """The cells of each row after the name, split at two spaces or more."""
    rows = (tuple(filter(None, (cell.strip() for cell in line.split("  ")))) for line in table.splitlines())
    return {row[0]: list(row[1:]) for row in rows if len(row) > 1}


def test_a_small_network_by_hand() -> None:
    model = Small()
    model.head.bias.requires_grad_(False)
    table = layer_table(model, torch.rand(2, 3, 4, 4))
    rows = cells(table)
    conv = 2 * (2 * 8 * 4 * 4) * (3 * 3 * 3)  # a multiply-add is two
    linear = 2 * 2 * 10 * 8
    assert rows["features.0"] == ["Conv2d", "(2, 8, 4, 4)", "216", f"{conv:,}"]
    assert rows["features.1"] == ["BatchNorm2d", "(2, 8, 4, 4)", "16", "0"]
    assert rows["features.2"] == ["ReLU", "(2, 8, 4, 4)", "0", "0"]
    assert rows["head"] == ["Linear", "(2, 10)", "90", f"{linear:,}"]
    assert "features" not in rows
    assert rows["total"] == ["322", f"{conv + linear:,}"]
    assert "Trainable: 312. Frozen: 10." in table
    assert f"FLOPs: {(conv + linear) // 2:,} a sample" in table


def test_neither_the_model_nor_the_random_state_is_touched() -> None:
    model = Small().train()
    model.features[1].eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    assert "No shapes" not in layer_table(model, torch.rand(2, 3, 4, 4, generator=torch.Generator()))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, True, False, True, True]
    assert all(tensor.device.type == "cpu" for tensor in (*model.parameters(), *model.buffers(), model.scale))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_own_costs_of_a_module_with_children_are_counted() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.rand(2, 5, 8)
    rows = cells(layer_table(attention, (tokens, tokens, tokens)))
    in_projection, out_projection = 2 * (2 * 5) * 8 * 24, 2 * (2 * 5) * 8 * 8
    products = 2 * (2 * 2 * 5 * 5 * 4) * 2  # queries with keys, weights with values, of two heads
    assert rows["total"] == ["288", f"{in_projection + out_projection + products:,}"]
    assert rows["(itself)"][0] == "MultiheadAttention"


def test_shared_parameters_count_once_and_repeated_calls_add_up() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight
            self.unused = nn.Linear(4, 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.second(self.first(self.first(x)))
            return out

    rows = cells(layer_table(Tied(), torch.rand(1, 4)))
    assert rows["first"] == ["Linear", "(1, 4)", "16", "64"]
    assert rows["second"] == ["Linear", "(1, 4)", "0", "32"]
    assert rows["unused"] == ["Linear", "-", "8", "0"]
    assert rows["total"] == ["24", "96"]


def test_a_model_that_cannot_run_gets_its_parameters_and_the_reason() -> None:
    class Fails(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            raise RuntimeError(f"not today, with {len(input)} samples")

    table = layer_table(Fails(4, 2), torch.rand(1, 4))
    assert cells(table)["total"] == ["10", "0"]
    assert "No shapes and FLOPs" in table
    assert "not today" in table


def test_a_model_that_looks_at_values_gets_its_shapes() -> None:
    class Looks(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) if input.sum().item() > 0 else input

    assert cells(layer_table(Looks(4, 2), torch.ones(1, 4)))["(itself)"][1] == "(1, 2)"


def test_only_the_first_samples_are_used() -> None:
    assert cells(layer_table(nn.Linear(4, 2), torch.rand(9, 4), samples=3))["(itself)"][1] == "(3, 2)"


def test_a_task_runs_all_its_losses() -> None:
    class Two(Task):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False)

        def losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
            yield "a", self.a(batch["x"]).mean()
            yield "b", self.b(batch["x"]).mean()

    rows = cells(layer_table(Two(), {"x": torch.rand(3, 4)}))
    assert rows["a"] == ["Linear", "(3, 4)", "16", "96"]
    assert rows["b"] == ["Linear", "(3, 1)", "4", "24"]


@pytest.mark.parametrize("frozen", [False, True])
def test_transformer_layers_are_not_fused_away(frozen: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(not frozen)
    fused = torch.backends.mha.get_fastpath_enabled()
    rows = cells(layer_table(layer, torch.rand(2, 5, 8)))
    assert torch.backends.mha.get_fastpath_enabled() is fused
    assert rows["linear1"] == ["Linear", "(2, 5, 16)", "144", f"{2 * 10 * 8 * 16:,}"]
