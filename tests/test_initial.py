"""Weights of a file, and what data say, in the place of random ones."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import tiny
import torch
from begun import Begun
from cli.terminal import SMALL
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import composition, digest
from runner.checkpoint import FolderCheckpoints
from runner.config.conf_dir import conf_dir
from runner.config.schema import register
from runner.initial import fit, load, show_data, start_from
from runner.manner import Manner
from runner.run import run
from runner.state import State
from runner.tasks import Classification, Task
from runner.weights_file import UnusableWeights, WeightsFile

LOSS = {"loss": "min"}


def copied(task: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> list[str]:
    """The names under which both have the same bits."""
    return [name for name in left if name in right and torch.equal(left[name], right[name])]


def renamed(tensors: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {new + name.removeprefix(old): tensor for name, tensor in tensors.items()}


def of(tensors: Mapping[str, Tensor]) -> WeightsFile:
    return WeightsFile(Path("some.pt"), tensors)


def network(classes: int = 3) -> Task:
    return Classification(
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, classes)), nn.CrossEntropyLoss()
    )


NORM = ["model.1.weight", "model.1.bias", "model.1.running_mean", "model.1.running_var", "model.1.num_batches_tracked"]
HEAD = ["model.2.weight", "model.2.bias"]
NAMES = ["model.0.weight", "model.0.bias", *NORM, *HEAD]


@pytest.fixture(scope="module")
def small() -> Iterator[DictConfig]:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield compose("config", overrides=[*SMALL, "dataset.seed=5"])


class TestWhatDataSay:
    """The first weights of ``begun.Begun`` are the mean of the training images."""

    def begun(self, small: DictConfig, tmp_path: Path, **values: object) -> tuple[DictConfig, Path]:
        Begun.shown.clear()
        cfg, folder = small.copy(), tmp_path / "run"
        cfg.model = {"_target_": "begun.Begun"}
        for key, value in values.items():
            cfg[key] = value
        folder.mkdir()
        return cfg, folder

    def first(self, cfg: DictConfig) -> Task:
        """The task as it should stand at step 0."""
        made = composition.compose(cfg, device=tiny.CPU, state=State())
        (images,) = made.data.prepare.evaluate((torch.stack([row[0] for row in made.splits.train]),))  # type: ignore[attr-defined]
        with torch.no_grad():
            rows = made.session.task.get_parameter("model.layer.weight")
            rows.copy_(images.mean(0).flatten().expand_as(rows))
        return made.session.task

    @pytest.mark.slow
    def test_a_run_begins_with_it_and_records_it(self, small: DictConfig, tmp_path: Path) -> None:
        cfg, folder = self.begun(small, tmp_path)
        run(cfg, folder, name="run")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["initial_weights_sha256"] == digest.of_weights(self.first(cfg))
        assert len(Begun.shown) == 1

    @pytest.mark.slow
    def test_a_resumed_run_does_not_do_it_again(self, small: DictConfig, tmp_path: Path) -> None:
        cfg, folder = self.begun(small, tmp_path)
        run(cfg, folder, name="run", manner=Manner(until_steps=1))
        run(cfg, folder, name="run", manner=Manner(resume=True))
        assert len(Begun.shown) == 1

    @pytest.mark.slow
    def test_the_weights_of_a_file_win(self, small: DictConfig, tmp_path: Path) -> None:
        cfg, folder = self.begun(small, tmp_path, init_from=str(tmp_path / "zeros.pt"))
        task = self.first(cfg)
        zeros = {name: torch.zeros_like(tensor) for name, tensor in task.state_dict().items()}
        torch.save(zeros, tmp_path / "zeros.pt")
        task.load_state_dict(zeros)
        run(cfg, folder, name="run")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["initial_weights_sha256"] == digest.of_weights(task)

    @pytest.mark.slow
    def test_debug_determinism_begins_with_it_too(self, small: DictConfig, tmp_path: Path) -> None:
        cfg, folder = self.begun(small, tmp_path)
        cfg.debug.determinism = True
        run(cfg, folder, name="run")
        assert len(Begun.shown) > 1
        assert all(torch.equal(Begun.shown[0], images) for images in Begun.shown)

    def test_other_networks_are_shown_nothing(self) -> None:
        task = tiny.task_of("classification")
        before = copied(task)
        show_data(task, tiny.splits())
        assert same(before, task.state_dict()) == list(before)


class TestWhatIsLoaded:
    @pytest.mark.parametrize(
        ("kind", "best"),
        [
            ("classification", {}),
            ("reconstruction", {}),
            ("gan", {}),
            ("classification", LOSS),
            ("reconstruction", LOSS),
        ],
    )
    def test_a_model_started_from_a_run_scores_what_the_run_did(
        self, tmp_path: Path, kind: str, best: dict[str, str]
    ) -> None:
        source = tiny.session(kind, folder=tmp_path, best=best)
        source.train()
        task = tiny.task_of(kind, seed=1)
        facts = start_from(task, tmp_path)["init"]
        started = tiny.session(kind, task=task).evaluate("valid", 0)
        if not best:
            assert started == source.evaluate("valid", 0)
            assert facts["step"] == source.state.step
        else:
            assert started["valid/loss"] == source.state.best["valid/loss"]
        assert started != tiny.session(kind, seed=1).evaluate("valid", 0)

    def test_weights_and_buffers_are_those_of_the_file(self) -> None:
        source, task = copied(network()), network()
        source["model.1.running_mean"].fill_(3)
        source["model.1.num_batches_tracked"].fill_(9)
        load(task, fit(task, of(source)))
        assert same(copied(task), source) == NAMES

    def test_weights_keep_their_place_and_type(self) -> None:
        task = network().to(torch.bfloat16)
        before = {name: (tensor.data_ptr(), tensor.dtype) for name, tensor in task.state_dict().items()}
        load(task, fit(task, of(network().state_dict())))
        assert {name: (tensor.data_ptr(), tensor.dtype) for name, tensor in task.state_dict().items()} == before
        assert all(parameter.requires_grad for parameter in task.parameters())

    @pytest.mark.parametrize("old", ["", "model."], ids=["task", "network alone"])
    @pytest.mark.parametrize("prefix", [None, "module.", "model._orig_mod."])
    def test_a_prefix_and_the_name_of_the_only_network(self, prefix: str | None, old: str) -> None:
        source, task = network().state_dict(), network()
        load(task, fit(task, of(renamed(source, old, prefix or "")), prefix=prefix))
        assert same(copied(task), source) == NAMES

    def test_a_network_that_has_a_part_called_like_itself(self) -> None:
        """``model.0.weight`` in the file is ``model.model.0.weight`` here, though both begin alike."""
        inner = nn.Module()
        inner.model = nn.Sequential(nn.Linear(2, 2))
        task = Classification(inner, nn.CrossEntropyLoss())
        assert list(fit(task, of(inner.state_dict())).loaded) == ["model.model.0.weight", "model.model.0.bias"]

    def test_names_without_the_prefix_are_not_used(self) -> None:
        source = {**renamed(network().state_dict(), "model.", "encoder."), "decoder.weight": torch.zeros(1)}
        found = fit(network(), of(source), prefix="encoder.")
        assert found.unused == ("decoder.weight",)
        assert list(found.loaded) == NAMES

    @pytest.mark.parametrize(
        ("pattern", "classes", "loaded"),
        [
            ("model.0.*", 7, NAMES[:2]),
            ("-model.2.*", 7, NAMES[:-2]),
            ("*.bias", 3, [name for name in NAMES if name.endswith(".bias")]),
        ],
    )
    @pytest.mark.parametrize("old", ["", "model."], ids=["task", "network alone"])
    def test_a_pattern_leaves_the_others_random(self, pattern: str, classes: int, loaded: list[str], old: str) -> None:
        source, task = {name: tensor + 1 for name, tensor in network().state_dict().items()}, network(classes)
        before = copied(task)
        found = fit(task, of(renamed(source, old, "")), pattern=pattern)
        load(task, found)
        others = [name for name in NAMES if name not in loaded]
        assert same(copied(task), source) == loaded
        assert same(copied(task), before) == others
        assert (list(found.kept), sorted(found.unused)) == (others, sorted(others))

    def test_one_network_of_several_from_a_file_of_it_alone(self) -> None:
        source, task = copied(tiny.task_of("gan")), tiny.task_of("gan", seed=1)
        generator = {name: tensor for name, tensor in source.items() if name.startswith("generator.")}
        before = copied(task)
        load(task, fit(task, of(renamed(generator, "generator.", "")), pattern="generator.*"))
        expected = before | generator
        assert same(copied(task), expected) == list(expected)


class TestWhatDoesNotFit:
    def test_everything_at_once_and_nothing_is_loaded(self, tmp_path: Path) -> None:
        task = network()
        source = dict(network(classes=7).state_dict())
        del source["model.0.bias"]
        source["model.9.weight"] = torch.zeros(1)
        source["model.0.weight"] = source["model.0.weight"].to(torch.int8)
        torch.save(source, tmp_path / "x.pt")
        before = copied(task)
        with pytest.raises(UnusableWeights) as raised:
            start_from(task, tmp_path / "x.pt")
        assert raised.value.problem.text == (
            "does not fit the model; missing: model.0.bias; unexpected: model.9.weight; of another shape: "
            "model.2.weight (7, 5) instead of (3, 5), model.2.bias (7,) instead of (3,); "
            "of another type: model.0.weight torch.int8 instead of torch.float32"
        )
        assert same(copied(task), before) == NAMES

    @pytest.mark.parametrize(
        ("change", "remedy"),
        [
            (lambda w: renamed(w, "", "module."), "every name begins with 'module.': set init_prefix=module."),
            (lambda w: renamed(w, "model.", "_orig_mod."), "every name begins with '_orig_mod.': set init_prefix="),
            (
                lambda w: {**renamed(w, "model.", "net.encoder."), "net.decoder.weight": torch.zeros(1)},
                "the names that fit begin with 'net.encoder.': set init_prefix=net.encoder.",
            ),
            (
                lambda w: {**w, **{name: torch.zeros(7) for name in HEAD}},
                "set init_pattern=-model.2.* to let the others start at random",
            ),
            (lambda w: {**w, "model.9.weight": torch.zeros(1)}, "set init_pattern=* to leave them out"),
            (lambda w: {n: w[n] for n in NAMES[3:6]}, "set init_pattern=<glob> to let the others start at random"),
            (lambda _: {"a.b": torch.zeros(1)}, "it has a.b, the model model.0.weight, "),
            (lambda w: {name: torch.zeros(9) for name in w}, "fits no weight of the model; it has model.0.weight, "),
        ],
    )
    def test_the_remedy(self, change: object, remedy: str) -> None:
        assert callable(change)
        with pytest.raises(UnusableWeights, match=re.escape(remedy)):
            fit(network(), of(change(dict(network().state_dict()))))

    def test_the_remedy_helps(self) -> None:
        other = of(network(classes=7).state_dict())
        assert fit(network(), other, pattern="-model.2.*").kept == tuple(HEAD)
        more = of({**network().state_dict(), "model.9.weight": torch.zeros(1)})
        assert fit(network(), more, pattern="*").unused == ("model.9.weight",)

    def test_what_a_pattern_chooses_must_be_there(self) -> None:
        source = {name: tensor for name, tensor in network().state_dict().items() if name != "model.0.bias"}
        with pytest.raises(UnusableWeights, match=r"missing: model\.0\.bias;"):
            fit(network(), of(source), pattern="model.0.*")

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"prefix": "modle."}, "init_prefix=modle.: begins no name in some.pt; did you mean model.?"),
            ({"pattern": "fc.*"}, "init_pattern=fc.*: matches no weight of the model; there are: model.0.weight,"),
            ({"pattern": "-fc.*"}, "init_pattern=-fc.*: matches no weight of the model"),
            ({"pattern": "-*"}, "init_pattern=-*: matches all weights of the model"),
        ],
    )
    def test_a_prefix_or_pattern_that_chooses_nothing(self, asked: dict[str, str], message: str) -> None:
        with pytest.raises(UnusableWeights, match=re.escape(message)):
            fit(network(), of(network().state_dict()), **asked)


def test_the_report_says_what_fitted_and_the_manifest_gets_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept = FolderCheckpoints(tmp_path, {"task": network(classes=7)})
    kept.save(400)
    facts = start_from(network(), tmp_path, pattern="-model.2.*")
    assert caplog.messages == [
        f"7 of 9 weights from {kept.last} (step 400); 2 keep random values: model.2.weight, model.2.bias; "
        "2 of the file are not used: model.2.weight, model.2.bias"
    ]
    assert facts["init"].pop("report") == caplog.messages[0]
    assert facts == {
        "init": {
            "path": str(kept.last.resolve()),
            "sha256": hashlib.sha256(kept.last.read_bytes()).hexdigest(),
            "step": 400,
            "loaded": 7,
            "kept": HEAD,
            "unused": HEAD,
        }
    }


def test_a_file_of_others_has_no_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    torch.save(network().state_dict(), tmp_path / "x.pt")
    assert "step" not in start_from(network(), tmp_path / "x.pt")["init"]
    assert caplog.messages == [f"9 of 9 weights from {tmp_path / 'x.pt'}"]
