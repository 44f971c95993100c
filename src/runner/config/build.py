"""The composition root: the one place where configuration becomes objects. Below it there is none."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    import torch
    from torch import nn

    from runner.data.augment import Augmentation
    from runner.data.source import AnySpec, Source, Splits
    from runner.metrics import Metrics
    from runner.observers.observer import Observer
    from runner.optim import Frozen, Scheduler
    from runner.plan import Plan
    from runner.ranks import Ranked
    from runner.stopping import Stopping
    from runner.tasks.task import Task

OPTIMIZER_SETTINGS = ("groups", "decay_norms_and_biases")  # ours, not arguments of the optimizer's target
RATE, FIND = "optimizer.lr", "find"  # the word asks for the value that a range test suggests
STAND_IN_LR = 1e-3


def instantiate(node: Any, /, *args: Any, **facts: Any) -> Any:
    """Build what ``node`` describes. Of ``facts`` it gets those that its target's signature names and it does not set.

    The target is called here and not by Hydra, so objects pass as they are and errors come out as they were raised.
    """
    settings = plain(node)
    known = signature(settings["_target_"])
    given = {name: fact for name, fact in facts.items() if name in known and name not in settings}
    return deferred(settings)(*args, **given)


def deferred(settings: Mapping[str, Any]) -> Callable[..., Any]:
    """The target with its settings bound, not called yet."""
    from hydra.utils import instantiate as hydra_instantiate

    made: Callable[..., Any] = hydra_instantiate({**settings, "_partial_": True}, _convert_="all")
    return made


def signature(target: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a target by name; none for a builtin that does not tell."""
    from hydra.utils import get_object

    try:
        return inspect.signature(get_object(target)).parameters
    except (TypeError, ValueError):
        return {}


def plain(node: Any) -> dict[str, Any]:
    """A configuration node as a plain dict, interpolations resolved."""
    content = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def finds_rate(cfg: DictConfig) -> bool:
    """Whether the run looks for its learning rate before it trains."""
    return isinstance(cfg.optimizer, DictConfig) and bool(cfg.optimizer.get("lr") == FIND)


def with_values(cfg: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """A copy that has other values, or new ones, at dotted keys."""
    changed = copy.deepcopy(cfg)
    with read_write(changed), open_dict(changed):
        for key, value in values.items():
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
    return changed


def tentative(cfg: DictConfig) -> DictConfig:
    """With a number in the place of ``find``: all can be built from it, but nothing trained."""
    return with_values(cfg, {RATE: STAND_IN_LR}) if finds_rate(cfg) else cfg


def build_source(dataset: Any) -> Source:
    source: Source = instantiate(dataset)
    return source


def load_splits(cfg: DictConfig) -> Splits:
    """The loaded data set, cut as ``debug`` says. The last one is kept: jobs over the same data load it once."""
    from runner.data.subset import first_samples

    splits = _load_splits(json.dumps(plain(cfg.dataset), sort_keys=True))
    if cfg.debug.samples is None:
        return splits
    return first_samples(splits, cfg.debug.samples, train_only=cfg.debug.train_only)


@functools.lru_cache(maxsize=1)
def _load_splits(dataset: str) -> Splits:
    return build_source(json.loads(dataset)).load()


def build_model(cfg: DictConfig, spec: AnySpec) -> nn.Module:
    """The model, adapted to the data and to what the task makes of its output; on the default device.

    Raises ``ValueError`` for one that has to know what these data do not tell.
    """
    facts = _facts(cfg, spec)
    unknown = [name for name in _needed(plain(cfg.model)) if name not in facts]
    if unknown:
        target = cfg.model["_target_"].rpartition(".")[2]
        raise ValueError(
            f"{target} needs {', '.join(unknown)}, which the data do not tell: they are {spec.kind}; "
            f"set model=<one for {spec.kind}>, or dataset=<others>"
        )
    model: nn.Module = instantiate(cfg.model, **facts)
    return model


def build_loss(cfg: DictConfig, spec: AnySpec) -> nn.Module:
    loss: nn.Module = instantiate(cfg.loss, **_facts(cfg, spec))
    return loss


def kinds_of(cfg: DictConfig) -> tuple[str, ...]:
    """The kinds of examples that the task can learn from; none where it does not say."""
    from hydra.utils import get_object

    return tuple(getattr(get_object(cfg.task["_target_"]), "examples", ()))


def suitable(cfg: DictConfig, spec: AnySpec) -> AnySpec:
    """``spec``. Raises ``ValueError`` where the data are of a kind that the task does not learn from."""
    kinds = kinds_of(cfg)
    if kinds and spec.kind not in kinds:
        target = cfg.task["_target_"].rpartition(".")[2]
        learnt = " or ".join(kinds)
        raise ValueError(f"{target} learns from {learnt}, but the data are {spec.kind}; set dataset=<one of them>")
    return spec


def build_task(cfg: DictConfig, model: nn.Module, loss: nn.Module, splits: Splits) -> Task:
    task: Task = instantiate(cfg.task, model=model, loss=loss, **splits.facts())
    return task


def _facts(cfg: DictConfig, spec: AnySpec) -> dict[str, Any]:
    from hydra.utils import get_object

    return {**spec.facts(), "output": getattr(get_object(cfg.task["_target_"]), "output", "classes")}


def _needed(settings: Mapping[str, Any]) -> list[str]:
    """The arguments that the target cannot do without and the settings do not give."""
    known = {} if "_args_" in settings else signature(settings["_target_"])
    return [
        name
        for name, parameter in known.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.default is parameter.empty
        and name not in settings
    ]


def build_optimizers(cfg: DictConfig, task: Task) -> dict[str, torch.optim.Optimizer]:
    """One optimizer for each network; ``optimizer`` is one description for all of them, or one under each's name.

    Raises ``ValueError`` for a network without a description.
    """
    from runner.optim import build_optimizer, thaw_epochs

    built, thaws = {}, thaw_epochs(task, frozen_until(cfg))
    for name, network in task.networks().items():
        node = cfg.optimizer if "_target_" in cfg.optimizer else cfg.optimizer.get(name)
        if node is None:
            raise ValueError(
                f"optimizer has no entry for the network {name!r}; add optimizer.{name}, or one _target_ for all"
            )
        settings = plain(node)
        ours = {key: settings.pop(key) for key in OPTIMIZER_SETTINGS if key in settings}
        built[name] = build_optimizer(
            deferred(settings),
            network,
            groups=ours.get("groups") or {},
            decay_norms_and_biases=ours.get("decay_norms_and_biases", True),
            thaws={key.removeprefix(f"{name}."): epoch for key, epoch in thaws.items() if key.startswith(f"{name}.")},
        )
    return built


def scheduler_factory(cfg: DictConfig, plan: Plan) -> Callable[[torch.optim.Optimizer], Scheduler]:
    """Makes the schedule of an optimizer: of its rate and its momentum, and of what is trained for a while only."""
    from runner.optim import ending

    def schedule(optimizer: torch.optim.Optimizer) -> Scheduler:
        rate = build_schedule(cfg, optimizer, plan)
        return ending(build_momentum(cfg, rate, optimizer, plan), optimizer, plan=plan)

    return schedule


def build_schedule(cfg: DictConfig, optimizer: torch.optim.Optimizer, plan: Plan) -> Scheduler:
    """That of the learning rate; a bare torch scheduler advances once a step."""
    from runner.optim import wrap

    built = instantiate(cfg.scheduler, optimizer, plan=plan)
    made: Scheduler = built if hasattr(built, "evaluated") else wrap(built)
    return made


def build_momentum(cfg: DictConfig, schedule: Scheduler, optimizer: torch.optim.Optimizer, plan: Plan) -> Scheduler:
    """``schedule``, which also moves the momentum where that is asked for."""
    from runner.optim import with_momentum

    if cfg.get("momentum") is None:
        return schedule
    return with_momentum(schedule, optimizer, instantiate(cfg.momentum, plan=plan), plan=plan)


def build_frozen(cfg: DictConfig, task: Task, plan: Plan) -> Frozen:
    from runner.optim import Freezing, NothingFrozen

    until = frozen_until(cfg)
    return Freezing(task, until, plan=plan) if until else NothingFrozen()


def frozen_until(cfg: DictConfig) -> dict[str, Any]:
    """By pattern of names the epoch at which parameters thaw, None for never; empty where all are trained."""
    return plain(cfg.get("freeze") or {})


def build_metrics(cfg: DictConfig, splits: Splits, ranks: Ranked | None = None) -> Metrics:
    from runner.metrics import Metrics

    built = {name: instantiate(node, **splits.measured()) for name, node in cfg.metrics.items()}
    return Metrics(built, ranks=ranks)


def build_stopping(cfg: DictConfig) -> dict[str, Stopping]:
    return {str(name): instantiate(node) for name, node in (cfg.stopping or {}).items() if node is not None}


def build_augmentation(cfg: DictConfig) -> Augmentation:
    from runner.data.augment import checked

    return checked(instantiate(cfg.augmentation))


def build_observers(cfg: DictConfig) -> list[Observer]:
    built = [instantiate(node) for node in (cfg.logger or {}).values() if node is not None]
    built.sort(key=lambda observer: getattr(observer, "sends_files", False))  # last: the others have written theirs
    return built if cfg.trajectory is None else [*built, instantiate(cfg.trajectory)]


def flat(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """``{"optimizer.lr": 0.1}``: leaves by dotted key, for hparams and for telling configurations apart."""
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            found[prefix] = value

    walk("", plain(cfg))
    return found
