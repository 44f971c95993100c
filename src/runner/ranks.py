"""Processes that train one model together, each on its own rows of every batch. One process alone is the identity.

Torch's ``DistributedDataParallel`` adds up the gradients; nobody else notices: tasks see a smaller batch, the loop the
whole one's losses.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from runner.batch import Batch, size_of
from runner.gradients import Gradients, Joint, Local
from runner.problem import Failed, reason_of
from runner.state import NonFiniteLoss, State

T = TypeVar("T")

STOPS = ("SIGINT", "SIGTERM")
FAILURE = "runner/failure"  # in the store: what the first rank that failed said


def rows_of(samples: int, *, rank: int, world_size: int) -> slice:
    """The rows of a batch that belong to ``rank``: every row to one rank, in order; the first ranks have one more.

    Empty for the last ranks of a batch with fewer samples than ranks.
    """
    each, more = divmod(samples, world_size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def log_of(rank: int) -> str:
    """The file in the run's folder that holds what a rank other than the first printed; it stays when that failed."""
    return f"rank{rank}.log"


class Store(Protocol):
    """Where processes leave each other a word: one of torch's."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def check(self, keys: list[str]) -> bool: ...

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        """Set a key that has the expected value, or none and nothing is expected; what it has now."""
        ...


class Stoppable(Protocol):
    """What a signal asks to stop: why, or nothing."""

    stop: str


class Alone:
    """One process: nothing is divided, and nothing waited for."""

    rank, world_size = 0, 1
    again_after_s = 0.0
    rows: Callable[[int], slice] | None = None  # all of them

    def device(self, device: torch.device) -> torch.device:
        return device

    def hears(self, state: State) -> Stoppable:
        return state

    def agree(self) -> None: ...

    def cause(self, error: BaseException) -> BaseException:
        return error

    def recording(self) -> AbstractContextManager[None]:
        return nullcontext()

    def join(
        self, networks: Iterable[nn.Module], *, samples_at: Callable[[int], int], look_every_steps: int
    ) -> None: ...

    def gradients(self, label: str, network: nn.Module) -> Gradients:  # noqa: ARG002
        return Local(label)

    def begin(self, batch: Batch, step: int) -> int:  # noqa: ARG002
        return size_of(batch)

    def share_weights(self, task: nn.Module) -> None: ...

    def share_buffers(self) -> None: ...

    def present(self, order: Iterator[Tensor]) -> Iterator[Tensor]:
        return order

    def first(self, work: Callable[[], T]) -> T:
        return work()

    def due(self, due: Callable[[], bool]) -> bool:
        return due()

    def summed(self, values: dict[str, tuple[Tensor, Tensor | int]]) -> dict[str, tuple[Tensor, Tensor | int]]:
        return values

    def named(self, names: Sequence[str]) -> list[str]:
        return list(names)


class Ranks:
    """This process among ``world_size`` that are connected by torch's default process group.

    Beside the gradients of a step travel, in the same messages, its loss and what ranks ask of each other: to stop, and
    to save. On the CPU all look at these at each step, which is free; elsewhere every ``look_every_steps`` steps,
    because looking waits for the device.
    """

    again_after_s = 5.0  # from the first signal, in which others mean the same

    def __init__(self, *, rank: int, world_size: int, local_rank: int, store: Store | None = None) -> None:
        """In ``store`` the rank that fails first says why."""
        self.rank, self.world_size, self.local_rank = rank, world_size, local_rank
        self.store = store
        self.stop = ""  # asked of this rank, and not yet agreed on
        self.share = 1.0  # of this rank's rows in the batch, times the ranks
        self._step = 0
        self._state: State | None = None
        self._wants_save = self._agreed_save = False
        self._samples_at: Callable[[int], int] | None = None
        self._look_every_steps = 1
        self._networks: list[nn.Module] = []

    def rows(self, samples: int) -> slice:
        """The rows of a training batch to compute. One without rows of its own computes the first, which counts 0."""
        own = rows_of(samples, rank=self.rank, world_size=self.world_size)
        return own if own.start < own.stop else slice(0, 1)

    def present(self, order: Iterator[Tensor]) -> Iterator[Tensor]:
        """The evaluation batches of which this rank has rows: it lacks them at most in the last one."""
        return (indices for indices in order if len(indices) > self.rank)

    def device(self, device: torch.device) -> torch.device:
        """Of several GPUs the one that is this rank's, which becomes the current one."""
        if device.type != "cuda":
            return device
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def hears(self, state: State) -> Stoppable:
        """What signals are told: ``state`` learns of it when all ranks do."""
        self._state, self.stop = state, ""
        self._wants_save = self._agreed_save = False
        return self

    def join(self, networks: Iterable[nn.Module], *, samples_at: Callable[[int], int], look_every_steps: int) -> None:
        """``samples_at`` says how many samples the batch after so many steps has, over all ranks."""
        self._networks = list(networks)
        self._samples_at, self._look_every_steps = samples_at, look_every_steps

    def gradients(self, label: str, network: nn.Module) -> Gradients:
        return Joint(label, network, self)

    def begin(self, batch: Batch, step: int) -> int:  # noqa: ARG002
        """A step begins; the samples of its batch over all ranks. Buffers that a step may read become those of rank 0.

        Running statistics of batch norm are read by evaluations only, before which ``share_buffers`` is called.
        """
        assert self._samples_at is not None, "join comes first"
        samples = self._samples_at(step)
        own = rows_of(samples, rank=self.rank, world_size=self.world_size)
        self.share = (own.stop - own.start) * self.world_size / samples
        self._step = step
        broadcast(_buffers(self._networks, of_batch_norm=False))
        return samples

    def share_weights(self, task: nn.Module) -> None:
        """All weights and buffers become those of rank 0."""
        broadcast([tensor.detach() for tensor in (*task.parameters(), *task.buffers())])

    def share_buffers(self) -> None:
        broadcast(_buffers(self._networks, of_batch_norm=True))

    def first(self, work: Callable[[], T]) -> T:
        """What ``work`` gives on rank 0, which alone does it."""
        from torch import distributed

        given = [work() if self.rank == 0 else None]
        distributed.broadcast_object_list(given, src=0, device=torch.device("cpu"))
        return given[0]  # type: ignore[return-value]

    def named(self, names: Sequence[str]) -> list[str]:
        """The names of rank 0, which has samples where any rank has."""
        return self.first(lambda: list(names))

    def summed(self, values: dict[str, tuple[Tensor, Tensor | int]]) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Pairs of numbers added over all ranks, in float64 (float32 on MPS)."""
        from torch import distributed

        if not values:
            return {}
        pairs = [torch.stack([total, torch.as_tensor(weight).to(total)]) for total, weight in values.values()]
        whole = torch.stack(pairs)
        distributed.all_reduce(whole)
        return {name: (pair[0], pair[1]) for name, pair in zip(values, whole, strict=True)}

    def due(self, due: Callable[[], bool]) -> bool:
        """Whether rank 0 found something due before the last step at which the ranks looked at what they ask."""
        agreed, self._agreed_save = self._agreed_save, False
        self._wants_save = not agreed and self.rank == 0 and due()
        return agreed

    def agree(self) -> None:
        """Outside of steps: stop all if any was asked to."""
        from torch import distributed

        wishes = torch.tensor(self.wishes())
        distributed.all_reduce(wishes)
        self._heed(wishes)

    def cause(self, error: BaseException) -> BaseException:
        """Why this rank fails: what another one told before, whose end this one may only have noticed."""
        if self.store is None or isinstance(error, KeyboardInterrupt):
            return error
        told = reason_of(error)
        own = told if self.rank == 0 else f"rank {self.rank}: {told}; its traceback is in {log_of(self.rank)}"
        try:
            first = self.store.compare_set(FAILURE, "", own).decode()
        except RuntimeError:  # nobody keeps it any more
            return error
        return error if first == own or isinstance(error, (Failed, NonFiniteLoss)) else Failed(first)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While it is written how a run failed, the SIGTERM is not heeded with which torchrun ends the other ranks."""
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def wishes(self) -> list[float]:
        """What this rank asks of all, as numbers of which the sum over ranks can be told from 0."""
        return [*(float(self.stop.endswith(name)) for name in STOPS), float(self._wants_save)]

    def look(self, wishes: Tensor) -> bool:
        """Heed what ranks asked for along with a step's gradients, if this is a step to look at it."""
        if not wishes.is_cpu and (self._step + 1) % self._look_every_steps:
            return False
        self._heed(wishes.cpu())  # host sync
        return True

    def _heed(self, wishes: Tensor) -> None:
        *stops, save = wishes.tolist()
        self._agreed_save = self._agreed_save or save > 0
        for name, asked in zip(STOPS, stops, strict=True):
            if asked > 0 and self._state is not None and not self._state.stop:
                self._state.stop = f"interrupted by {name}"


Ranked = Alone | Ranks


def _buffers(networks: Sequence[nn.Module], *, of_batch_norm: bool) -> list[Tensor]:
    """The buffers of networks, without or with those of batch norm."""
    from torch.nn.modules.batchnorm import _BatchNorm

    modules = dict.fromkeys(module for network in networks for module in network.modules())
    return [
        buffer
        for module in modules
        if of_batch_norm or not isinstance(module, _BatchNorm)
        for buffer in module.buffers(recurse=False)
    ]


@torch.no_grad()
def broadcast(tensors: Sequence[Tensor]) -> None:
    """Make ``tensors`` those of rank 0, in one message for each type."""
    from torch import distributed

    kinds = dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors)
    for kind in kinds:
        same = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
        flat = torch.cat([tensor.reshape(-1) for tensor in same])
        distributed.broadcast(flat, src=0)
        for tensor, values in zip(same, torch.split(flat, [tensor.numel() for tensor in same]), strict=True):
            tensor.copy_(values.view(tensor.shape))
