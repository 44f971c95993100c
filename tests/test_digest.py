"""Equal digests are equal bits."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor, nn

from runner import digest


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3))


def test_a_digest_is_over_dtype_shape_and_bytes() -> None:
    expected = hashlib.sha256(b"torch.float32 (2,) " + bytes.fromhex("0000803f00000040")).hexdigest()
    assert digest.of_tensor(torch.tensor([1.0, 2.0])) == expected


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(2, 3),
        torch.zeros(6),
        torch.zeros(3, 2, dtype=torch.int32),
        torch.zeros(3, 2, dtype=torch.float64),
        torch.full((3, 2), -0.0),
        torch.zeros(3, 2).index_put_((torch.tensor(2), torch.tensor(1)), torch.tensor(1e-45)),
    ],
    ids=["transposed", "flat", "int32", "float64", "minus zero", "one bit"],
)
def test_anything_else_has_another_digest(other: Tensor) -> None:
    assert digest.of_tensor(other) != digest.of_tensor(torch.zeros(3, 2))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.zeros(0, 4),
        torch.ones(3, dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
        torch.arange(5, dtype=torch.uint8),
        torch.tensor([torch.nan, torch.inf]),
        nn.Parameter(torch.ones(2)),
    ],
    ids=str,
)
def test_any_tensor_has_one(tensor: Tensor) -> None:
    assert len(digest.of_tensor(tensor)) == 64
    assert digest.of_tensor(tensor) == digest.of_tensor(tensor.detach().clone())


def test_the_layout_in_memory_does_not_matter() -> None:
    tensor = torch.randn(2, 3, 4, 5)
    strided = torch.randn(4, 6)
    assert digest.of_tensor(tensor) == digest.of_tensor(tensor.to(memory_format=torch.channels_last))
    assert digest.of_tensor(strided.t()) == digest.of_tensor(strided.t().contiguous())
    assert digest.of_tensor(strided[:, ::2]) == digest.of_tensor(strided[:, ::2].clone())
    assert digest.of_weights(module()) == digest.of_weights(module().to(memory_format=torch.channels_last))


def test_weights_are_parameters_and_buffers_by_name() -> None:
    assert list(digest.weights(module())) == [
        *("0.weight", "0.bias", "1.weight", "1.bias"),
        *("1.running_mean", "1.running_var", "1.num_batches_tracked"),
    ]


@pytest.mark.parametrize("name", ["0.weight", "1.bias", "1.running_mean", "1.num_batches_tracked"])
def test_one_wrong_bit_in_any_weight_or_buffer_is_seen(name: str) -> None:
    other = module()
    with torch.no_grad():
        digest.weights(other)[name].view(-1)[:1].view(torch.uint8)[0] ^= 1
    assert digest.of_weights(module()) == digest.of_weights(module())
    assert digest.of_weights(other) != digest.of_weights(module())


def test_names_count() -> None:
    layer = nn.Linear(2, 2)
    assert digest.of_weights(nn.Sequential(layer)) != digest.of_weights(nn.ModuleDict({"a": layer}))


def test_a_shared_weight_counts_once() -> None:
    layer = nn.Linear(2, 2)
    assert list(digest.weights(nn.Sequential(layer, layer))) == ["0.weight", "0.bias"]


def test_the_order_of_a_batch_matters_and_that_of_metrics_does_not() -> None:
    images, labels = torch.ones(2, 2), torch.zeros(2)
    assert digest.of_tensors((images, labels)) != digest.of_tensors((labels, images))
    assert digest.of_tensors((images,)) != digest.of_tensors((images, images))
    assert digest.of_metrics({"a": 1.0, "b": 2.0}) == digest.of_metrics({"b": 2.0, "a": 1.0})


def test_metrics_are_exact() -> None:
    values = [0.1, 0.1 + 2**-56, -0.1, float("nan"), float("inf"), 0.0, -0.0]
    assert len({digest.of_metrics({"a": value}) for value in values}) == len(values)
    assert digest.of_metrics({"a": 1}) == digest.of_metrics({"a": 1.0})


def test_looking_changes_nothing() -> None:
    """Neither the bits nor the generators."""
    subject = module()
    before = [tensor.clone() for tensor in digest.weights(subject).values()]
    state = torch.get_rng_state()
    digest.of_weights(subject)
    assert all(map(torch.equal, before, digest.weights(subject).values()))
    assert torch.equal(state, torch.get_rng_state())
