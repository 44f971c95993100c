"""GANs, pix2pix and CycleGAN: what is minimised in which order, what is remembered, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from runner.losses import Hinge, LeastSquares, Vanilla, Wasserstein
from runner.losses.terms import total
from runner.metrics import Metrics
from runner.metrics.factories import mse
from runner.models import DCGAN
from runner.models import CycleGAN as CycleNetworks
from runner.models import Pix2pix as PairNetworks
from runner.tasks import GAN, CycleGAN, Pix2pix, Task
from runner.tasks.image_pool import ImagePool
from runner.tasks.latent_walk import walk

PAIRED: dict[str, Any] = {"in_channels": 1, "out_channels": 1, "image_size": (8, 8)}
PAIRED |= {"width": 2, "discriminator_width": 2, "discriminator_layers": 1}
BATCH = (2 * torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(1)) - 1,)
INPUTS, TARGETS = BATCH[0][:, :1], BATCH[0][:, 1:]


def scores_of(task: Task, metrics: Metrics | None = None) -> Mapping[str, float]:
    metrics = metrics or Metrics({})
    task.eval()
    with torch.no_grad():
        task.scores(BATCH, metrics)
    return metrics.compute()


def pair_task(loss: nn.Module | None = None, **settings: float) -> Pix2pix:
    torch.manual_seed(0)
    return Pix2pix(PairNetworks(**PAIRED, dropout=0.0), loss or Vanilla(), **settings)


def cycle_task(**settings: Any) -> CycleGAN:
    torch.manual_seed(0)
    networks = CycleNetworks(**PAIRED, blocks=1)
    return CycleGAN(networks, LeastSquares(), **settings)


class Same(nn.Module):
    """Knows the answer to nothing: what comes in goes out."""

    def forward(self, images: Tensor) -> Tensor:
        return images


# --- gan


def test_a_discriminator_may_take_several_steps_each_on_fresh_noise() -> None:
    task = GAN(tiny.Pair(), Hinge(), discriminator_steps=3)
    images = torch.rand(6, 1, tiny.PIXELS, tiny.PIXELS)
    seen: list[Tensor] = []
    task.generator.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    assert [name for name, _ in task.losses((images,))] == ["discriminator"] * 3 + ["generator"]
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])
    with pytest.raises(ValueError, match=r"task\.discriminator_steps must be at least 1, got 0"):
        GAN(tiny.Pair(), Hinge(), discriminator_steps=0)


def test_a_gradient_penalty_is_part_of_training_and_of_no_evaluation() -> None:
    torch.manual_seed(0)
    model = DCGAN(in_channels=1, image_size=(8, 8), latent_dim=4, width=4, discriminator_norm="layer")
    images = torch.rand(6, 1, 8, 8)
    losses, scores = [], []
    for weight in (0.0, 10.0):
        task = GAN(model, Wasserstein(gradient_penalty=weight))
        metrics = Metrics({})
        torch.manual_seed(1)
        with torch.inference_mode():
            task.eval().scores((images,), metrics)
        scores.append(metrics.compute())
        torch.manual_seed(1)
        losses.append(total(next(iter(task.losses((images,))))[1]).item())  # in eval mode: batch norm remembers nothing
    assert losses[1] > losses[0] + 1
    assert scores[0] == scores[1]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_a_gradient_penalty_refuses_batch_norm(norm: str) -> None:
    model = DCGAN(in_channels=1, image_size=(16, 16), latent_dim=4, width=4, discriminator_norm=norm)
    if norm != "batch":
        GAN(model, Wasserstein())
        return
    with pytest.raises(ValueError, match=r"gradient_penalty=10.*set model\.discriminator_norm=layer or none"):
        GAN(model, Wasserstein())
    GAN(model, Wasserstein(gradient_penalty=0))


def test_a_walk_goes_from_code_to_code_on_the_sphere_or_straight() -> None:
    codes = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    circle, line = (walk(codes, count=2, interpolation=how) for how in ("spherical", "linear"))
    root = 2**0.5
    opposite = [0.0, 0.0]  # two codes that look away from each other have no circle between them: a straight line
    expected = torch.tensor([[2.0, 0.0], [root, root], [0.0, 2.0], opposite, [0.0, -2.0], [root, -root]])
    torch.testing.assert_close(circle, expected)
    assert line.tolist() == [[2, 0], [1, 1], [0, 2], [0, 0], [0, -2], [1, -1]]


def test_pictures_of_a_gan_hold_a_walk_between_the_codes_of_the_others() -> None:
    torch.manual_seed(0)
    task = GAN(tiny.Pair(), Vanilla(), pictures_count=9).eval()
    pictures = task.pictures((torch.rand(6, 1, tiny.PIXELS, tiny.PIXELS),))
    assert [len(images) for images in pictures.values()] == [6, 9, 9]
    torch.testing.assert_close(pictures["walk"][::3], pictures["generated"][:3])
    straight = GAN(tiny.Pair(), Vanilla(), pictures_count=9, interpolation="linear").eval()
    straight.load_state_dict(task.state_dict())
    assert not torch.allclose(straight.pictures(BATCH)["walk"][1::3], pictures["walk"][1::3])
    with pytest.raises(ValueError, match=r"task\.interpolation must be one of spherical, linear, got 'curved'"):
        GAN(tiny.Pair(), Vanilla(), interpolation="curved")


# --- pix2pix


def test_pix2pix_is_the_adversary_plus_the_weighted_error() -> None:
    losses = {}
    for weight in (0.0, 100.0):
        task = pair_task(l1_weight=weight)
        losses[weight] = {name: total(loss).item() for name, loss in task.losses(BATCH)}
    task = pair_task()
    error = nn.functional.l1_loss(task.generator(INPUTS), TARGETS).item()
    assert list(losses[0]) == ["discriminator", "generator"]
    assert losses[100]["discriminator"] == losses[0]["discriminator"]
    assert losses[100]["generator"] - losses[0]["generator"] == pytest.approx(100 * error, rel=1e-4)


def test_pix2pix_judges_an_output_beside_its_input() -> None:
    task = pair_task().eval()
    seen: list[Tensor] = []
    task.discriminator.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    list(task.losses(BATCH))
    drawn = task.generator(INPUTS)
    assert torch.equal(seen[0], BATCH[0])
    torch.testing.assert_close(seen[1], torch.cat([INPUTS, drawn], 1))
    assert not seen[1].requires_grad
    assert seen[2].requires_grad


def test_pix2pix_is_scored_in_pixels() -> None:
    task = pair_task()
    task.generator = Same()
    scores = scores_of(task, Metrics({"mse": mse(squared=True)}))
    assert scores["l1"] == pytest.approx((INPUTS - TARGETS).abs().mean().item() / 2, rel=1e-5)
    assert scores["mse"] == pytest.approx(((INPUTS - TARGETS) / 2).square().mean().item(), rel=1e-5)
    pictures = task.pictures(BATCH)
    torch.testing.assert_close(pictures["generated"], INPUTS / 2 + 0.5)
    assert list(pictures) == ["input", "target", "generated"]


# --- cyclegan


def test_cyclegan_trains_two_pairs_generators_first() -> None:
    task = cycle_task()
    assert list(task.networks()) == ["generators", "discriminators"]
    assert [name for name, _ in task.losses(BATCH)] == ["generators", "discriminators"]


def test_generators_that_change_nothing_lose_nothing_on_the_way_there_and_back() -> None:
    task = cycle_task(cycle_weight=10.0)
    alone = cycle_task(cycle_weight=0.0)
    for one in (task, alone):
        one.generators["there"], one.generators["back"] = Same(), Same()
        one.eval()
    assert torch.equal(total(next(iter(task.losses(BATCH)))[1]), total(next(iter(alone.losses(BATCH)))[1]))
    assert scores_of(task)["cycle_l1"] == 0


def test_cycle_and_identity_count_as_their_weights_say() -> None:
    def loss(**settings: float) -> float:
        return total(next(iter(cycle_task(**settings).losses(BATCH)))[1]).item()

    task = cycle_task()
    there, back = task.generators["there"], task.generators["back"]
    l1 = nn.functional.l1_loss
    cycle = (l1(back(there(INPUTS)), INPUTS) + l1(there(back(TARGETS)), TARGETS)).item()
    same = (l1(there(TARGETS), TARGETS) + l1(back(INPUTS), INPUTS)).item()
    alone = loss(cycle_weight=0.0)
    assert loss(cycle_weight=4.0, identity_weight=0.0) - alone == pytest.approx(4 * cycle, rel=1e-4)
    assert loss(cycle_weight=4.0, identity_weight=0.5) - alone == pytest.approx(4 * cycle + 2 * same, rel=1e-4)


def test_a_paired_evaluation_measures_the_distance_to_the_truth() -> None:
    assert "l1" not in scores_of(cycle_task())
    task = cycle_task(paired_evaluation=True)
    task.generators["there"] = Same()
    expected = (INPUTS - TARGETS).abs().mean().item() / 2
    assert scores_of(task)["l1"] == pytest.approx(expected, rel=1e-5)
    assert len(task.pictures(BATCH)) == 6


def test_a_pool_keeps_what_comes_until_it_is_full() -> None:
    pool = ImagePool(4, channels=1, image_size=(2, 2))
    first = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    torch.manual_seed(0)
    assert torch.equal(pool.exchange(first[:3]), first[:3])
    assert torch.equal(pool.exchange(first[3:]), first[3:])
    assert torch.equal(pool.images, first)
    assert pool.filled.item() == 4


def test_a_full_pool_gives_half_of_its_images_back_for_new_ones() -> None:
    pool = ImagePool(50, channels=1, image_size=(1, 1))
    torch.manual_seed(0)
    pool.exchange(torch.zeros(50, 1, 1, 1))
    numbers = torch.arange(1.0, 1001).view(-1, 1, 1, 1)
    out = pool.exchange(numbers)
    itself = (out == numbers).float().mean().item()
    assert 0.45 < itself < 0.55
    inside, given = set(pool.images.flatten().tolist()), out.flatten().tolist()
    everything = sorted([*pool.images.flatten().tolist(), *given])
    assert everything == sorted([0.0] * 50 + numbers.flatten().tolist())  # nothing is lost and nothing is twice
    assert len(inside) == 50


def test_without_a_pool_images_come_back_as_they_are() -> None:
    pool, images = ImagePool(0, channels=1, image_size=(8, 8)), INPUTS.clone().requires_grad_()
    out = pool.exchange(images)
    assert torch.equal(out, images)
    assert not out.requires_grad


def test_discriminators_judge_earlier_images_from_the_pool() -> None:
    with_pool, without = cycle_task(pool_size=6), cycle_task(pool_size=0)
    for task in (with_pool, without):
        list(task.losses(BATCH))
        with torch.no_grad():
            for parameter in task.generators.parameters():
                parameter.add_(0.3)
    torch.manual_seed(3)
    late = {name: total(loss).item() for name, loss in with_pool.losses(BATCH)}
    other = {name: total(loss).item() for name, loss in without.losses(BATCH)}
    assert late["generators"] == other["generators"]
    assert late["discriminators"] != other["discriminators"]
    assert "target_pool.images" in with_pool.state_dict()


# --- what does not fit


@pytest.mark.parametrize(("task", "name"), [(Pix2pix, "pix2pix"), (CycleGAN, "cyclegan")])
def test_other_models_and_losses_are_refused(task: type[Task], name: str) -> None:
    with pytest.raises(ValueError, match=f"task={name} needs a model.*got Pair; set model={name}"):
        task(tiny.Pair(), Vanilla())
    model = PairNetworks(**PAIRED) if name == "pix2pix" else CycleNetworks(**PAIRED)
    with pytest.raises(ValueError, match=f"task={name} needs a loss on real-or-fake logits, got CrossEntropyLoss"):
        task(model, nn.CrossEntropyLoss())


def test_numbers_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.l1_weight must not be negative, got -1"):
        pair_task(l1_weight=-1)
    for name in ("cycle_weight", "identity_weight", "pool_size"):
        with pytest.raises(ValueError, match=f"task.{name} must not be negative, got -1"):
            cycle_task(**{name: -1})
    with pytest.raises(ValueError, match=r"1 and of 3 channels have no identity; set task\.identity_weight=0"):
        CycleGAN(CycleNetworks(**{**PAIRED, "out_channels": 3}, blocks=1), Vanilla())


def test_images_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 \+ 1 channels are needed, got 3 channels; set dataset=shape_pairs"):
        next(iter(pair_task().losses((torch.zeros(2, 3, 8, 8),))))
