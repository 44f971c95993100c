"""A run again from its ``.hydra/``, as it was and with changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli.terminal import SMALL, Terminal, close_logs
from omegaconf import OmegaConf

from runner.cli.main import main

SAVED = ["--config-path", "run/.hydra", "--config-name", "config"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with settings of its own."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    settings = [f"hydra.run.dir={folder}", "seed=7", "optimizer.lr=0.03", "optimizer.groups={layers.1.*:{lr:0.02}}"]
    assert main([*SMALL, *settings]) == 0
    close_logs()
    return folder


@pytest.fixture
def saved(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal in whose folder that run lies."""
    shutil.copytree(kept, terminal.folder / "run")
    return terminal


def config(terminal: Terminal, *arguments: str) -> object:
    return OmegaConf.create(terminal.trains(*SAVED, "--cfg", "job", *arguments, small=False).out)


def test_the_same_run_gives_the_same_bits(saved: Terminal) -> None:
    saved.trains(*SAVED, "hydra.run.dir=again", small=False)
    first, again = saved.manifest("run"), saved.manifest("again")
    for key in ("config_digest", "weights_sha256", "metrics", "seed"):
        assert first[key] == again[key]
    saved.trains("--config-path", "again/.hydra", "hydra.run.dir=third", small=False)
    assert saved.manifest("third")["weights_sha256"] == first["weights_sha256"]


@pytest.mark.slow
def test_it_gets_a_folder_of_its_own_with_the_name_of_its_model(saved: Terminal) -> None:
    saved.trains(*SAVED, small=False)
    (run,) = (saved.folder / "outputs").glob("*/*/*")
    assert run.name == "mlp__7"


@pytest.mark.slow
def test_overrides_come_on_top(saved: Terminal) -> None:
    saved.trains(*SAVED, "seed=0", "optimizer.lr=0.5", "hydra.run.dir=other", small=False)
    cfg = OmegaConf.load(saved.folder / "other/.hydra/config.yaml")
    assert (cfg.seed, cfg.optimizer.lr, cfg.model.hidden) == (0, 0.5, [4])


@pytest.mark.slow
def test_a_group_can_be_chosen_anew(saved: Terminal) -> None:
    cfg = config(saved, "optimizer=SGD", "model=vgg11", "metrics=[f1]")
    assert cfg.optimizer._target_ == "torch.optim.SGD"  # type: ignore[attr-defined]
    assert cfg.optimizer.lr == 0.05  # type: ignore[attr-defined]
    assert "layers.1.*" not in cfg.optimizer.groups  # type: ignore[attr-defined]
    assert cfg.model == {"_target_": "runner.models.VGG", "depth": 11, "dropout": 0.0}  # type: ignore[attr-defined]
    assert list(cfg.metrics) == ["f1"]  # type: ignore[attr-defined]
    assert cfg.dataset.height == 8  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_debug_option_goes_on_top(saved: Terminal) -> None:
    cfg = config(saved, "debug=one_batch")
    assert OmegaConf.select(cfg, "debug.steps") == 1  # type: ignore[arg-type]
    assert OmegaConf.select(cfg, "seed") == 7  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["task=reconstruction", "experiment=digits_resnet18_small"])
def test_an_option_that_brings_others_with_it_is_refused(saved: Terminal, option: str) -> None:
    answer = saved.runs(*SAVED, option, small=False)
    assert answer.status == 2
    assert "brings other groups with it" in answer.err


@pytest.mark.slow
def test_it_can_be_swept(saved: Terminal) -> None:
    saved.trains(*SAVED, "seed=7,8", "-m", "hydra.sweep.dir=sweep", small=False)
    assert saved.manifest("sweep/mlp__7")["weights_sha256"] == saved.manifest("run")["weights_sha256"]
    assert saved.manifest("sweep/mlp__8")["weights_sha256"] != saved.manifest("run")["weights_sha256"]


@pytest.mark.slow
def test_mistakes_are_told_as_for_any_run(saved: Terminal) -> None:
    (message,) = saved.runs(*SAVED, "optimizer.lrr=1", small=False).messages
    assert message == "optimizer.lrr: there is no such setting; did you mean optimizer.lr?"
    (message,) = saved.runs(*SAVED, "optimizer=adm", small=False).messages
    assert "did you mean adam?" in message


def test_the_wrong_flag_is_refused_and_the_right_one_named(saved: Terminal) -> None:
    answer = saved.runs("--config-dir", "run/.hydra", small=False)
    assert answer.status == 2
    assert "use --config-path=run/.hydra" in answer.messages[0]


def test_a_folder_that_is_no_run_is_refused(saved: Terminal) -> None:
    (saved.folder / "empty").mkdir()
    answer = saved.runs("--config-path", str(Path("empty")), small=False)
    assert answer.status == 2
    assert "is not the .hydra folder of a run" in answer.messages[0]
    answer = saved.runs("--config-path", "run", small=False)
    assert "run/.hydra" in answer.messages[0]
