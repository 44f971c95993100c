"""From a command line to an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from runner import torchrun
from runner.cli import argv as arguments
from runner.cli.errors import reported
from runner.problem import Refused

VERBS = (
    "archive",
    "check",
    "diff",
    "evaluate",
    "experiment",
    "export",
    "find-batch-size",
    "find-lr",
    "inspect",
    "predict",
    "report",
    "reproduce",
    "resume",
    "status",
    "trajectory",
)  # each a module beside this one, with underscores


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 completed, 1 failed, 2 refused before anything was started, 130 interrupted."""
    if argv is not None:
        sys.argv[1:] = argv  # what a manifest records
    if torchrun.rank() > 0:
        return reported(lambda: torchrun.told(torchrun.follow))
    if torchrun.world_size() > 1:
        return torchrun.lead(lambda: reported(lambda: _main(sys.argv[1:])))
    return reported(lambda: _main(sys.argv[1:]))


def _main(argv: list[str]) -> int:
    if argv and arguments.is_verb(argv[0]):
        return _verb(argv[0], argv[1:])
    if "--version" in argv:
        import importlib.metadata

        print(f"runner {importlib.metadata.version('runner')}")
        return 0
    return train(argv)


def _verb(name: str, argv: Sequence[str]) -> int:
    if name not in VERBS:
        from runner.config.schema import EXTRA_GROUPS, GROUPS
        from runner.preflight.settings import closest

        remedy = closest(name, [*VERBS, *GROUPS, *EXTRA_GROUPS])
        raise Refused([f"{name}: is neither a verb nor an override like model=vgg16; {remedy}".rstrip("; ")])
    if {"-h", "--help"} & set(argv):
        from runner.cli.help import USAGE

        print(USAGE)
        return 0
    status: int = import_module(f"runner.cli.{name.replace('-', '_')}").main(argv)
    return status


def train(argv: Sequence[str], *, check_only: bool = False) -> int:
    """Train one run, or a sweep with ``-m``; or only check it."""
    from runner.cli import app, saved_run
    from runner.cli.help import help_text
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    command = arguments.of_hydra(argv)
    if command.args.help:
        print(help_text(command.options))
        return 0
    register()
    args = command.args
    saved_run.refuse_as_config_dir(args.config_dir)
    config_name = args.config_name or "config"
    if args.config_path is not None:
        saved_run.require(Path(args.config_path))
        if config_name != "config":
            raise Refused([f"--config-name={config_name}: a saved run's configuration is called config"])
        config_name, args.overrides = saved_run.register(Path(args.config_path), args.overrides)
    return app.start(args, command.parser, conf_dir=str(conf_dir()), config_name=config_name, check_only=check_only)
