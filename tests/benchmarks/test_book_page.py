"""The book's page shows the numbers that were computed, and the lines as they are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_page_says_what_was_computed():
    done = subprocess.run([sys.executable, "benchmarks/book_report.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_picture_that_the_page_names_is_there():
    page = (ROOT / "docs/book.md").read_text()
    named = [line.rpartition("(")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(named) > 30
    assert all((ROOT / "docs" / name).is_file() for name in named)
