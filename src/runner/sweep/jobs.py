"""From the overrides of a sweep to jobs with folders of their own. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from runner.config.naming import run_name, swept_keys
from runner.problem import Refused

NAMED = ("model", "seed")  # stand at the front of every name


def as_mapping(overrides: Sequence[str]) -> dict[str, str]:
    """``["model=vgg16", "+a.b=1"]`` as {"model": "vgg16", "a.b": "1"}; Hydra's own settings are left out."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs if not key.startswith("hydra.") and not key.startswith("hydra/")}


def job_names(jobs: Sequence[Sequence[str]], models: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """The folder of each job: ``<model>__<seed>`` and the other swept keys, shortened where that is unambiguous.

    Raises ``Refused`` when two jobs would share a folder, upper and lower case being the same on some systems.
    """
    mappings = [as_mapping(job) for job in jobs]
    keys = [key for key in swept_keys(mappings) if key not in NAMED]
    short = shortened(keys)
    names = [
        run_name(model, seed, {short[key]: mapping[key] for key in keys if key in mapping})
        for mapping, model, seed in zip(mappings, models, seeds, strict=True)
    ]
    shared = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if shared:
        raise Refused(
            [f"hydra.sweep.dir: two jobs would share the folder {name}; sweep no value twice" for name in shared]
        )
    return names


def shortened(keys: Sequence[str]) -> Mapping[str, str]:
    """``optimizer.lr`` becomes ``lr`` unless another swept key ends alike."""
    ends = Counter(key.rpartition(".")[2] for key in keys)
    return {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in keys}
