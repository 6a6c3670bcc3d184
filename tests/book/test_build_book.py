"""The book is built from finished chapters only, shows their numbers, and a warning stops it."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.build_book import BookNotReady, build_book

pytestmark = pytest.mark.book


def test_pages_show_the_numbers_of_the_run(tiny_html: Path) -> None:
    first_page = (tiny_html / "index.html").read_text()
    assert "Macro AUROC over 14 findings" in first_page and "<strong>0.87</strong>" in first_page
    assert "0.81 to 0.92" in first_page
    chapter = (tiny_html / "one.html").read_text()
    assert '<span class="pasted-text">0.87</span>' in chapter
    assert 'alt="A line from one to 3"' in chapter and 'alt="A line from one to 0"' in chapter
    statistics = (tiny_html / "statistics.html").read_text()
    assert "Slowest cell" in statistics and "Lock file" in statistics


def test_needs_finished_chapters_of_one_run(tiny_study: Path) -> None:
    results = tiny_study / "runs" / "demo" / "one" / "results.json"
    written = results.read_text()
    try:
        results.write_text(json.dumps({**json.loads(written), "run_id": "another"}))
        with pytest.raises(BookNotReady, match="of different runs"):
            build_book("demo", tiny_study)
        results.unlink()
        with pytest.raises(BookNotReady, match="chapter one has not finished .*: make run PROFILE=demo"):
            build_book("demo", tiny_study)
    finally:
        results.write_text(written)


def test_warning_is_an_error(tiny_study: Path, tiny_html: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tiny_study / "book" / "statistics.md"
    written = page.read_text()
    page.write_text(f"{written}\nA number that no chapter made: {{glue:text}}`one.ipynb::nowhere:s`\n")
    try:
        with pytest.raises(subprocess.CalledProcessError):
            build_book("demo", tiny_study)
    finally:
        page.write_text(written)
    assert "nowhere" in capfd.readouterr().err
    assert (tiny_html / "index.html").is_file(), "the pages of the last good build are still there"
