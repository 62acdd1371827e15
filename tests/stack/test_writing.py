"""Docstrings and pages are plain technical English, as far as a pattern can tell."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.template import ROOT

CODE = [path for folder in ("agent", "layers", "functions", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]

QUESTION = re.compile(r"(What|Where|That|Whether|Who|Whoever|Whom|Whose|Why|How)\b")
"""A docstring says what a function does or a class is; it does not begin like a question."""

AVOIDED = re.compile(
    r"\b(anew|whoever|meanwhile|came between|stands? (in|at|under|with)|stood there|is good (for|in|while)|of ours"
    r"|for good|comes? to nothing|goes along|in the place of|as it must be|no such thing|let in|shut out|the wire"
    r"|is shown this once|is no (address|MAC|text|id|card)|parted by)\b",
    re.IGNORECASE,
)
"""Words with a plainer equivalent."""


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            docstring := ast.get_docstring(node)
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", docstring


def words(path: Path) -> Iterator[str]:
    """Yield the lines that people read: a page's, or a module's comments and docstrings."""
    if path.suffix == ".md":
        yield from path.read_text().splitlines()
        return
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from node.value.value.splitlines()
    yield from re.findall(r"^\s*# (.*)$", source, re.MULTILINE)


def test_docstring_does_not_begin_like_a_question() -> None:
    assert [name for path in CODE for name, docstring in docstrings(path) if QUESTION.match(docstring)] == []


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_plain_words_are_used(path: Path) -> None:
    assert [line.strip() for line in words(path) if AVOIDED.search(line)] == []
