"""The examples in CONTRIBUTING.md work when applied to a copy of the checkout, and need no other change."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.template import ROOT

BLOCK = re.compile(r"^\*\*`([^`]+)`\*\*(?:, after `([^`]+)`)?\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
MADE = tuple(f"tools.generate.{name}" for name in ("wiring", "openapi", "response_members", "deploying", "routes"))
RECORDED = (
    "tests/performance/test_counts.py::test_request_costs_match_the_recorded_costs[rufus]",
    "tests/performance/test_counts.py::test_request_costs_match_the_recorded_costs[acme]",
)
"""The part of `make bench-record` that the tests below compare."""
MATRICES = (
    "tests/performance/test_counts.py",
    "tests/properties/test_strangers.py",
    "tests/properties/test_tenants.py",
)
"""Tests of all operations. Only those selected by `-k` below run."""
TESTS = (
    "tests/contract/rufus/test_check_key.py",
    "tests/contract/acme/test_show_status.py",
    *(
        f"tests/stack/test_{name}.py"
        for name in (
            *("deploying", "deployment", "docstrings", "functions", "launch", "layering", "openapi", "readme"),
            "response_members",
        )
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without generated files, to which the examples are applied in order."""
    made = tmp_path_factory.mktemp("contributing") / "bindery"
    shutil.copytree(
        ROOT, made, ignore=shutil.ignore_patterns(".git", ".venv", ".*-*", ".local", ".*_cache", "__pycache__")
    )
    for path, line, text in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()):
        (insert if line else write)(made / path, text, line)
    (made / ".venv").symlink_to(ROOT / ".venv")
    for tool in MADE:
        run(made, tool)
    run(made, "pytest", *RECORDED, BENCH_RECORD="1")
    return made


def write(path: Path, text: str, _: str) -> None:
    assert not path.exists(), path
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def insert(path: Path, text: str, after: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip().startswith(after)]
    assert len(found) == 1, f"{path} has {len(found)} lines that begin with {after}"
    number = found[0]
    path.write_text("".join([*lines[: number + 1], text, *lines[number + 1 :]]))


def run(copy: Path, *module: str, **environment: str) -> None:
    """Run a module in the copy, with the code of the copy."""
    path = os.pathsep.join([str(copy / "layers/bindery"), str(copy)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *module],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_contributing_examples_work_and_are_complete(copy: Path) -> None:
    run(copy, "pytest", *TESTS)
    run(copy, "pytest", *MATRICES, "-k", "acme or check_key or every_cell or operation_is or public_operation")


def test_contributing_examples_pass_ruff_and_mypy(copy: Path) -> None:
    run(copy, "ruff", "format", "--no-cache", "--check", ".")
    run(copy, "ruff", "check", "--no-cache", ".")
    run(copy, "mypy", "--cache-dir", str(copy.parent / "types"), "functions/acme", "functions/rufus/check_key.py")
