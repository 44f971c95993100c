"""Several data sets as one: which are used, in what they must agree, and where their samples stand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from runner.data.data import Data
from runner.data.joined import Kept, joined
from runner.data.resident import Loadable, Resident
from runner.data.source import Arrays, Examples, Problem, Source, Spec, Splits
from runner.data.sources import Digits, Several, Synthetic
from runner.data.sources.image_folder import ImageFolder
from runner.data.streamed import Streamed
from runner.randomness import Randomness

SMALL = {"height": 4, "width": 4, "channels": 1, "train_size": 6, "valid_size": 3, "test_size": 2}
NEAR, FAR = Synthetic(**SMALL, seed=0), Synthetic(**SMALL | {"train_size": 4}, seed=1)  # type: ignore[arg-type]
SETS: dict[str, Source] = {"near": NEAR, "far": FAR}


@dataclass(frozen=True)
class Given:
    """A source that was loaded before."""

    splits: Splits
    files: list[str] = field(default_factory=list)

    @property
    def spec(self) -> Spec:
        spec = self.splits.spec
        assert isinstance(spec, Spec)
        return spec

    def problems(self) -> list[Problem]:
        return []

    def missing(self) -> list[str]:
        return self.files

    def load(self) -> Splits:
        return self.splits


class Files:
    """Examples that can be read once and kept."""

    def __init__(self, arrays: Arrays) -> None:
        self.held = arrays
        self.nbytes = sum(tensor.nbytes for tensor in arrays.tensors)

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.held[index]

    def arrays(self) -> Arrays:
        return self.held


class Unkept:
    """Examples that have to be read anew each time."""

    def __init__(self, arrays: Arrays) -> None:
        self.held = arrays

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.held[index]


def images(splits: Splits, part: str) -> Tensor:
    examples = getattr(splits, part)
    assert isinstance(examples, Arrays)
    return examples.tensors[0]


# --- what is loaded


def test_sets_stand_behind_each_other_in_the_parts_where_they_have_a_role() -> None:
    splits = Several(sets=SETS, train=["near", "far"], valid=["far"], order="alternated").load()
    near, far = NEAR.load(), FAR.load()
    sets = {role: list(sizes.items()) for role, sizes in splits.sets.items()}
    assert sets == {"train": [("near", 6), ("far", 4)], "valid": [("far", 3)], "test": [("far", 2), ("near", 2)]}
    assert torch.equal(images(splits, "train"), torch.cat([images(near, "train"), images(far, "train")]))
    assert torch.equal(images(splits, "valid"), images(far, "valid"))
    assert torch.equal(images(splits, "test"), torch.cat([images(far, "test"), images(near, "test")]))
    assert (splits.order, splits.spec, splits.class_names) == ("alternated", near.spec, near.class_names)


def test_statistics_are_those_of_the_first_training_set_unless_given() -> None:
    near, far = NEAR.load(), FAR.load()
    assert Several(sets=SETS, train=["near", "far"]).load().mean == near.mean != far.mean
    assert Several(sets=SETS).load().std == far.std
    given = Several(sets=SETS, mean=[0.5], std=[0.25]).load()
    assert (given.mean, given.std) == ((0.5,), (0.25,))


def test_the_digest_and_the_notes_know_each_set() -> None:
    splits = Several(sets=SETS, test=["near"]).load()
    assert splits.notes["order"] == "mixed"
    assert splits.notes["sets"]["far"]["sizes"] == {"train": 4, "valid": 3, "test": 0}
    assert splits.notes["sets"]["near"]["sha256"] == NEAR.load().digest
    assert splits.notes["sets"]["near"]["seed"] == 0
    others = [
        Several(sets={"near": FAR, "far": NEAR}),
        Several(sets=SETS, train=["near"], valid=["near"], test=["near"]),
    ]
    assert len({splits.digest, *(other.load().digest for other in others)}) == 3


def test_the_order_of_the_keys_of_a_configuration_changes_nothing() -> None:
    turned = dict(reversed(SETS.items()))
    one, other = Several(sets=SETS).load(), Several(sets=turned).load()
    assert one.digest == other.digest
    assert [list(sizes) for sizes in one.sets.values()] == [list(sizes) for sizes in other.sets.values()]


def test_a_part_without_samples_is_left_out() -> None:
    none = replace(tiny.splits(), test=Arrays(torch.zeros(0, 1, 6, 6, dtype=torch.uint8), torch.zeros(0).long()))
    splits = Several(sets={"near": Given(none), "far": Given(tiny.splits())}).load()
    assert splits.sets["test"] == {"far": 7}
    assert len(splits.test) == 7


def test_what_has_to_be_downloaded_is_asked_of_the_sets_that_are_used() -> None:
    sets = {name: Given(tiny.splits(), files=[f"{name}.gz"]) for name in ("near", "far", "unused")}
    used = ["near", "far"]
    assert Several(sets=sets, train=used, valid=used, test=used).missing() == ["far.gz", "near.gz"]
    assert Several(sets=SETS).missing() == []


# --- where examples are


def test_arrays_stay_arrays_and_files_that_can_be_kept_are_kept() -> None:
    one, two = (part.load().train for part in (NEAR, FAR))
    assert isinstance(one, Arrays)
    assert isinstance(two, Arrays)
    assert joined([one]) is one
    whole = joined([one, two])
    assert isinstance(whole, Arrays)
    kept = joined([one, Files(two)])
    assert isinstance(kept, Kept)
    assert isinstance(kept, Loadable)
    assert kept.nbytes == sum(tensor.nbytes for tensor in whole.tensors)
    unkept = joined([Unkept(one), two])
    assert not isinstance(unkept, Loadable)
    for examples in (kept, unkept, kept.arrays()):
        assert len(examples) == 10
        assert all(torch.equal(examples[place][0], whole.tensors[0][place]) for place in range(10))


def data(train: Examples | None = None, *, order: str = "alternated", **settings: Any) -> Data:
    splits = tiny.several(order)
    chosen = {"batch_size": 5, "eval_batch_size": 3, "randomness": Randomness(0), "device": tiny.CPU, **settings}
    return Data(splits if train is None else replace(splits, train=train), **chosen)


def numbered() -> Arrays:
    return Arrays(torch.zeros(22, 1, 1, 1, dtype=torch.uint8), torch.arange(22))


@pytest.mark.parametrize("settings", [{"resident": "device"}, {"resident": "never", "workers": 1}], ids=str)
def test_training_batches_are_those_of_the_order_wherever_the_data_are(settings: dict[str, Any]) -> None:
    subject = data(numbered(), **settings)
    batches = subject.train()
    labels = [batch[1] for batch in itertools.islice(batches, 10)]
    batches.close()
    assert [["near", "far"][int(batch[0] >= 13)] for batch in labels] == ["near", "far", "near", "far", "near"] * 2
    assert all(len({bool(label >= 13) for label in batch}) == 1 for batch in labels)
    assert [subject.samples_at(step) for step in range(5)] == [len(batch) for batch in labels[:5]] == [5, 5, 5, 4, 3]
    assert subject.steps_per_epoch == 5
    entered = subject.train(7)
    assert torch.equal(next(entered)[1], labels[7])
    entered.close()


@pytest.mark.parametrize("resident", ["device", "never"])
def test_a_set_of_a_part_is_its_samples_alone(resident: str) -> None:
    subject = data(resident=resident)
    assert isinstance(subject.feeds["valid"], Resident if resident == "device" else Streamed)
    whole = torch.cat([batch[1] for batch in subject.part("valid")])
    near, far = (torch.cat([batch[1] for batch in subject.part(f"valid/{name}")]) for name in ("near", "far"))
    assert torch.equal(torch.cat([near, far]), whole)
    assert [subject.size(name) for name in ("valid", "valid/near", "valid/far", "test/far")] == [7, 4, 3, 7]
    assert [len(batch[1]) for batch in subject.part("valid/near")] == [3, 1]


def test_the_fixed_sample_is_of_the_first_set() -> None:
    assert len(data(eval_batch_size=100).first("valid")[1]) == 4


# --- what is refused


def told(several: Several) -> dict[str, str]:
    return {problem.key: f"{problem.text}; {problem.remedy}" for problem in several.problems()}


def test_what_fits_has_no_problems() -> None:
    assert (
        Several(sets=SETS, train=["near"], valid=["far"], order="in_sequence", mean=[0.5], std=[0.2]).problems() == []
    )


def test_wrong_roles_order_and_statistics_are_told_at_once() -> None:
    found = told(
        Several(sets=SETS, train=[], valid=["near", "fra"], test=["far", "far"], order="random", mean=[1.0, 2.0, 3.0])
    )
    assert (
        found["train"] == "must name at least one set in a list, got []; set dataset.train=[far,near], or null for all"
    )
    assert found["valid"] == "there is no set fra; set dataset.valid=[far,near], or null for all"
    assert found["test"].startswith("names a set twice")
    assert found["order"].startswith("must be one of mixed, alternated, in_sequence, got 'random'; set dataset.order=")
    assert {"mean", "std"} <= set(found)


@pytest.mark.parametrize("role", ["near", 3])
def test_a_role_is_a_list(role: Any) -> None:
    several = Several(sets=SETS, train=role)
    assert told(several)["train"].startswith(f"must name at least one set in a list, got {role!r}")
    assert several.missing() == []


def test_no_sets_and_bad_names_are_told() -> None:
    assert told(Several())["sets"] == "names no data set; add each with +dataset@dataset.sets.<name>=<option>"
    with pytest.raises(ValueError, match=r"dataset\.sets names no data set"):
        _ = Several().spec
    assert list(told(Several(sets={"a/b": NEAR}))) == ["sets.a/b"]


def test_a_set_that_is_none_and_one_that_lacks_something_are_told_with_their_names() -> None:
    sets: Mapping[str, Any] = {
        "bare": {"image_size": 3},
        "far": replace(FAR, seed=-1),
        "photos": ImageFolder(root="no"),
    }
    found = told(Several(sets=sets))
    assert found["sets.bare"] == "has no _target_; choose one with +dataset@dataset.sets.bare=<option>"
    assert found["sets.far.seed"].endswith("set dataset.sets.far.seed=0")
    assert "sets.photos.root" in found


def test_sets_of_other_shapes_are_told_with_the_remedy() -> None:
    found = [
        problem.line()
        for problem in Several(sets={"digits": Digits(), "near": NEAR, "other": Digits(image_size=8)}).problems()
    ]
    assert len(found) == 2
    assert "has image_size [4, 4], but digits has [32, 32]" in found[0]
    assert found[0].endswith("give near and digits the same by their settings, or leave one of them out")
    assert found[1].endswith("set dataset.sets.other.image_size=[32,32]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"class_names": ("a", "b", "c")},
            r"other has other class names than first: \('a', 'b', 'c'\), not \('x', 'y', 'z'\)",
        ),
        ({"novel_classes": (1,)}, "other has other novel classes than first"),
        ({"notes": {"source_vocabulary": ["a"]}}, "other has other vocabularies than first"),
        ({"train": Arrays(torch.zeros(3, 1, 6, 6))}, "other has other kinds of tensors than first"),
        ({"spec": Spec(1, 6, 6, 4)}, "other has other shape than first"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_sets_that_mean_something_else_are_refused(change: dict[str, Any], message: str) -> None:
    near = replace(tiny.splits(), class_names=("x", "y", "z"))
    with pytest.raises(ValueError, match=message):
        Several(sets={"first": Given(near), "other": Given(replace(near, **change))}).load()


def test_class_names_may_be_unknown() -> None:
    near = replace(tiny.splits(), class_names=("x", "y", "z"))
    assert Several(sets={"far": Given(tiny.splits()), "near": Given(near)}).load().class_names == ("x", "y", "z")


def test_what_stops_a_set_while_it_is_loaded_is_told_with_its_name() -> None:
    class Broken(Given):
        def load(self) -> Splits:
            raise ValueError("dataset.root=x cannot be read")

    with pytest.raises(ValueError, match=r"far: dataset\.sets\.far\.root=x cannot be read"):
        Several(sets={"near": NEAR, "far": Broken(tiny.splits())}, valid=["far"]).load()
