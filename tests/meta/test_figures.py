"""What README and docs/ say about speed is what the committed results say, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import page

README = page.HOUSE / "README.md"


def test_the_page_is_made_from_the_results() -> None:
    told = page.load(page.RESULT)
    assert told is not None, "docs/performance.json is missing"
    hint = "`python -m bench page` writes it again"
    assert (page.DOCS / "performance.md").read_text(encoding="utf-8") == page.markdown(told, page.load(page.SOAK)), hint
    for name, text in page.pictures(told).items():
        assert (page.DOCS / name).read_text(encoding="utf-8") == text, hint


def test_readme_quotes_three_ratios_from_them() -> None:
    told = page.load(page.RESULT)
    assert told is not None
    said = page.sentence(told)
    assert f"{page.BEGIN}{said}{page.END}" in README.read_text(encoding="utf-8")
    assert said.count(" × ") == 3


@pytest.mark.parametrize("name", ["performance.md", "performance.json", "soak.json"])
def test_results_name_no_place(name: str) -> None:
    path: Path = page.DOCS / name
    if path.exists():
        assert "/tmp/" not in path.read_text(encoding="utf-8")


def test_another_figure_would_be_seen() -> None:
    told = page.load(page.RESULT)
    assert told is not None
    other = told | {"figures": told["figures"] | {"ratio beanstalkd -f0": 99.5}}
    assert page.sentence(other) != page.sentence(told)
    assert page.in_readme(README.read_text(encoding="utf-8"), other) != README.read_text(encoding="utf-8")
