"""A run that is described and checked on a command line, and never started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, open_dict, read_write

from runner.cli import argv as arguments
from runner.problem import Refused

if TYPE_CHECKING:
    import torch

PLACE = "outputs/${{now:%Y-%m-%d}}/${{now:%H-%M-%S-%f}}/{verb}__${{hydra:runtime.choices.model}}__${{seed}}"


def candidate(argv: Sequence[str], *, verb: str, one: str, fixed: Sequence[str] = ()) -> tuple[DictConfig, Path]:
    """The configuration that ``argv`` and then ``fixed`` describe, and a folder for what ``verb`` finds.

    Raises ``Refused`` for all that a run would be refused for, and for flags; for ``-m`` with ``one``, what to do
    instead.
    """
    from runner.cli import app
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    command = arguments.of_hydra(argv)
    if command.args.multirun:
        raise Refused([f"-m: {verb} looks at one run; {one}"])
    arguments.refuse_flags(command.args, verb=verb)
    register()
    place = f"hydra.run.dir='{PLACE.format(verb=verb.replace('-', '_'))}'"
    with app.configured(command.args, str(conf_dir())) as hydra:
        cfg, folder = app.checked(hydra, "config", [place, *command.args.overrides, *fixed])
    with read_write(cfg), open_dict(cfg):
        del cfg["hydra"]
    return cfg, folder


@contextmanager
def on_device(cfg: DictConfig) -> Iterator[torch.device]:
    """The device of the run, with the numerics of the run."""
    from runner.numerics import numerics, resolve_device

    trainer = cfg.trainer
    device = resolve_device(trainer.device)
    with numerics(device, threads=trainer.threads, tf32=trainer.tf32, deterministic=trainer.deterministic):
        yield device


def numbers(argv: Sequence[str], defaults: dict[str, float]) -> tuple[dict[str, float], list[str]]:
    """The values of ``key=NUMBER`` that are a verb's own, of the type of their defaults, and the other words."""
    from runner.cli.restored import setting

    words, values = list(argv), {}
    for key, default in defaults.items():
        text, words = setting(words, key, default=str(default))
        try:
            values[key] = type(default)(text)
        except ValueError:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise Refused([f"{key}={text}: must be {kind}; set {key}={default:g}"]) from None
    return values, words
