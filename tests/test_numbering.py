"""Numbers that nobody shares, for folders that are claimed by being made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner import numbering

PROCESSES = 10


def claimed_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What ten get who have all looked before any of them claims: the worst that can happen. Threads ask as processes
    do.
    """
    together, look, first = threading.Barrier(PROCESSES, timeout=20), numbering.numbers, threading.local()

    def looks_and_waits(folder: Path, *, hidden: bool = True) -> list[int]:
        found = look(folder, hidden=hidden)
        if not hasattr(first, "done"):
            first.done = True
            together.wait()
        return found

    monkeypatch.setattr(numbering, "numbers", looks_and_waits)
    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(numbering.made, [root / "logs" / "lenet" / "version_{n}"] * PROCESSES))


def test_ten_at_once_get_ten_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = claimed_at_once(tmp_path, monkeypatch)
    assert sorted(folder.name for folder in claimed) == sorted(f"version_{number}" for number in range(1, 11))
    assert {folder.name for folder in (tmp_path / "logs" / "lenet").iterdir()} == {folder.name for folder in claimed}


def test_a_claim_that_shares_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails where a folder that is there is taken for a claim."""
    make = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", lambda folder, *_args, **_: make(folder, parents=True, exist_ok=True))
    assert len(set(claimed_at_once(tmp_path, monkeypatch))) < PROCESSES


@pytest.mark.parametrize(
    ("there", "following"),
    [
        ([], 1),
        (["version_1", "version_3"], 4),
        (["version_9", "version_10"], 11),
        (["version_2__kept", ".version_5", "version_x", "other_7"], 6),
    ],
)
def test_a_number_follows_the_largest(there: list[str], following: int, tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    folder = tmp_path / "version_{n}"
    assert numbering.foreseen(folder) == tmp_path / f"version_{following}"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(there)
    assert numbering.made(folder) == tmp_path / f"version_{following}"


def test_a_file_has_a_number_too(tmp_path: Path) -> None:
    (tmp_path / "version_1").write_text("not ours")
    assert numbering.made(tmp_path / "version_{n}").name == "version_2"
    assert (tmp_path / "version_1").read_text() == "not ours"


def test_what_stands_around_the_number_is_kept(tmp_path: Path) -> None:
    assert [numbering.made(tmp_path / "v{n}+a").name for _ in range(2)] == ["v1+a", "v2+a"]


def test_a_folder_without_a_number_is_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert numbering.foreseen(folder) == folder
    assert not folder.parent.exists()
    assert numbering.made(folder) == numbering.made(folder) == folder
    assert folder.is_dir()
