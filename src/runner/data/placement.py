"""Where the parts of a data set are kept while training: on the device, in the host's memory, or where they were."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from runner.data.augment import Augmentation
from runner.data.resident import Loadable, resident_fits
from runner.data.source import Arrays, Examples

RESIDENT = ("auto", "device", "host", "never")
HOST = torch.device("cpu")


def placed(
    parts: Mapping[str, Examples], device: torch.device, *, resident: str, augmentation: Augmentation
) -> dict[str, str]:
    """Each part's place: "device", "host", or "never" for one that is streamed. ``resident`` is one of ``RESIDENT``.

    "auto" is the first of these three that has the room. A per-example augmentation streams the training part. On the
    CPU the host is the device.
    """
    streamed = {"train"} if augmentation.per_example else set()
    kept = [examples for name, examples in parts.items() if name not in streamed]
    if resident == "auto":
        resident = "device" if resident_fits(kept, device) else "host" if resident_fits(kept, HOST) else "never"
    if resident == "host" and device.type == "cpu":
        resident = "device"
    return {name: "never" if name in streamed else resident for name in parts}


def check_resident(resident: str, augmentation: Augmentation) -> None:
    """Raises ``ValueError`` for a setting that means nothing, or that ``augmentation`` does not allow."""
    if resident not in RESIDENT:
        meant = "; set trainer.resident=device" if resident == "always" else ""  # its name while there was one place
        raise ValueError(f"trainer.resident must be one of {', '.join(RESIDENT)}, got {resident!r}{meant}")
    if resident in ("device", "host") and augmentation.per_example:
        raise ValueError(
            f"{type(augmentation).__name__} changes one image at a time and needs streamed data, "
            f"got trainer.resident={resident}; set trainer.resident=auto"
        )


def whole(examples: Examples) -> Arrays:
    """The examples as tensors. Raises ``ValueError`` for those that have to be read anew each time."""
    if isinstance(examples, Arrays):
        return examples
    if isinstance(examples, Loadable):
        return examples.arrays()
    raise ValueError(
        f"{type(examples).__name__} has to be read anew each time and cannot be held in memory whole; "
        "set trainer.resident=auto"
    )
