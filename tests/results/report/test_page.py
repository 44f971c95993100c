"""The page: it needs nothing but itself, and is what a browser shows."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from results.report.recorded_sweep import config, write_job, write_ledger

from runner.results.report.findings import find
from runner.results.report.gather import gathered
from runner.results.report.page import page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SVG = (
    '<?xml version="1.0"?>\n<svg width="100pt" height="50pt" viewBox="0 0 100 50" xmlns="http://www.w3.org/2000/svg">'
    '<metadata>x</metadata><path d="M 0 0 L 9 9" style="stroke: #262626"/></svg>\n'
)


def written(sweep: Path, *, out: Path | None = None) -> str:
    findings = find(gathered([sweep]), title="a <b> & c")
    return page(findings, {"Learning curves": [SVG]}, out=out or sweep)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """lenet: 0.7; mlp: nan; vgg16: 0.9 and one that failed, with markup in its reason."""
    write_job(tmp_path, "lenet", 0, accuracy=0.7)
    write_job(tmp_path, "mlp", 0, accuracy=float("nan"), valid=0.5)
    write_job(tmp_path, "vgg16", 0, accuracy=0.9)
    write_job(tmp_path, "vgg16", 1, state="failed", reason="<script>alert(1)</script>", step=3)
    write_ledger(tmp_path, [("vgg16__2", config("vgg16", 2), {"model": "vgg16"})])
    return tmp_path


class Tags(HTMLParser):
    """Which elements are open at the end, and every attribute that there was."""

    VOID = ("meta", "path", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_well_formed_and_escaped(sweep: Path) -> None:
    text = written(sweep)
    assert Tags(text).open == []
    assert "<title>a &lt;b&gt; &amp; c</title>" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.count("<script") == 1


def test_it_fetches_nothing(sweep: Path) -> None:
    text = written(sweep)
    assert "default-src 'none'" in text
    attributes = Tags(text).attributes
    assert not [value for name, value in attributes if name in ("src", "srcset", "action")]
    links = [value for name, value in attributes if name == "href"]
    assert not [link for link in links if ":" in link]
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text


def test_it_links_to_each_run_that_has_a_folder(sweep: Path, tmp_path: Path) -> None:
    (sweep / "lenet__0").rename(sweep / "lenet__0__lr=0.1,p=50%#")
    links = [value for name, value in Tags(written(sweep)).attributes if name == "href"]
    assert {"mlp__0/", "vgg16__1/", "lenet__0__lr%3D0.1%2Cp%3D50%25%23/"} <= set(links)
    assert not [link for link in links if "vgg16__2" in link]
    other = [value for name, value in Tags(written(sweep, out=tmp_path / "there")).attributes if name == "href"]
    assert "../mlp__0/" in other


def test_incomplete_runs_and_bad_numbers_are_named(sweep: Path) -> None:
    text = written(sweep)
    part = text.partition('<section id="not-completed">')[2].partition("</section>")[0]
    assert part.count("<tr>") == 2
    assert all(word in part for word in ("vgg16__1", "failed", "vgg16__2", "missing"))
    assert "mlp: test/accuracy is nan with seed 0" in text


def test_settings_that_differ_stand_out(sweep: Path) -> None:
    part = written(sweep).partition('<section id="configuration">')[2].partition("</section>")[0]
    assert '<td class="differs" data-value="[64]">[64]</td>' in part
    assert '<td data-value="0.0">0.0</td>' in part


def test_pictures_take_the_colour_of_the_text(sweep: Path) -> None:
    svg = re.search("<figure>(.*?)</figure>", written(sweep), flags=re.DOTALL)
    assert svg is not None
    assert svg[1].startswith('<svg role="img" style="width: 100pt" viewBox=')
    assert "stroke: currentColor" in svg[1]
    assert "metadata" not in svg[1]


def browser(*arguments: str, folder: Path) -> str:
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def clicked(sweep: Path, *heads: str) -> list[str]:
    """The first column of the scores, after clicks on the heads of columns."""
    clicks = "".join(
        f"[...document.querySelectorAll('#scores .heads button')].find((b) => b.textContent === '{head}').click();"
        for head in heads
    )
    file = sweep / "clicked.html"
    file.write_text(written(sweep).replace("</body>", f"<script>{clicks}</script></body>"))
    shown = browser("--dump-dom", file.as_uri(), folder=sweep)
    body = shown.partition('<section id="scores">')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return [html.unescape(name) for name in re.findall(r"<tr><td[^>]*>([^<]*)</td>", body)]


@pytest.mark.slow
def test_a_click_sorts_and_a_second_one_turns_the_order(sweep: Path) -> None:
    assert clicked(sweep) == ["vgg16 ★", "lenet", "mlp"]
    assert clicked(sweep, "median") == ["lenet", "vgg16 ★", "mlp"]  # what is no number stays last
    assert clicked(sweep, "median", "median") == ["vgg16 ★", "lenet", "mlp"]
    assert clicked(sweep, "group") == ["lenet", "mlp", "vgg16 ★"]


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "light"), [("1", True), ("0", False)])
def test_a_browser_shows_it_in_light_and_in_dark(sweep: Path, scheme: str, light: bool) -> None:
    (sweep / "report.html").write_text(written(sweep))
    picture = sweep / "seen.png"
    arguments = [f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}", "--window-size=1200,900"]
    browser(*arguments, (sweep / "report.html").as_uri(), folder=sweep)
    with Image.open(picture) as seen:
        grey = seen.convert("L")
        counts = grey.histogram()
    paper, ink = (255, 60) if light else (25, 200)
    assert abs(max(range(256), key=counts.__getitem__) - paper) < 10
    written_pixels = sum(counts[:ink]) if light else sum(counts[ink:])
    assert written_pixels > 2000
