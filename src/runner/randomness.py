"""Every random draw is a function of (seed, purpose, counters), so nothing random is ever stored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Randomness:
    """The source of all random numbers of one run.

    A key is the first 63 bits of BLAKE2b over the seed, the purpose and the counters: a counter-based
    generator in the manner of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
    Draws for one purpose do not shift when another purpose draws more or fewer.
    """

    seed: int
    place: tuple[int, ...] = ()  # the rank of a process that is not the first of several

    def of_rank(self, rank: int) -> Randomness:
        """The same, but for ``reseed``: what networks draw for the rows of one rank is no other rank's."""
        return replace(self, place=(rank,) if rank else ())

    def key(self, purpose: str, *counters: int) -> int:
        """The integer in [0, 2**63) that belongs to ``purpose`` at ``counters`` (an epoch, a step, a position)."""
        text = "|".join((str(self.seed), purpose, *map(str, counters)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def generator(self, purpose: str, *counters: int) -> torch.Generator:
        """A fresh CPU generator that stands where ``purpose`` and ``counters`` say."""
        return torch.Generator().manual_seed(self.key(purpose, *counters))

    def reseed(self, purpose: str, step: int) -> None:
        """Put torch's default generators where ``purpose`` at ``step`` begins: dropout and noise draw from them.

        ``torch.manual_seed`` would visit every device type (74 µs); this visits the devices in use (1–3 µs).
        """
        key = self.key(purpose, step, *self.place)
        torch.default_generator.manual_seed(key)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for generator in torch.cuda.default_generators:
                generator.manual_seed(key)
        if torch.backends.mps.is_available():
            torch.mps.manual_seed(key)

    def seed_process(self) -> None:
        """Seed Python's, numpy's and torch's global generators, before anything of the run is built."""
        key = self.key("process")
        random.seed(key)
        np.random.seed(key % 2**32)
        torch.manual_seed(key)


class ProcessGenerators:
    """Python's and numpy's global generators, for a checkpoint to keep.

    They are seeded once a run and not at each step: that would cost 17 µs, 3.5 % of the smallest model's step. Nothing
    of ours draws from them, but a user's task may.
    """

    def state_dict(self) -> dict[str, Any]:
        version, words, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        return {
            "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
            "numpy": {
                "name": name,
                "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
                "position": int(position),
                "has_gauss": int(has_gauss),
                "cached": float(cached),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        python, numpy = state["python"], state["numpy"]
        random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
        keys = numpy["keys"].numpy().astype(np.uint32)
        np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
