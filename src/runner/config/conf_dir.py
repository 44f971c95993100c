"""Where the shipped configuration is."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """The absolute ``conf/``: inside the package when installed from a wheel, beside ``src/`` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise ValueError(f"runner was installed without its conf/ folder (looked beside {package}); install it again")
