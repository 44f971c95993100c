"""What git tells of the code of a run."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.results import checkouts

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def checkout(folder: Path) -> Path:
    """A repository on branch ``main`` with a committed ``model.py``."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "model.py").write_text("width = 8\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean checkout to stand in."""
    root = checkout(tmp_path / "code")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def seen(run: Path, package: Path | None = None) -> dict[str, Any]:
    return checkouts.seen(run, package=package)


def test_a_clean_checkout_is_its_commit(code: Path, run: Path) -> None:
    (code / "sub").mkdir()
    assert seen(run, code / "sub") == {
        "git": [
            {
                "name": "code",
                "commit": git(code, "rev-parse", "HEAD"),
                "branch": "main",
                "dirty": False,
                "diff": None,
                "diff_sha256": None,
                "untracked": [],
            }
        ]
    }
    assert list(run.iterdir()) == []


def test_the_diff_of_a_dirty_one_brings_its_code_back(code: Path, run: Path) -> None:
    (code / "model.py").write_text("width = 9\n")
    (code / "new.py").write_text("")
    (entry,) = seen(run)["git"]
    saved = run / "code.diff"
    assert (entry["dirty"], entry["diff"], entry["untracked"]) == (True, "code.diff", ["new.py"])
    assert entry["diff_sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    git(code, "checkout", "-q", "model.py")
    git(code, "apply", str(saved))
    assert (code / "model.py").read_text() == "width = 9\n"


def test_code_counts_as_it_was_when_the_process_began(code: Path, run: Path) -> None:
    first = seen(run)
    (code / "model.py").write_text("width = 9\n")
    assert seen(run) == first


def test_a_diff_is_never_replaced_by_another(code: Path, run: Path) -> None:
    (code / "model.py").write_text("width = 9\n")
    (run / "code.diff").write_text("of the session before")
    assert seen(run)["git"][0]["diff"] == "code.2.diff"
    assert seen(run)["git"][0]["diff"] == "code.2.diff"  # the same again needs no third
    assert (run / "code.diff").read_text() == "of the session before"


def test_a_large_diff_is_cut_and_says_so(code: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkouts, "DIFF_LIMIT_BYTES", 1000)
    (code / "model.py").write_text("".join(f"line = {number}\n" for number in range(200)))
    (entry,) = seen(run)["git"]
    kept = (run / "code.diff").read_text()
    whole = git(code, "diff", "HEAD", *checkouts.DIFF_FORM) + "\n"
    assert entry["diff_truncated"]
    assert entry["diff_sha256"] == hashlib.sha256(whole.encode()).hexdigest()
    assert len(kept) <= 1000
    *lines, last = kept.splitlines()
    assert whole.startswith("\n".join(lines) + "\n")
    assert last == f"# cut here: the whole has {len(whole)} bytes, more than the 1000 that are kept"


def test_the_package_and_the_current_folder_may_lie_in_two(tmp_path: Path, code: Path, run: Path) -> None:
    other = checkout(tmp_path / "package")
    for root in (code, other):
        (root / "model.py").write_text(f"width = '{root.name}'\n")
    entries = seen(run, other)["git"]
    assert [(entry["name"], entry["diff"]) for entry in entries] == [("package", "code.diff"), ("code", "code.2.diff")]
    assert "+width = 'code'" in (run / "code.2.diff").read_text()


def test_without_a_repository_there_is_a_note(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    assert seen(run) == {"git": [], "note": "no git repository"}


def test_a_folder_that_was_removed_is_in_none(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert seen(run)["git"] == []


def test_before_the_first_commit_there_is_none(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "empty")
    monkeypatch.chdir(tmp_path / "empty")
    Path("model.py").touch()
    git(tmp_path / "empty", "add", ".")
    (entry,) = seen(run)["git"]
    assert (entry["commit"], entry["branch"], entry["dirty"], entry["diff"]) == (None, "main", True, None)


def test_a_detached_head_has_no_branch(code: Path, run: Path) -> None:
    git(code, "checkout", "-q", "--detach")
    (entry,) = seen(run)["git"]
    assert (entry["branch"], entry["commit"]) == (None, git(code, "rev-parse", "HEAD"))


def test_many_untracked_files_are_counted(code: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkouts, "UNTRACKED_SHOWN", 2)
    for name in ("a", "b c", "ä", "d"):
        (code / name).touch()
    (entry,) = seen(run)["git"]
    assert (entry["untracked"], entry["untracked_left_out"]) == (["a", "b c"], 2)


def test_a_broken_repository_is_not_taken_for_the_one_around_it(
    code: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "broken" / ".git").mkdir(parents=True)
    monkeypatch.chdir(code / "broken")
    found = seen(run)
    assert found["git"] == []
    assert found["note"].startswith("broken: not a git repository")


def test_git_looks_where_the_code_is_and_not_where_the_environment_says(
    tmp_path: Path, code: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(checkout(tmp_path / "other") / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    (code / "new.py").touch()
    assert seen(run)["git"][0]["untracked"] == ["new.py"]


def test_settings_of_a_user_change_no_digest_and_run_nothing(tmp_path: Path, run: Path) -> None:
    found = []
    for name, settings in (("plain", {}), ("own", {"diff.noprefix": "true", "color.ui": "always"})):
        root = checkout(tmp_path / name)
        for key, value in {**settings, **({"diff.external": "touch ran"} if settings else {})}.items():
            git(root, "config", key, value)
        (root / "model.py").write_text("width = 9\n")
        found.append(seen(run, root)["git"][0]["diff_sha256"])
        assert not (root / "ran").exists()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("script", "note"),
    [
        (None, "git cannot be run: [Errno 2] No such file or directory: 'git'"),
        ("echo 'fatal: detected dubious ownership in repository' >&2; exit 128", "detected dubious ownership in repos"),
        ("exec /bin/sleep 60", "git took more than 0.1 s"),
    ],
)
def test_trouble_with_git_is_a_note(
    code: Path, run: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, note: str
) -> None:
    programs = run / "programs"
    programs.mkdir()
    if script is not None:
        (programs / "git").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(checkouts, "GIT_LIMIT_S", 0.1 if script and "sleep" in script else 10)
    found = seen(run)
    assert found["git"] == []
    assert found["note"].startswith(f"{code.name}: {note}")
