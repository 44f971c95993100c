"""Jobs by Ray: each is a task that supervises the job's process on a machine of the cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.problem import Refused
from runner.sweep.elsewhere import Gone
from runner.sweep.ending import Ending
from runner.sweep.errand import Errand


class ByRay:
    """``options`` are those of ``ray.remote``: ``num_cpus``, ``num_gpus``, ``resources``, ``max_retries``."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    def submit(self, errands: Sequence[Errand]) -> Sequence[Any]:
        import ray

        remote = ray.remote(**self._options)(supervise)
        return [remote.remote(errand) for errand in errands]

    def ending(self, ticket: Any) -> Ending | None:
        import ray

        ended, _ = ray.wait([ticket], timeout=0)
        if not ended:
            return None
        try:
            ending: Ending = ray.get(ticket)
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            raise Gone(f"Ray: {type(error).__name__}{': ' * bool(lines)}{''.join(lines[-1:])}") from error
        return ending

    def stop(self, tickets: Sequence[Any]) -> None:
        import ray

        for ticket in tickets:
            ray.cancel(ticket)

    kill = stop  # the second time


def supervise(errand: Errand) -> Ending:
    """In Ray's process: ``ray.cancel`` is a Ctrl-C to it."""
    return errand.run()


@contextlib.contextmanager
def connected(address: str | None, init: Mapping[str, Any], *, cpus: float, gpus: float) -> Iterator[None]:
    """A cluster with a machine that has room for a job; one that is started here ends here.

    Raises ``Refused`` when it cannot be reached, and when a job would wait for ever.
    """
    import ray

    if ray.is_initialized():
        _refuse_small(cpus, gpus)
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, **init)
    except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
        remedy = "see hydra.launcher.address and hydra.launcher.init"
        raise Refused([f"hydra/launcher=ray: {str(error).strip().splitlines()[0]}; {remedy}"]) from error
    try:
        _refuse_small(cpus, gpus)
        yield
    finally:
        ray.shutdown()


def _refuse_small(cpus: float, gpus: float) -> None:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    there = [(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in nodes if node["Alive"]]
    if not any(has_cpus >= cpus and has_gpus >= gpus for has_cpus, has_gpus in there):
        has = "; ".join(f"{has_cpus:g} CPUs and {has_gpus:g} GPUs" for has_cpus, has_gpus in there)
        raise Refused(
            [
                f"hydra/launcher=ray: a job asks for {cpus:g} CPUs and {gpus:g} GPUs, and no machine of the cluster has"
                f" them ({has}); set hydra.launcher.num_cpus or hydra.launcher.num_gpus"
            ]
        )
