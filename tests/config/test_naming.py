"""What a run's folder is called."""

from __future__ import annotations

import pytest

from runner.config.naming import MAX_LENGTH, run_name, sanitised, swept_keys


@pytest.mark.parametrize("text", ["vgg16", "lr=0.1", "a,b=[1,2]", "x_y-z"])
def test_what_is_safe_stays_as_it_is(text: str) -> None:
    assert sanitised(text) == text


@pytest.mark.parametrize("text", ["a/b", "../x", "a b", "ä", "C:\\x", "a'b", "trailing.", "{x:1}", "a*b", "\n"])
def test_what_is_not_safe_is_replaced_and_hashed(text: str) -> None:
    safe = sanitised(text)
    assert safe != text
    assert safe.isascii()
    assert set("/\\:*?\"'<>| {}\n").isdisjoint(safe)
    assert not safe.startswith(".")
    assert sanitised(text + "x") != safe


def test_names() -> None:
    assert run_name("vgg16", 0) == "vgg16__0"
    assert run_name("vgg16", -1, {}) == "vgg16__-1"
    assert run_name("vgg16", 0, {"lr": "0.1", "optimizer": "sgd"}) == "vgg16__0__lr=0.1,optimizer=sgd"


def test_long_names_are_cut_and_stay_apart() -> None:
    names = [run_name("m", 0, {"key": "v" * 300 + end}) for end in "ab"]
    assert names[0] != names[1]
    assert {len(name) for name in names} == {MAX_LENGTH}


def test_swept_keys_are_those_whose_values_differ() -> None:
    jobs = [{"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2"}]
    assert swept_keys(jobs) == ["b", "c"]
    assert swept_keys([{"a": "1"}]) == []
