"""From a command line to an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from runner.cli import argv as arguments
from runner.cli.errors import reported
from runner.problem import Refused


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 completed, 1 failed, 2 refused before anything was started, 130 interrupted."""
    if argv is not None:
        sys.argv[1:] = argv  # what a manifest records
    return reported(lambda: _main(sys.argv[1:]))


def _main(argv: list[str]) -> int:
    if argv and arguments.is_verb(argv[0]):
        from runner.config.schema import GROUPS
        from runner.preflight.settings import closest

        raise Refused(
            [f"{argv[0]}: is neither a verb nor an override like model=vgg16; {closest(argv[0], GROUPS)}".rstrip("; ")]
        )
    if "--version" in argv:
        import importlib.metadata

        print(f"runner {importlib.metadata.version('runner')}")
        return 0
    return train(argv)


def train(argv: Sequence[str]) -> int:
    """Train one run, or a sweep with ``-m``."""
    from hydra._internal.utils import get_args_parser

    from runner.cli import app, saved_run
    from runner.cli.help import help_text
    from runner.config.conf_dir import conf_dir
    from runner.config.schema import register

    parser = get_args_parser()
    args = arguments.parse(parser, argv)
    folders = [conf_dir(), *([Path(args.config_dir)] if args.config_dir else [])]
    options = arguments.group_options(folders)
    if args.help:
        print(help_text(options))
        return 0
    register()
    args.overrides = arguments.normalised(args.overrides, options)
    saved_run.refuse_as_config_dir(args.config_dir)
    config_name = args.config_name or "config"
    if args.config_path is not None:
        saved_run.require(Path(args.config_path))
        if config_name != "config":
            raise Refused([f"--config-name={config_name}: a saved run's configuration is called config"])
        config_name, args.overrides = saved_run.register(Path(args.config_path), args.overrides)
    return app.start(args, parser, conf_dir=str(conf_dir()), config_name=config_name)
