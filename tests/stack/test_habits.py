"""Habits of a release: one version in two places, and short functions."""

import ast
import re
import tomllib

import pytest

from tools.template import ROOT

RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)
LINES = 50
"""Maximum number of lines of a function. The linter limits its complexity."""


def test_newest_release_in_the_changelog_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    releases = RELEASE.findall((ROOT / "CHANGELOG.md").read_text())
    assert releases[0][0] == version


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/deploying.md", "docs/operating.md"])
def test_documentation_names_only_tags_of_the_newest_release(page: str) -> None:
    newest, _ = RELEASE.findall((ROOT / "CHANGELOG.md").read_text())[0]
    assert set(re.findall(r"\bv(\d+\.\d+\.\d+)\b", (ROOT / page).read_text())) <= {newest}


def test_functions_have_at_most_50_lines() -> None:
    long: list[str] = []
    for source in (
        path for folder in ("agent", "layers", "functions", "tools") for path in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > LINES:
                    long.append(f"{source.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert long == []
