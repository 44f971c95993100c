"""A finished run, named on a command line: its folder, and its configuration with overrides on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from runner.afterwards.weights import refuse_damaged
from runner.cli import argv as arguments
from runner.problem import Refused


@dataclass(frozen=True)
class Restored:
    """``choices`` are the options of its groups by group: {"model": "vgg16"}; ``overrides`` are those of this command.

    ``folder`` is that of a run or of an archive.
    """

    folder: Path
    cfg: DictConfig
    choices: Mapping[str, str]
    overrides: Sequence[str]

    def changes(self, key: str) -> bool:
        """Whether an override sets it; of a group: chooses another option, or sets a value in it."""
        keys = [word.lstrip("+~").partition("=")[0] for word in self.overrides]
        return any(one == key or one.startswith(f"{key}.") for one in keys)

    def settings(self, checkpoint: str) -> dict[str, bool]:
        """For ``evaluate``: whether data are others, whose normalisation they get, and whether weights are final."""
        own = self.changes("dataset.mean") or self.changes("dataset.std")
        return {"other_data": self.changes("dataset"), "normalise_as_run": not own, "final": checkpoint == "last"}


def setting(argv: Sequence[str], key: str, *, default: str) -> tuple[str, list[str]]:
    """The value of ``key=VALUE``, which is none of the configuration's, and the words without it."""
    values = [word.partition("=")[2] for word in argv if word.startswith(f"{key}=")]
    if len(values) > 1 or not all(values):
        raise Refused([f"{key}={','.join(values)}: takes one value"])
    return values[0] if values else default, [word for word in argv if not word.startswith(f"{key}=")]


def restore(argv: Sequence[str], *, verb: str) -> Restored:
    """Read ``RUN [key=value ...]``. Raises ``Refused`` for what is no run, and for what does not compose."""
    from runner.cli import app, saved_run
    from runner.cli.compose import composed
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    command = arguments.of_hydra(argv)
    folder = arguments.of_run(command, verb=verb)
    refuse_damaged(folder)
    given = list(command.args.overrides)
    register()
    name, overrides = saved_run.register(folder / ".hydra", command.args.overrides)
    with app.configured(command.args, str(conf_dir())) as hydra:
        cfg = composed(lambda some: hydra.compose_config(name, list(some), run_mode=RunMode.RUN), overrides)
    choices = {str(group): str(option) for group, option in cfg.hydra.runtime.choices.items() if option is not None}
    with read_write(cfg), open_dict(cfg):
        del cfg["hydra"]
    return Restored(folder, cfg, choices, given)
