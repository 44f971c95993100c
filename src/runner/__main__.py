"""``python -m runner`` and the console script ``runner``."""

import sys

from runner.cli.main import main as _main


def main() -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(_main())


if __name__ == "__main__":
    main()
