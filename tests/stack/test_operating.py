"""Documented commands exist with their arguments and options, and so do the targets of links."""

import re
import shlex
from typing import Any

import pytest
import typer.main

from tools.cli import devices, issued
from tools.cli.main import app
from tools.template import ROOT

DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "docs/agent.md", "docs/deploying.md", "docs/compatibility.md"),
    *("docs/connections.md", "docs/operating.md", "docs/operations.md", "docs/performance.md", "docs/proof.md"),
    "docs/response-members.md",
    "docs/runbook.md",
)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(bindery [^`]+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def commands() -> list[str]:
    found: dict[str, None] = {}
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        spans = [" ".join(span.split()) for span in SPAN.findall(BLOCK.sub("", text))]
        found |= dict.fromkeys(command for command in (*lines, *spans) if command.startswith("bindery "))
    plain = (re.split(r" (?:[<>]|\|\|?) ", command)[0] for command in found)
    return [command for command in dict.fromkeys(plain) if "--help" not in command and "…" not in command]


def test_documents_show_commands() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize("command", commands())
def test_documented_command_can_be_parsed(command: str) -> None:
    _, *words = shlex.split(command)
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        name, *words = words
        found = found.commands[name]
    found.make_context(found.name, words)


def test_every_column_of_an_import_is_documented() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs/operating.md").read_text()))
    for columns in (devices.IMPORTED, issued.COLUMNS):
        assert {*columns.required, *columns.optional} <= words


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_a_document_exist(name: str) -> None:
    source = ROOT / name
    for target in LINK.findall(source.read_text()):
        assert (source.parent / target).exists(), target
