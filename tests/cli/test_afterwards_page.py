"""What docs/afterwards.md says to type is what works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cli.finished import SEGMENTATION, train
from cli.terminal import Terminal
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "afterwards.md").read_text(encoding="utf-8")
SHORT = ["logger=[csv]", "trainer.steps=2", "trainer.batch_size=8", "trainer.workers=0"]
SMALL = ["model=mlp", "model.hidden=[8]", "debug.samples=40", *SHORT]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(terminal: Terminal) -> Path:
    """A folder with all that the page names."""
    train(terminal.folder / "RUN", SMALL)
    train(terminal.folder / "SECOND", [*SMALL, "seed=1"])
    train(terminal.folder / "MASKS", [*SEGMENTATION, *SHORT])
    for name in ("RUN", "SECOND"):
        terminal.runs("archive", name, "--to", "kept", small=False)
    first, second = sorted(Path("kept/digits").iterdir())
    first.rename("ARCHIVE")
    second.rename("OTHER_ARCHIVE")
    Path("IMAGES").mkdir()
    for name in ("cat.jpg", "dog.png", "IMAGES/1.png"):
        Image.new("L", (32, 32), 99).save(name)
    return terminal.folder


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's exporters warn of what is torch's own
def test_every_command_and_the_snippet(terminal: Terminal, place: Path) -> None:
    pytest.importorskip("onnxruntime")
    lines = "".join(blocks("console")).splitlines()
    assert len(lines) >= 13
    for line in lines:
        words = shlex.split(line.partition(" > ")[0].replace("/backup", str(place)))
        assert words[:3] == ["python", "-m", "runner"]
        arguments = ["MASKS" if word == "RUN" and "--tiles" in words else word for word in words[3:]]
        answer = terminal.runs(*arguments, small=False)
        assert (answer.status, answer.err) == (0, ""), (line, answer.err)
    for snippet in blocks("python"):
        exec(compile(snippet, "docs/afterwards.md", "exec"), {})
