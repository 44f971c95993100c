"""What stands against telling a tracker, found before work starts."""

from __future__ import annotations

import functools
import importlib.util
import re
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from runner.problem import Problem

CONNECT_S = 2.0


def missing_package(package: str) -> Iterator[Problem]:
    """The extra has the package's name. A folder of that name, which wandb leaves behind, is no package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        remedy = f"install runner[{package}], or leave {package} out of logger"
        yield Problem("", None, f"needs the package {package}", remedy)


def named(logger: str, **names: str | None) -> None:
    """Raises ``ValueError`` for a name that is empty; None is none given."""
    for key, name in names.items():
        if name is not None and not name.strip():
            raise ValueError(f"logger.{logger}.{key} must not be empty; set logger.{logger}.{key}=<name>")


def without_password(setting: str, address: str, *, remedy: str) -> None:
    """Raises ``ValueError`` for an address with a password, without telling it: configurations are kept in files."""
    if urllib.parse.urlsplit(address).password is not None or re.search(r"//[^/@\s]*:[^/@\s]*@", address):
        masked = re.sub(r"//.*@", "//***@", address)
        raise ValueError(
            f"{setting} must not hold a password, got {masked}; leave it out, and {remedy} in the environment"
        )


def of_server(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def host_and_port(setting: str, address: str) -> tuple[str, int]:
    """Raises ``ValueError`` where there is none, without telling what may be a password with a character of its own."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = None, 0
    if not host:
        raise ValueError(f"{setting} names no server, or no port that is a number; set it to http://<host>:<port>")
    return host, port


def unanswered(key: str, setting: str, address: str, *, remedy: str) -> Iterator[Problem]:
    """A server that nobody can be reached at. Raises ``ValueError`` as ``host_and_port``."""
    host, port = host_and_port(setting, address)
    refusal = _refusal(host, port, int(time.monotonic() / 30))
    if refusal:
        shown = f"{address.partition(':')[0]}://{host}:{port}"
        yield Problem(key, shown, f"no server answers there ({refusal})", remedy)


@functools.lru_cache(maxsize=8)
def _refusal(host: str, port: int, half_minute: int) -> str:  # noqa: ARG001
    """Why no connection can be made; kept for half a minute, for the jobs of a sweep ask the same."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def unusable_database(key: str, address: str) -> Iterator[Problem]:
    """One in a folder that does not exist, and a folder."""
    path = address.removeprefix("sqlite:///")
    if path != address and not Path(path).parent.is_dir():
        yield Problem(key, address, f"there is no folder {Path(path).parent}", "make it, or choose another")
    elif path != address and Path(path).is_dir():
        yield Problem(key, address, f"{path} is a folder", f"name a file: sqlite:///{path.rstrip('/')}/mlflow.db")
