"""Help of the command line: by task, on one screen, and with examples that parse."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from tools.cli import examples
from tools.cli.examples import EXAMPLES
from tools.cli.main import PANELS, app

LINES = 55
"""On a screen, with room for a few more commands."""


def shown(line: str) -> list[str]:
    result = CliRunner().invoke(app, [*line.split(), "--help"], env={"COLUMNS": "80"})
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


def test_every_command_has_a_help_of_one_line_in_the_list() -> None:
    found = [text for text in shown("") if text.startswith("│")]
    assert not [text for text in found if text.startswith("│   ")]


def test_every_group_and_command_has_examples() -> None:
    assert sorted(EXAMPLES) == sorted(name for name, _ in examples.commands(app))
    assert list(EXAMPLES) == sorted(EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES)
def test_help_shows_its_examples_at_80_columns(path: str) -> None:
    found = shown(path)
    lines = [line for example in EXAMPLES[path] for line in example.split("\n")]
    begin = found.index(" Example:" if len(EXAMPLES[path]) == 1 else " Examples:")
    assert found[begin + 1 : begin + 1 + len(lines)] == [f"   {line}" for line in lines]


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_parse_and_show_their_command(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [example for example in EXAMPLES[path] if example.startswith("bindery ")]
    assert any(line.startswith(f"bindery {path}") for line in lines) or path in ("history",)
    for line in lines:
        parse(line)


def parse(line: str) -> None:
    """Parse a command line without running it. Raises `UsageError`."""
    words = shlex.split(line.replace("\\\n", " "))
    for end in ("<", ">", "|"):
        words = words[: words.index(end)] if end in words else words
    found: Any = typer.main.get_command(app)
    arguments = words[1:]
    while isinstance(found, TyperGroup):
        found, arguments = found.commands[arguments[0]], arguments[1:]
    context = found.make_context("bindery", arguments)
    if "device" in context.params and "serial" in context.params:
        options = ("serial", "mac", "imei", "address", "device")
        assert any(context.params[name] is not None for name in options), line
