"""The report in a real browser: it renders alone, light and dark, asks for nothing, and no text lies over another.

$CHROMIUM names the browser; without one these tests skip and say so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from support.chain import Chain, story, traffic
from taskdir import report

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not BROWSER, reason="NO CHROMIUM: the report is not rendered (apt install chromium)")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr"
).split()
DARK = "--blink-settings=preferredColorScheme=0"
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND"  # what a page asks for fails, and the console tells
LOGS: dict[str, Callable[[], Chain]] = {
    "empty": Chain,
    "story": story,
    "days": lambda: traffic(2000, 6),
    "long": lambda: traffic(20_000, 70),
}

# Finds texts that leave their drawing, and texts that lie over each other in one drawing.
JUDGE = """<script>
const found = [], near = 1;
for (const svg of document.querySelectorAll("svg")) {
  const paper = svg.getBoundingClientRect(), seen = [];
  for (const text of svg.querySelectorAll("text")) {
    const box = text.getBoundingClientRect(), said = text.textContent;
    if (box.left < paper.left - near || box.right > paper.right + near || box.top < paper.top - near ||
        box.bottom > paper.bottom + near) found.push("outside: " + said);
    for (const [other, words] of seen)
      if (box.left + near < other.right && other.left + near < box.right &&
          box.top + 4 < other.bottom && other.top + 4 < box.bottom) found.push("over " + words + ": " + said);
    seen.push([box, said]);
  }
}
if (document.documentElement.scrollWidth > window.innerWidth) found.push("the page is wider than its window");
document.body.dataset.found = JSON.stringify(found);
</script>"""


def page(log: Chain, tmp_path: Path) -> str:
    ledger = report.read(str(log.write(tmp_path / "root")))
    return report.page(ledger, report.figures(ledger, "/srv/root"))


def browse(html: str, tmp_path: Path, *flags: str) -> tuple[str, list[str]]:
    """Open a page; returns the DOM that became of it and what the console said."""
    file = tmp_path / "page.html"
    file.write_text(html, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, NOWHERE, f"--user-data-dir={tmp_path / 'profile'}", *flags, file.as_uri()]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert made.returncode == 0, made.stderr[-2000:]
    return made.stdout, re.findall(r":CONSOLE:\d+\] (.*)", made.stderr)


def judge(html: str, width: int, tmp_path: Path) -> list[str]:
    """Return what JUDGE finds in a page without its policy; then too it must ask for nothing."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    dom, console = browse(
        free.replace("</body>", f"{JUDGE}</body>"), tmp_path, "--dump-dom", f"--window-size={width},900"
    )
    assert console == []
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found is not None
    said: list[str] = json.loads(unescape(found[1]))
    return said


def corner(png: bytes) -> tuple[int, ...]:
    """Return the colour of a PNG's first pixel: no row filter changes the first one of the first row."""
    at, data = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    return tuple(zlib.decompress(data)[1:4])


@pytest.mark.parametrize("name", LOGS)
def test_the_page_renders_and_asks_for_nothing(name: str, tmp_path: Path) -> None:
    html = page(LOGS[name](), tmp_path)
    dom, console = browse(html, tmp_path, "--dump-dom")
    assert console == []
    assert dom.count("<section>") == html.count("<section>")
    assert dom.count("<svg") == html.count("<svg")
    assert "made from the log alone" in dom.lower()
    assert "<script" not in dom


def test_a_page_that_does_ask_is_caught(tmp_path: Path) -> None:
    planted = page(story(), tmp_path).replace("</body>", '<img src="http://example.test/x.png"></body>')
    assert any("Content Security Policy" in line for line in browse(planted, tmp_path, "--dump-dom")[1])


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    planted = page(story(), tmp_path).replace("<body>", "<body><script>document.title = 'ran'</script>")
    dom, console = browse(planted, tmp_path, "--dump-dom")
    assert "<title>ran" not in dom, "the page's own policy lets no script run"
    assert len(console) == 1
    dom, _ = browse(page(story(), tmp_path), tmp_path, "--dump-dom")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]gnp.exe" in dom


@pytest.mark.parametrize("width", [1200, 600])
@pytest.mark.parametrize("name", LOGS)
def test_no_text_is_clipped_or_covered(name: str, width: int, tmp_path: Path) -> None:
    html = page(LOGS[name](), tmp_path)
    assert judge(html, width, tmp_path) == []


def test_the_judge_sees_what_is_wrong(tmp_path: Path) -> None:
    words = "<text x='5' y='20'>one</text><text x='9' y='22'>two</text><text x='90' y='20'>long words</text>"
    found = judge(f"<body><svg width='100' height='40'>{words}</svg></body>", 600, tmp_path)
    assert found == ["over one: two", "outside: long words"]


def test_pictures_light_and_dark(tmp_path: Path) -> None:
    html, picture = page(LOGS["days"](), tmp_path), tmp_path / "page.png"
    for flags, paper in (([], (255, 255, 255)), ([DARK], (13, 17, 23))):
        browse(html, tmp_path, f"--screenshot={picture}", "--window-size=1200,2000", *flags)
        png = picture.read_bytes()
        assert struct.unpack(">II", png[16:24]) == (1200, 2000)
        assert len(png) > 50_000
        assert corner(png) == paper
        picture.unlink()


def test_it_prints(tmp_path: Path) -> None:
    sheet = tmp_path / "page.pdf"
    browse(page(story(), tmp_path), tmp_path, f"--print-to-pdf={sheet}")
    assert sheet.read_bytes().startswith(b"%PDF")
    assert sheet.stat().st_size > 20_000
