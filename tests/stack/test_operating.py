"""Documented commands exist with their arguments and options, and so do the targets of links."""

import re
import shlex
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tools.cli import devices, issued
from tools.cli.main import app
from tools.template import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(bindery [^`]+)`")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([\w-]+))?\)")


cli = cache(partial(typer.main.get_command, app))


def commands() -> list[str]:
    found: dict[str, None] = {}
    # These pages only name commands.
    for document in (page for page in DOCUMENTS if page.stem not in ("decisions", "history", "infrastructure-as-code")):
        text = document.read_text()
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
    found: Any = cli()
    while hasattr(found, "commands"):
        name, *words = words
        found = found.commands[name]
    found.make_context(found.name, words)


def test_every_column_of_an_import_is_documented() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs/operating.md").read_text()))
    for columns in (devices.IMPORTED, issued.COLUMNS):
        assert {*columns.required, *columns.optional} <= words


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub generates for a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_linked_files_and_headings_exist() -> None:
    for document in DOCUMENTS:
        for file, anchor in LINK.findall(document.read_text()):
            target = document.parent / file if file else document
            assert target.exists(), (document, file)
            assert not anchor or anchor in anchors(target), (document, file, anchor)
