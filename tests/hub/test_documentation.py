"""What the documentation tells to type can be typed."""

import re
from contextlib import suppress
from pathlib import Path

import pytest

from rlhub.hub.cli import COMMANDS, main
from rlhub.hub.commands.lens import MEASUREMENTS
from rlhub.hub.commands.study import STUDIES
from rlhub.hub.systems import SYSTEMS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*(?:\.[\w-]+)*")
OTHERS = re.compile(r"pip install|python |tensorboard |trackio ")
"""Other programs, whose options aren't ours."""


@pytest.fixture
def options(capsys):
    """Every option of every command, system, study and measurement, as their help prints them."""
    commands = [*([name] for name in COMMANDS), *(["train", entry.name] for entry in SYSTEMS)]
    commands += [*(["study", name] for name in STUDIES), *(["lens", name] for name in MEASUREMENTS)]
    for command in commands:
        with suppress(SystemExit):
            main([*command, "--help"])
    printed = set(OPTION.findall(capsys.readouterr().out))
    return printed | {name.replace("--no-", "--", 1) for name in printed}


def test_every_option_on_every_page_is_one_that_a_command_takes(options):
    unknown = [
        f"{page.relative_to(ROOT)}:{number} {option}"
        for page in PAGES
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if not OTHERS.search(line)
        for option in OPTION.findall(line)
        if option not in options
    ]
    assert not unknown
