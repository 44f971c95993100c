"""torch's optimizers without their guards for ``torch.compile``, which import its compiler: a second of a run's start.

The guards matter where an optimizer's own step is compiled. Here networks are, and optimizers never.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def eager(factory: Any) -> Callable[..., Optimizer]:
    """What makes the same optimizer as ``factory``, a class or a ``partial`` of one, with the same results.

    Only methods that torch itself has guarded are replaced; any other factory comes back as it is.
    """
    if isinstance(factory, functools.partial):
        return functools.partial(eager(factory.func), *factory.args, **factory.keywords)
    is_class = isinstance(factory, type) and issubclass(factory, Optimizer)
    made: Callable[..., Optimizer] = _unguarded(factory) if is_class else factory
    return made


@functools.cache
def _unguarded(kind: Any) -> Any:
    methods: dict[str, Any] = {
        name: inspect.unwrap(method) for name in GUARDED if _is_torchs(method := getattr(kind, name))
    }
    if _is_torchs(kind.step):
        methods["step"] = _stepping(inspect.unwrap(kind.step))
    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), methods | named)


def _is_torchs(method: Callable[..., Any]) -> bool:
    return method.__module__.startswith("torch.optim.") and hasattr(method, "__wrapped__")


def _stepping(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` recording gradients only where the optimizer was made ``differentiable``, as torch has it."""

    @functools.wraps(step)
    def stepped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return step(self, *args, **kwargs)

    return stepped
