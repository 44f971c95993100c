"""The house: imports point down only, torch comes late, and nothing grows too long."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = sorted(SOURCE.glob("**/*.py"))

LAYERS = (
    {"problem", "batch", "plan", "state", "randomness", "precision", "ranks", "gradients", "numerics", "interrupt"}
    | {"digest", "durable", "lock", "manner", "redirect", "stopping", "averages", "tiles", "best_files"}
    | {"checksums", "drawing", "numbering"}
    | {"models", "losses", "optim", "metrics", "data"},
    {"tasks", "update", "checkpoint", "observers", "trajectory", "weights_file", "initial"},
    {"loop", "session", "standalone", "trace", "determinism"},
    {"run", "launch", "torchrun", "composition", "afterwards", "finding", "search", "sweep", "results"}
    | {"preflight", "config"},
    {"__main__", "cli", "hydra_plugins"},
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}
FRAMEWORKS = {"hydra", "omegaconf", "argparse", "hydra_plugins"}  # which layers 0 to 2 do without
LONGEST = {"runner.loop": 60}  # lines of a function that differ from the rule
TORCH_FREE = (
    "runner",
    "runner.checksums",
    "runner.lock",
    "runner.drawing",
    "runner.manner",
    "runner.numbering",
    "runner.problem",
    "runner.torchrun",
    "runner.afterwards.archiving",
    "runner.afterwards.shelf",
    "runner.afterwards.weights",
    "runner.cli.main",
    "runner.cli.app",
    "runner.cli.archive",
    "runner.cli.argv",
    "runner.cli.diff",
    "runner.cli.errors",
    "runner.cli.evaluate",
    "runner.cli.experiment",
    "runner.cli.export",
    "runner.cli.find_batch_size",
    "runner.cli.find_lr",
    "runner.cli.inspect",
    "runner.cli.predict",
    "runner.cli.report",
    "runner.cli.reproduce",
    "runner.cli.restored",
    "runner.cli.resume",
    "runner.cli.saved_run",
    "runner.cli.status",
    "runner.cli.sweeps",
    "runner.cli.trajectory",
    "runner.config.build",
    "runner.config.conf_dir",
    "runner.config.identity",
    "runner.config.naming",
    "runner.config.schema",
    "runner.data.source",
    "runner.data.sources",
    "runner.data.spec_record",
    "runner.data.vocabulary",
    "runner.finding.batch_size",
    "runner.finding.curve",
    "runner.observers.mlflow_tracker",
    "runner.observers.sending",
    "runner.observers.tracking",
    "runner.observers.wandb_tracker",
    "runner.preflight.check",
    "runner.preflight.finding",
    "runner.preflight.folder",
    "runner.preflight.initial",
    "runner.preflight.ranks",
    "runner.preflight.resume",
    "runner.preflight.settings",
    "runner.preflight.targets",
    "runner.results.comparison",
    "runner.results.manifest",
    "runner.results.phases",
    "runner.results.provenance",
    "runner.results.report",
    "runner.search.jobs",
    "runner.search.plan",
    "runner.search.pruning",
    "runner.search.space",
    "runner.search.study",
    "runner.sweep.by_joblib",
    "runner.sweep.by_ray",
    "runner.sweep.by_submitit",
    "runner.sweep.conduct",
    "runner.sweep.elsewhere",
    "runner.sweep.ending",
    "runner.sweep.errand",
    "runner.sweep.jobs",
    "runner.sweep.launching",
    "runner.sweep.ledger",
    "runner.sweep.pool",
    "runner.sweep.process",
    "runner.sweep.signals",
    "runner.sweep.slots",
    "runner.sweep.view",
    "runner.weights_file",
    "hydra_plugins.runner_plugins.optuna_sweeper",
    "hydra_plugins.runner_plugins.joblib_launcher",
    "hydra_plugins.runner_plugins.pool_launcher",
    "hydra_plugins.runner_plugins.ray_launcher",
    "hydra_plugins.runner_plugins.submitit_launcher",
    "hydra_plugins.runner_plugins.sweeper",
)


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Every source file, parsed, by the name of its module."""
    return {module_of(file): ast.parse(file.read_text()) for file in FILES}


def part_of(module: str) -> str | None:
    """``runner.data.order`` is in ``data``; None for what is not ours, and for the package's lazy front."""
    first, _, rest = module.partition(".")
    if first == "hydra_plugins":
        return first
    return rest.partition(".")[0] or None if first == "runner" else None


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that ``tree`` imports at any depth, but for those that only types need."""
    for node in ast.iter_child_nodes(tree):
        if only_for_types(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node)


def upward(module: str, tree: ast.AST) -> list[str]:
    """The imports of ``tree`` that point to a higher layer than that of ``module``."""
    own = part_of(module)
    if own is None:
        return []
    parts = {imported: part_of(imported) for imported in imports(tree)}
    return [imported for imported, part in parts.items() if part in LAYER_OF and LAYER_OF[part] > LAYER_OF[own]]


def test_imports_point_down_only() -> None:
    assert {name: wrong for name, tree in trees().items() if (wrong := upward(name, tree))} == {}


def test_an_import_that_points_up_is_found() -> None:
    wrong = ast.parse(
        "def f():\n    from runner.cli.main import main\nif TYPE_CHECKING:\n    from runner.loop import x"
    )
    assert upward("runner.models.mlp", wrong) == ["runner.cli.main.main"]


def test_every_part_has_a_layer() -> None:
    parts = {part_of(name) for name in trees()} - {None}
    assert parts <= set(LAYER_OF)


def test_the_lower_layers_know_no_framework() -> None:
    low = {name: tree for name, tree in trees().items() if (part := part_of(name)) and LAYER_OF[part] <= 2}
    known = {
        name: {imported.partition(".")[0] for imported in imports(tree)} & FRAMEWORKS for name, tree in low.items()
    }
    assert {name: frameworks for name, frameworks in known.items() if frameworks} == {}


def test_nothing_before_the_work_imports_torch() -> None:
    code = f"import sys, {', '.join(TORCH_FREE)}; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_configuration_becomes_objects_at_one_place() -> None:
    places = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module in ("hydra.utils", "hydra", "hydra._internal.instantiate._instantiate2")
        and any(alias.name in ("instantiate", "call") for alias in node.names)
    ]
    assert [place.partition(":")[0] for place in places] == ["runner.config.build"]
    build = ast.parse((SOURCE / "runner/config/build.py").read_text())
    calls = [
        node for node in ast.walk(build) if isinstance(node, ast.Call) and ast.unparse(node.func) == "hydra_instantiate"
    ]
    assert len(calls) == 1


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Of what a function does: signatures and docstrings may take the lines that they need."""
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    return node.body[1 if documented else 0].lineno


def test_nothing_grows_too_long() -> None:
    assert [module_of(file) for file in FILES if len(file.read_text().splitlines()) > 320] == []
    long = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or node.lineno) - first_line(node) >= LONGEST.get(name, 45)
    ]
    assert long == []


def test_modules_have_names_that_say_something() -> None:
    assert {file.stem for file in FILES} & {"utils", "util", "helpers", "helper", "common", "manager", "misc"} == set()
