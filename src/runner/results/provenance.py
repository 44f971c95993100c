"""Where a result comes from: the machine, the packages and the code, as far as they can change its bits.

Free of torch: what only torch knows is told when torch is loaded already.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from runner.results import checkouts

PACKAGES = (
    *("runner", "torch", "torchvision", "torchmetrics", "timm", "hydra-core", "omegaconf"),
    *("numpy", "pillow", "scikit-learn"),
)

SWITCHES = (
    *("OMP_*", "GOMP_*", "KMP_*", "MKL_*", "MKLDNN_*", "ONEDNN_*", "DNNL_*", "OPENBLAS_*", "BLIS_*", "VECLIB_*"),
    *("ATEN_CPU_CAPABILITY", "NPY_*", "GLIBC_TUNABLES", "PYTHONHASHSEED"),  # which instructions; the order of sets
    *("CUBLAS_*", "CUBLASLT_*", "CUDNN_*", "NVIDIA_TF32_OVERRIDE", "NCCL_ALGO", "NCCL_PROTO"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_DEVICE_MAX_CONNECTIONS"),
    *("PYTORCH_*", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_*", "TORCH_CUDNN_*", "TORCH_LINALG_*"),
    *("TORCHDYNAMO_*", "TORCHINDUCTOR_*", "TORCH_COMPILE_*", "TRITON_*"),
)
"""Patterns of the environment variables that change which arithmetic is done, and in which order."""

NO_SWITCHES = (
    *("TOKEN", "SECRET", "PASSWORD", "CREDENTIALS", "AUTH", "KEY", "URL", "URI", "REDIS", "REMOTE"),
    *("CACHE", "DIR", "PATH", "FILE", "LOGS"),
)
"""Words in a name that keep it out whatever its beginning: they open doors, or say where files lie."""

DRIVER_VERSION = re.compile(r"\b\d{3,}(\.\d+)+\b")
ANSWER_LIMIT_S = 10


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, hardware and switches that can change the bits of a result on ``device``.

    A GPU is asked for its name only when ``device`` is one: looking would take memory on it. What cannot be found
    out is left out.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        **_torch_facts(device),
        "versions": {package: version for package in PACKAGES if (version := _version(package))},
        "switches": switches(os.environ),
    }


def switches(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of ``variables`` that are set and change numerics, sorted by name."""
    return {name: variables[name] for name in sorted(variables) if is_switch(name)}


def is_switch(name: str) -> bool:
    """Whether an environment variable of this name changes numerics and is safe to write down."""
    if set(name.split("_")) & set(NO_SWITCHES):
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SWITCHES)


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _cpu_model() -> str:
    model = _cpuinfo_model() if sys.platform != "darwin" else _answer("sysctl", "-n", "machdep.cpu.brand_string")
    return model or platform.processor() or platform.machine()


def _cpuinfo_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        with info.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:  # the first core speaks for all: reading on is slow on large machines
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    return ""


def _torch_facts(device: str) -> dict[str, Any]:
    if "torch" not in sys.modules:
        return {}
    import torch

    facts = {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "cuda": torch.version.cuda}
    if device.startswith("cuda") and torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(device), "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
        if driver := _driver():
            facts["driver"] = driver
    return facts


@functools.cache
def _driver() -> str:
    """Version of the NVIDIA driver; empty when nothing tells it."""
    told = Path("/proc/driver/nvidia/version")
    text = told.read_text(encoding="utf-8", errors="replace") if told.is_file() else ""
    text = text or _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    found = DRIVER_VERSION.search(text)
    return found.group() if found else ""


def _answer(*command: str) -> str:
    """What a command prints; empty when it is absent, fails or is slow."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def code(folder: Path) -> dict[str, Any]:
    """The code that runs: what ``checkouts.seen`` says of git, and the digest of each source file in ``modules``.

    Diffs of dirty checkouts are saved in ``folder``.
    """
    package = Path(__file__).resolve().parents[1]
    loaded = modules()
    return {
        **checkouts.seen(folder, package=None if _is_installed(str(package)) else package),
        "modules_sha256": modules_digest(loaded),
        "modules": loaded,
    }


_DIGESTS: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
STDLIB = f"{Path(os.__file__).parent}{os.sep}"


def modules() -> dict[str, str]:
    """SHA-256 of the source file of every loaded module that is the user's or ours, by the module's name.

    Left out are the standard library, what is installed in site-packages (``versions`` tells that) but for this
    package, ``__main__`` (``argv`` tells how the process was started), and what has no file of its own. A file is
    read once for each time it was loaded: an edit while a run trains is no part of the code that runs.
    """
    found = {}
    for name in list(sys.modules):
        module = sys.modules.get(name)
        if isinstance(module, ModuleType):
            file = vars(module).get("__file__")  # not getattr: a module may load more when it is asked
            if isinstance(file, str) and _counts(name, file):
                found[name] = _digest(module, file)
    return {name: found[name] for name in sorted(found) if found[name]}


def modules_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 over names and digests of modules."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


@functools.cache
def _counts(name: str, file: str) -> bool:
    if name in ("__main__", "__mp_main__"):
        return False
    if name == "runner" or name.startswith(("runner.", "hydra_plugins.runner_plugins")):
        return True
    return not (file.startswith(STDLIB) or _is_installed(file)) and Path(file).is_absolute()


def _is_installed(file: str) -> bool:
    return f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file


def _digest(module: ModuleType, file: str) -> str:
    """Empty when the file cannot be read: one inside of a zip, or removed since."""
    if module not in _DIGESTS:
        try:
            _DIGESTS[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:
            return ""
    return _DIGESTS[module]
