"""What the loop sees: the same batches wherever the data are, with any number of workers, from any step on."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import random
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from runner.data import placement
from runner.data.augment import Augmentation, CropFlip, Cutout, Trivial
from runner.data.data import Data
from runner.data.resident import Hosted, Loadable, Resident, free_bytes, resident_fits
from runner.data.source import Arrays, Examples, Spec, Splits
from runner.data.streamed import Streamed
from runner.randomness import Randomness

CPU = torch.device("cpu")
Batches = list[tuple[Tensor, ...]]


def arrays(size: int, seed: int) -> Arrays:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Arrays(images, torch.randint(0, 4, (size,), generator=generator))


def splits(train: Examples | None = None) -> Splits:
    return Splits(
        train=train or arrays(22, 0),
        valid=arrays(7, 1),
        test=arrays(5, 2),
        spec=Spec(channels=3, height=8, width=8, num_classes=4),
        mean=(0.5, 0.5, 0.4),
        std=(0.2, 0.3, 0.3),
    )


def data(train: Examples | None = None, **settings: Any) -> Data:
    chosen = {"batch_size": 8, "eval_batch_size": 3, "randomness": Randomness(0), "device": CPU, **settings}
    return Data(splits(train), **chosen)


def take(batches: Generator[tuple[Tensor, ...], None, None], count: int) -> Batches:
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def same(one: Batches, other: Batches) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


def no_children() -> bool:
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


class Drawing:
    """Examples that draw for themselves, from every default generator."""

    def __len__(self) -> int:
        return 22

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        noise = torch.rand(()) + random.random() + np.random.rand()
        return torch.full((3, 8, 8), index, dtype=torch.uint8), noise


def test_sizes_and_shapes() -> None:
    subject = data()
    assert [subject.size(part) for part in ("train", "valid", "test")] == [22, 7, 5]
    assert subject.steps_per_epoch == 3
    images, labels = next(subject.train())
    assert (images.shape, images.dtype, labels.dtype) == ((8, 3, 8, 8), torch.float32, torch.int64)


def test_an_epoch_holds_each_sample_once() -> None:
    examples = Arrays(torch.zeros(22, 3, 1, 1, dtype=torch.uint8), torch.arange(22))
    subject = data(examples)
    labels = [batch[1] for batch in take(subject.train(), 6)]
    for epoch in (labels[:3], labels[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(22))


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("resident", ["device", "never"])
def test_a_part_comes_once_in_order_and_unaugmented(part: str, resident: str) -> None:
    subject = data(resident=resident, augmentation=CropFlip())
    batches = list(subject.part(part))
    given = getattr(splits(), part)
    assert torch.equal(torch.cat([b[1] for b in batches]), given.tensors[1])
    assert torch.equal(torch.cat([b[0] for b in batches]), subject.prepare.evaluate(given.tensors)[0])
    assert {len(b[1]) for b in batches[:-1]} == {3}


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", [None, CropFlip(padding=2), CropFlip(flip="alternating"), Cutout()])
def test_the_place_of_the_data_changes_no_bit(augmentation: Augmentation | None) -> None:
    resident = data(resident="device", augmentation=augmentation)
    hosted = data(resident="device", augmentation=augmentation)
    hosted.feeds = {name: Hosted(getattr(splits(), name), CPU) for name in hosted.feeds}
    streamed = data(resident="never", augmentation=augmentation, workers=2)
    assert isinstance(resident.feeds["train"], Resident)
    assert isinstance(streamed.feeds["train"], Streamed)
    for other in (hosted, streamed):
        assert same(take(resident.train(), 7), take(other.train(), 7))
        assert same(take(resident.train(4), 3), take(other.train(4), 3))
        assert same(list(resident.part("valid")), list(other.part("valid")))


def test_alternating_flips_turn_over_with_the_epoch() -> None:
    images = torch.arange(22 * 3 * 64).view(22, 3, 8, 8).remainder(251).to(torch.uint8)
    subject = data(Arrays(images, torch.arange(22)), augmentation=CropFlip(padding=0, flip="alternating"))
    batches = take(subject.train(), 9)  # three epochs
    epochs = []
    for epoch in range(3):
        shown = [torch.cat(column) for column in zip(*batches[3 * epoch : 3 * epoch + 3], strict=True)]
        epochs.append(shown[0][shown[1].argsort()])
    as_they_are = subject.prepare.evaluate((images,))[0]
    flipped = (epochs[0] != as_they_are).flatten(1).any(1)
    assert 0 < flipped.sum() < 22
    assert torch.equal(epochs[1], epochs[0].flip(3))
    assert torch.equal(epochs[2], epochs[0])


@pytest.mark.slow
@pytest.mark.parametrize("train", [None, Drawing()])
def test_the_number_of_workers_changes_nothing(train: Examples | None) -> None:
    runs = [take(data(train, augmentation=Trivial(), workers=workers).train(), 7) for workers in (0, 1, 2)]
    assert same(runs[0], runs[1])
    assert same(runs[0], runs[2])
    epochs = [torch.cat([batch[1] for batch in run]) for run in (runs[0][:3], runs[0][3:6])]
    assert not torch.equal(epochs[0].sort().values, epochs[1].sort().values) or train is None  # noise differs


@pytest.mark.parametrize("settings", [{"resident": "device", "augmentation": CropFlip()}, {"augmentation": Trivial()}])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_any_step_can_be_entered(settings: dict[str, Any], step: int) -> None:
    assert same(take(data(**settings).train(), 7)[step:], take(data(**settings).train(step), 7 - step))


def test_trivial_changes_images_and_epochs_differ() -> None:
    image = Arrays(arrays(1, 0).tensors[0].expand(22, -1, -1, -1).clone(), torch.zeros(22, dtype=torch.int64))
    augmented = torch.cat([b[0] for b in take(data(image, augmentation=Trivial()).train(), 6)]).flatten(1)
    assert len(torch.unique(augmented, dim=0)) > 20


def test_seeds_differ() -> None:
    one, two = (take(data(randomness=Randomness(seed)).train(), 1) for seed in (0, 1))
    assert not same(one, two)


@pytest.mark.parametrize(
    "settings",
    [
        {"resident": "device", "augmentation": CropFlip()},
        {"resident": "never", "workers": 2},
        {"augmentation": Trivial(), "workers": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_the_first_batch_is_that_of_step_1_and_starts_no_process(
    settings: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("a process was started")

    subject = data(**settings)
    with monkeypatch.context() as patched:
        patched.setattr(multiprocessing.Process, "start", refuse)
        first = subject.first(name)
        if settings.get("workers") and name == "train":  # which would start some
            with pytest.raises(AssertionError, match="a process was started"):
                next(subject.train())
    assert same([first], take(subject.train(), 1) if name == "train" else list(subject.part(name))[:1])


def test_the_first_batch_draws_nothing_of_the_runs_own() -> None:
    state = torch.get_rng_state()
    subject = data(Drawing(), augmentation=Trivial())
    assert same([subject.first("train")], [subject.first("train")])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_the_runs_own_generators_are_not_touched(workers: int) -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    take(data(Drawing(), augmentation=Trivial(), workers=workers).train(), 4)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]


@pytest.mark.slow
def test_no_worker_is_left_behind() -> None:
    subject = data(resident="never", workers=2)
    batches = subject.train()
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert no_children()
    batches = subject.train()
    next(batches)
    del batches
    gc.collect()
    assert no_children()
    list(subject.part("valid"))
    assert no_children()


def test_an_error_in_a_worker_is_not_swallowed() -> None:
    class Broken(Drawing):
        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            raise OSError(f"cannot read example {index}")

    with pytest.raises(OSError, match="cannot read example"):
        next(data(Broken(), workers=2).train())
    assert no_children()


class Files(Drawing):
    """Examples that can be read once and kept."""

    nbytes = 22 * 3 * 64

    def arrays(self) -> Arrays:
        return arrays(22, 0)


def test_auto_keeps_what_fits() -> None:
    assert isinstance(Files(), Loadable)
    assert isinstance(data(Files()).feeds["train"], Resident)
    huge = Files()
    huge.nbytes = 2 * free_bytes(CPU)
    assert not resident_fits([huge], CPU)
    assert isinstance(data(huge).feeds["train"], Streamed)
    assert isinstance(data(Drawing()).feeds["train"], Streamed)  # would be frozen if it were kept
    assert data(Drawing()).places == dict.fromkeys(["train", "valid", "test"], "never")


@pytest.mark.parametrize(
    ("nbytes", "place"), [(1000, "device"), (10_000, "host"), (10**6, "never")], ids=["small", "large", "huge"]
)
def test_auto_asks_the_device_and_then_the_host(nbytes: int, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.data.resident.free_bytes", lambda device: 10**6 if device.type == "cpu" else 10**4)
    files = Files()
    files.nbytes = nbytes
    parts: dict[str, Examples] = {"train": files, "valid": arrays(7, 1)}
    cuda, trivial = torch.device("cuda", 0), Trivial()
    assert placement.placed(parts, cuda, resident="auto", augmentation=CropFlip()) == dict.fromkeys(parts, place)
    assert placement.placed(parts, cuda, resident="auto", augmentation=trivial) == {"train": "never", "valid": "device"}


def test_the_place_that_is_asked_for_is_used() -> None:
    for asked, place in (
        ("device", "device"),
        ("host", "device"),
        ("never", "never"),
    ):  # the CPU's memory is the host's
        assert set(data(resident=asked).places.values()) == {place}
    parts = {"train": arrays(22, 0)}
    cuda = torch.device("cuda", 0)
    assert placement.placed(parts, cuda, resident="host", augmentation=CropFlip()) == {"train": "host"}


def test_free_bytes_is_an_amount_of_memory() -> None:
    assert 2**20 < free_bytes(CPU) < 2**50


def test_a_per_example_augmentation_streams_the_training_part_only() -> None:
    subject = data(augmentation=Trivial())
    assert isinstance(subject.feeds["train"], Streamed)
    assert isinstance(subject.feeds["valid"], Resident)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"batch_size": 23},
            r"^trainer\.batch_size=23 is larger than the training part \(22 samples\); "
            r"set trainer\.batch_size to at most 22$",
        ),
        ({"batch_size": 0}, r"trainer\.batch_size must be at least 1, got 0"),
        ({"resident": "device", "augmentation": Trivial()}, r"Trivial .* needs streamed data.*trainer\.resident=auto"),
        ({"resident": "host", "augmentation": Trivial()}, r"needs streamed data, got trainer\.resident=host"),
        ({"resident": "sometimes"}, r"trainer\.resident must be one of auto, device, host, never, got 'sometimes'$"),
        ({"resident": "always"}, r"got 'always'; set trainer\.resident=device$"),
        ({"resident": "device", "train": Drawing()}, r"Drawing has to be read anew each time"),
        ({"resident": "host", "train": Drawing()}, r"Drawing has to be read anew each time"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(**settings)


@pytest.mark.gpu
@pytest.mark.parametrize("augmentation", [CropFlip(), CropFlip(flip="alternating"), Cutout()])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_place_of_the_data_changes_no_bit_on_the_gpu(augmentation: Augmentation, channels_last: bool) -> None:
    cuda = torch.device("cuda", 0)
    settings: dict[str, Any] = {"augmentation": augmentation, "channels_last": channels_last}
    made = {
        place: data(device=cuda, resident=place, workers=2, **settings) for place in ("auto", "device", "host", "never")
    }
    assert set(made["auto"].places.values()) == {"device"}
    assert isinstance(made["host"].feeds["train"], Hosted)
    batches = {place: take(subject.train(), 7) for place, subject in made.items()}
    assert all(t.is_cuda for batch in batches["host"] for t in batch)
    assert same(batches["device"], batches["host"])
    assert same(batches["device"], batches["never"])
    assert same(list(made["device"].part("valid")), list(made["host"].part("valid")))
    for batch, expected in zip(batches["device"], take(data(**settings).train(), 7), strict=True):
        torch.testing.assert_close(batch[0].cpu(), expected[0])
        assert torch.equal(batch[1].cpu(), expected[1])


@pytest.mark.gpu
def test_batches_from_the_host_are_whole_while_the_device_is_busy() -> None:
    """The device is kept behind by large products: a buffer that came back too soon would be overwritten."""
    cuda = torch.device("cuda", 0)
    examples = Arrays(torch.arange(4096)[:, None].expand(-1, 4096).contiguous())  # row i holds i
    order = [torch.arange(first, first + 256) % 4096 for first in range(0, 16 * 4096, 256)]
    busy, wrong = torch.rand(4096, 4096, device=cuda), torch.zeros((), dtype=torch.int64, device=cuda)
    for index, (rows,) in zip(order, Hosted(examples, cuda).batches(order), strict=True):
        busy = (busy @ busy).softmax(1)
        wrong += (rows != index.cuda(non_blocking=True)[:, None]).sum()
    assert wrong.item() == 0
