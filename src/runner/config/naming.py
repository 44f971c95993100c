"""What a run's folder is called: ``<model>__<seed>``, and every other swept key after it. Free of torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

MAX_LENGTH = 120
UNSAFE = re.compile(r"[^A-Za-z0-9._=,+\[\]-]+")


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def sanitised(text: str) -> str:
    """``text`` as part of a file name on any system; a hash of the original follows when it had to be altered."""
    safe = UNSAFE.sub("-", text).strip(".- ")
    return safe if safe == text else f"{safe}-{short_hash(text)}"


def run_name(model: str, seed: int, swept: Mapping[str, str] | None = None) -> str:
    """The folder of a run: ``vgg16__0``, ``vgg16__0__optimizer.lr=0.1``.

    ``swept`` holds the keys, other than model and seed, whose values differ within a sweep.
    """
    parts = [sanitised(model), str(seed)]
    if swept:
        parts.append(sanitised(",".join(f"{key}={value}" for key, value in swept.items())))
    name = "__".join(parts)
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 9]}-{short_hash(name)}"


def swept_keys(jobs: Sequence[Mapping[str, str]]) -> list[str]:
    """The override keys whose values differ between jobs, in the order in which they were given."""
    keys = dict.fromkeys(key for job in jobs for key in job)
    return [key for key in keys if len({job.get(key) for job in jobs}) > 1]
