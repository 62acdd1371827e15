"""Help of the command line: by task, on one screen, and with examples that parse."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from typer.core import TyperGroup

from tests.server.programs import COMMAND
from tools.cli import examples
from tools.cli.examples import EXAMPLES
from tools.cli.main import PANELS, app

LINES = 55
"""On a screen, with room for a few more commands."""


def shown(line: str) -> list[str]:
    result = CliRunner().invoke(COMMAND, [*line.split(), "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return [text.rstrip() for text in result.stdout.splitlines()]


def test_help_groups_all_commands_by_task_on_one_screen() -> None:
    found = shown("")
    assert len(found) <= LINES
    assert [title for text in found for title in re.findall("^╭─ ([^─]+) ─", text)] == ["Options", *PANELS]
    listed = [name for text in found for name in re.findall("^│ ([a-z-]+) ", text) if not name.startswith("--")]
    assert listed == [name for names in PANELS.values() for name in names]
    top = [name for name, _ in examples.commands(app) if " " not in name]
    assert sorted(listed) == sorted(top)
    # The help of a command is one line.
    assert not [text for text in found if text.startswith("│   ")]


def test_help_of_every_command_shows_its_examples_at_80_columns() -> None:
    assert list(EXAMPLES) == sorted(name for name, _ in examples.commands(app))
    differing = []
    for path, given in EXAMPLES.items():
        found = shown(path)
        lines = [f"   {line}" for example in given for line in example.split("\n")]
        begin = found.index(" Example:" if len(given) == 1 else " Examples:") + 1
        if found[begin : begin + len(lines)] != lines:
            differing.append(path)
    assert differing == []


def test_examples_parse_and_show_their_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of_another = []
    for path, given in EXAMPLES.items():
        lines = [example for example in given if example.startswith("bindery ")]
        for line in lines:
            parse(COMMAND, line)
        if not any(line.startswith(f"bindery {path}") for line in lines):
            of_another.append(path)
    assert of_another == []


def parse(found: Any, line: str) -> None:
    """Parse a command line without running it. Raises `UsageError`, which shows the line."""
    words = shlex.split(line.replace("\\\n", " "))
    for end in ("<", ">", "|"):
        words = words[: words.index(end)] if end in words else words
    arguments = words[1:]
    while isinstance(found, TyperGroup):
        found, arguments = found.commands[arguments[0]], arguments[1:]
    context = found.make_context(line, arguments)
    if "device" in context.params and "serial" in context.params:
        options = ("serial", "mac", "imei", "address", "device")
        assert any(context.params[name] is not None for name in options), line
