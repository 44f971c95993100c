"""``python -m runner archive RUN [--to FOLDER]``: keep a finished run, verified, under the next free number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.cli import argv as arguments
from runner.problem import Refused
from runner.results.manifest import read_json

USAGE = "python -m runner archive RUN [--to FOLDER]"


def main(argv: Sequence[str]) -> int:
    """Print where it is kept. Raises ``Refused`` for what is no completed run, and for a place that is not writable."""
    to, words = arguments.option(argv, "--to")
    if len(words) != 1 or words[0].startswith("-"):
        raise Refused([f"archive: takes the folder of one run; {USAGE}"])
    run = arguments.run_folder(words[0], verb="archive")
    if (run / "SHA256SUMS").is_file():
        raise Refused([f"archive {run}: is an archive already; copy it as it is"])
    state = read_json(run / "status.json").get("state", "unfinished")
    if state != "completed":
        raise Refused([f"archive {run}: is {state}; python -m runner resume {run} completes it"])
    from runner.afterwards.archiving import archive

    shelf, model, seed = _place(run, Path(to or "archive").expanduser())
    try:
        kept = archive(run, shelf, model=model, seed=seed)
    except OSError as error:
        text = f"{error.filename or shelf}: cannot be written: {error.strerror or error}"
        raise Refused([f"{text}; --to=<folder> keeps it elsewhere"]) from error
    print(f"archived: {kept}")
    return 0


def _place(run: Path, root: Path) -> tuple[Path, str, int]:
    """``root/<dataset>``, and the model and the seed of the run."""
    from omegaconf import OmegaConf

    from runner.config.naming import sanitised
    from runner.preflight.folder import load

    config, hydra = load(run / ".hydra" / "config.yaml"), load(run / ".hydra" / "hydra.yaml")
    if config is None or hydra is None:
        raise Refused([f"archive {run}: its .hydra/config.yaml or hydra.yaml cannot be read; the run must be whole"])
    choices = OmegaConf.select(hydra, "hydra.runtime.choices") or {}
    dataset, model = (
        sanitised(str(choices.get(group) or str(config[group].get("_target_", group)).rpartition(".")[2].lower()))
        for group in ("dataset", "model")
    )
    return root / dataset, model, config.seed
