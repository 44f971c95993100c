"""A thread that writes snapshots while training goes on, with room for two of them and no more."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping

import torch
from torch import Tensor

from runner.trajectory.store import DTYPES, Layout, Store

log = logging.getLogger(__name__)
SLOTS = 2  # one is written while the next one is filled


class Slot:
    """Room for one snapshot. On a CUDA device it is gathered there; a stream of its own copies it to the host."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        dtype = DTYPES[layout.dtype]
        self.step = 0
        self._on_gpu = device.type == "cuda"
        self.host = torch.empty(layout.values, dtype=dtype, pin_memory=self._on_gpu)
        self._gathered = torch.empty(layout.values, dtype=dtype, device=device) if self._on_gpu else self.host
        self._views = layout.views(self._gathered)
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]
        self._copied = torch.cuda.Event() if self._on_gpu else None  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fill(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Take over the values as they are after all that was asked of the device; does not wait for a GPU."""
        self.step = step
        for name, view in self._views.items():
            view.copy_(tensors[name])
        if self._stream is not None and self._copied is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._gathered.device))
            with torch.cuda.stream(self._stream):
                self.host.copy_(self._gathered, non_blocking=True)
                self._copied.record(self._stream)

    def wait(self) -> None:
        if self._copied is not None:
            self._copied.synchronize()  # in the writer's thread, not in training's


class Writer:
    """Writes what it is handed into ``store``, in order. What goes wrong is raised by the next call, once.

    After a failure nothing more is written: a gap in a trajectory would not be seen.
    """

    def __init__(self, store: Store, layout: Layout, device: torch.device) -> None:
        self._store = store
        self._free: queue.Queue[Slot] = queue.Queue()
        for _ in range(SLOTS):
            self._free.put(Slot(layout, device))
        self._filled: queue.Queue[Slot | None] = queue.Queue()
        self._failure: Exception | None = None
        self._broken = False
        self._unsettled = False
        self._may_overflow = layout.dtype == "fp16"
        self._thread = threading.Thread(target=self._work, name="trajectory", daemon=True)
        self._thread.start()

    def write(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Hand over the values of ``tensors``. Waits when two snapshots are still to be written."""
        slot = self._free.get()
        try:
            self._raise()
            slot.fill(step, tensors)
        except BaseException:
            self._free.put(slot)
            raise
        self._filled.put(slot)
        self._unsettled = True

    def settle(self) -> None:
        """Wait until all that was handed over is on the disk."""
        if self._unsettled:
            self._filled.join()
            self._raise()
            self._store.settle()
            self._unsettled = False

    def close(self) -> None:
        """Settle, and end the thread, even when settling fails."""
        try:
            self.settle()
        finally:
            self._filled.put(None)
            self._thread.join()
            self._store.close()

    def _work(self) -> None:
        while (slot := self._filled.get()) is not None:
            try:
                if not self._broken:
                    slot.wait()
                    self._look_for_overflow(slot)
                    self._store.append(slot.step, slot.host)
            except Exception as error:
                self._failure, self._broken = error, True
            finally:
                self._free.put(slot)
                self._filled.task_done()

    def _look_for_overflow(self, slot: Slot) -> None:
        """Said once: training has larger numbers than the type of the file."""
        if self._may_overflow and any(extreme.isinf() for extreme in slot.host.aminmax()):  # makes no copy
            self._may_overflow = False
            largest = torch.finfo(torch.float16).max
            text = "the weights of step %d go beyond %.0f, and are inf in fp16; trajectory.dtype=bf16 would hold them"
            log.warning(text, slot.step, largest)

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
