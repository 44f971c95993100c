"""Running again from a run's ``.hydra/``: its configuration as it was, with overrides on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.config.schema import GROUPS
from runner.durable import appearing
from runner.problem import Refused

NAME = "saved_run"


def is_saved_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "hydra.yaml").is_file()


def require(folder: Path) -> None:
    """Raises ``Refused`` when ``folder`` is not the ``.hydra/`` of a run."""
    if is_saved_run(folder):
        return
    remedy = f"to add groups of your own use --config-dir={folder}"
    if is_saved_run(folder / ".hydra"):
        remedy = f"use --config-path={folder / '.hydra'}"
    raise Refused([f"--config-path={folder}: is not the .hydra folder of a run; {remedy}"])


def refuse_as_config_dir(config_dir: str | None) -> None:
    """As ``--config-dir``, a saved run would be ignored and the default trained. Raises ``Refused``."""
    if config_dir is not None and is_saved_run(Path(config_dir)):
        text = f"--config-dir={config_dir}: is a saved run, and would be shadowed by the default configuration"
        raise Refused([f"{text}; use --config-path={config_dir} --config-name=config"])


def register(folder: Path, overrides: Sequence[str]) -> tuple[str, list[str]]:
    """Make the run's configuration known to Hydra under a name; that name, and the overrides for it.

    The saved values replace the shipped ones, whatever ``conf/`` has become since. A group that an override chooses
    anew is taken from ``conf/`` instead. Hydra's own settings (folders, sweeper, logging) are the shipped ones.
    """
    from hydra.core.config_store import ConfigStore

    from runner.preflight.folder import load

    content, saved = load(folder / "config.yaml"), load(folder / "hydra.yaml")
    if content is None or saved is None:
        raise Refused([f"--config-path={folder}: its config.yaml or hydra.yaml cannot be read; the run must be whole"])
    choices = dict(OmegaConf.select(saved, "hydra.runtime.choices") or {})
    given = [override.partition("=")[0] for override in overrides]
    for group in ("task", "experiment"):
        if group in given:
            text = f"{group}: brings other groups with it, which a saved run has already settled"
            raise Refused([f"{text}; start from the shipped configuration, without --config-path"])
    chosen = [group for group in given if group in GROUPS]
    for group in chosen:
        content.pop(group, None)
    node: dict[str, Any] = {
        "defaults": [
            "schema",
            *({group: choices.get(group)} for group in chosen),
            "_self_",
            *({"debug": None} for _ in range("debug" in given)),
            {"layout": "dated"},
            {"override hydra/sweeper": "runner"},
            {"override hydra/launcher": "pool"},
            {"override hydra/job_logging": "runner"},
            {"override hydra/hydra_logging": "runner"},
        ],
        **{str(key): value for key, value in content.items()},
        "hydra": {
            **_shipped_hydra(),
            "runtime": {"choices": {key: choices[key] for key in choices if key not in chosen}},
        },
    }
    ConfigStore.instance().store(name=NAME, node=OmegaConf.create(node))
    freed = ["trainer.steps=null"] if "trainer.epochs" in given and "trainer.steps" not in given else []
    return NAME, [*overrides, *freed]  # steps of the saved run would outrank the epochs that are asked for now


def write(folder: Path, cfg: DictConfig, hydra: DictConfig) -> None:
    """Keep a run's configuration in its ``.hydra/``, as Hydra would: but each file appears whole.

    A run that goes on keeps Hydra's settings of its start, and has its overrides added to those before.
    """
    kept = folder / ".hydra"
    kept.mkdir(exist_ok=True)
    overrides = unresolved(hydra.hydra.overrides.task)
    files = {"config.yaml": OmegaConf.to_yaml(cfg), "hydra.yaml": OmegaConf.to_yaml(hydra)}
    if is_saved_run(kept):
        if (kept / "overrides.yaml").is_file():
            overrides = [*unresolved(OmegaConf.load(kept / "overrides.yaml")), *overrides]
        del files["hydra.yaml"]
    files["overrides.yaml"] = OmegaConf.to_yaml(OmegaConf.create(overrides))
    for name, text in reversed(files.items()):  # config.yaml last: with it, there is a run
        with appearing(kept / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def unresolved(overrides: Any) -> list[str]:
    """A list of overrides as they were given: ``dataset.seed=${seed}`` is no interpolation of the list itself."""
    content = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(content, list)
    return [str(override) for override in content]


def _shipped_hydra() -> dict[str, Any]:
    from runner.config.conf_dir import conf_dir

    shipped = OmegaConf.load(conf_dir() / "config.yaml")
    assert isinstance(shipped, DictConfig)
    content = OmegaConf.to_container(shipped.hydra, resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
