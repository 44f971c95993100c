"""``python -m runner`` and the console script ``runner``."""

import gc
import sys

from runner.cli.main import main as _main


def main() -> None:
    """Run the command line and leave with its exit status."""
    gc.disable()  # until work begins: what is imported is no garbage, and looking takes a tenth of the time
    sys.exit(_main())


if __name__ == "__main__":
    main()
