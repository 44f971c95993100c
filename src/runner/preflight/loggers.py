"""Whether those who look on can be made, and what they say themselves stands against them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.config import build
from runner.problem import Checked, Problem


def logger_problems(name: str, node: Any, *, elsewhere: bool) -> list[Problem]:
    """What a server, a login or a package that is not there does to ``logger.<name>``. Raises as its target does."""
    observer = build.instantiate(node)
    found = observer.problems(elsewhere=elsewhere) if isinstance(observer, Checked) else ()
    return [replace(problem, key=f"logger.{name}.{problem.key}".rstrip(".")) for problem in found]
