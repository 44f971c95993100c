"""Which parameters an optimizer treats alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from runner.optim.eager import eager
from runner.optim.ending import TRAINED_FOR
from runner.optim.kernels import fused_where_possible, keep_own_kernels

_NORMALISATION = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def build_optimizer(
    factory: Callable[..., Optimizer],
    module: nn.Module,
    *,
    groups: Mapping[str, Mapping[str, Any]],
    decay_norms_and_biases: bool,
    thaws: Mapping[str, object] | None = None,
) -> Optimizer:
    """``factory`` over the ``parameter_groups`` of ``module``; on a GPU fused, where that was left open.

    Raises ``ValueError`` where ``parameter_groups`` does, and for a group that sets what the optimizer does
    not have: torch would keep such a key and ignore it.
    """
    divided = parameter_groups(module, groups=groups, decay_norms_and_biases=decay_norms_and_biases, thaws=thaws)
    optimizer = keep_own_kernels(eager(factory)(divided, **fused_where_possible(factory, module)))
    for pattern, overrides in groups.items():
        for key in overrides:
            if key not in optimizer.defaults and key not in TRAINED_FOR:
                raise ValueError(
                    f"optimizer.groups[{pattern!r}] sets {key}, which {type(optimizer).__name__} lacks; "
                    f"it has {', '.join((*optimizer.defaults, *TRAINED_FOR))}"
                )
    return optimizer


def parameter_groups(
    module: nn.Module,
    *,
    groups: Mapping[str, Mapping[str, Any]],
    decay_norms_and_biases: bool,
    thaws: Mapping[str, object] | None = None,
) -> list[dict[str, Any]]:
    """The trainable parameters of ``module`` as torch optimizers take them.

    ``groups`` maps glob patterns of parameter names to optimizer arguments for those parameters, and to how long
    they are trained (see ``ending``); the first pattern that matches wins. Without ``decay_norms_and_biases`` biases
    and the parameters of normalisation layers get ``weight_decay`` 0, unless a pattern sets it. The parameters that no
    pattern names come first. ``thaws`` says of frozen parameters when they thaw (see ``freezing``): those that differ
    in it are groups apart, for torch's fused SGD takes all parameters of a group to have begun in the same step.
    Raises ``ValueError`` for a pattern that takes no parameter, and when nothing is to be trained.
    """
    names = [name for name, _ in module.named_parameters()]
    owners = {name: next((p for p in groups if fnmatchcase(name, p)), None) for name in names}
    for pattern in groups:
        if pattern not in owners.values():
            raise ValueError(_unmatched(pattern, names, groups))
    exempt = set() if decay_norms_and_biases else norms_and_biases(module)
    thaws = thaws or {}
    ordered: dict[tuple[str | None, bool, str], dict[str, Any]] = {}
    for owner in (None, *groups):
        for undecayed in (False, True):
            for thaw in ("", *dict.fromkeys(map(str, thaws.values()))):
                ordered[owner, undecayed, thaw] = {"params": [], **_arguments(groups, owner, undecayed=undecayed)}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            ordered[owners[name], name in exempt, str(thaws.get(name, ""))]["params"].append(parameter)
    filled = [group for group in ordered.values() if group["params"]]
    if not filled:
        raise ValueError(f"{type(module).__name__} has nothing to train: no parameter of it requires a gradient")
    return filled


def _arguments(groups: Mapping[str, Mapping[str, Any]], owner: str | None, *, undecayed: bool) -> dict[str, Any]:
    overrides = {} if owner is None else dict(groups[owner])
    return {"weight_decay": 0.0, **overrides} if undecayed else overrides


def norms_and_biases(module: nn.Module) -> set[str]:
    """Names of biases (also ``in_proj_bias``) and of what normalising layers own, known by type or name."""
    found = set()
    for prefix, child in module.named_modules():
        norm = isinstance(child, _NORMALISATION) or "norm" in type(child).__name__.lower()
        for name, _ in child.named_parameters(prefix=prefix, recurse=False):
            if norm or "bias" in name.rpartition(".")[2]:
                found.add(name)
    return found


def _unmatched(pattern: str, names: list[str], groups: Mapping[str, Mapping[str, Any]]) -> str:
    if any(fnmatchcase(name, pattern) for name in names):
        earlier = ", ".join(list(groups)[: list(groups).index(pattern)])
        return f"optimizer.groups[{pattern!r}] is left no parameter: {earlier} come first; put it before"
    return f"optimizer.groups[{pattern!r}] matches no parameter; {closest_names(pattern, names)}"


def closest_names(pattern: str, names: Sequence[str]) -> str:
    """A hint for a glob that matches none of ``names``, with names and with what begins as some of them."""
    prefixes = {f"{name.rsplit('.', depth)[0]}.*" for name in names for depth in range(1, name.count(".") + 1)}
    close = difflib.get_close_matches(pattern, [*names, *sorted(prefixes)], n=3, cutoff=0.3)
    return f"the closest names are {', '.join(close or names[:3]) or 'none'}"
