"""Break each promise on purpose, one line of code at a time, and check that the named tests fail.

`python -m tests.properties.mutations` tries every mutation of `mutations.toml`, two at a time, each in its own copy: it
changes one text and runs the named checks. A check must fail as a test does. A check that cannot be collected, or code
that no longer runs, proves nothing. All named checks must first pass on the unchanged copy. Arguments select the
mutations whose name contains one of them. `--table` writes all of them to docs/proof.md.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "proof.md"
TABLE = re.compile(r"(?<=<!-- mutations -->\n).*?(?=<!-- end -->\n)", re.DOTALL)

AT_ONCE = 2
TIME_LIMIT = 300
"""Time limit for the checks of one mutation, in seconds."""

_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
_PYTEST = ("-W", "error", "-m", "pytest", "--tb=short", "-rfE")
_BROKEN = re.compile(
    r"\b(NameError|SyntaxError|IndentationError|ImportError|ModuleNotFoundError|UnboundLocalError|TypeError"
    r"|AttributeError|ParamValidationError|ValidationException)\b"
)
"""Errors that show that the mutated code does not run, so the check failed for another reason than the promise."""


@dataclass(frozen=True)
class Mutation:
    """A text of one file, its replacement, and the checks that must fail."""

    name: str
    promise: str
    """The number of the promise that it breaks, or `contract` for an API's document."""
    file: str
    text: str
    instead: str
    checks: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Change the file. `ValueError`: the text does not occur in it exactly once."""
        path = root / self.file
        found = path.read_text()
        if found.count(self.text) != 1:
            raise ValueError(f"{self.name}: the text occurs {found.count(self.text)} times in {self.file}")
        path.write_text(found.replace(self.text, self.instead))


def mutations() -> list[Mutation]:
    """Return all mutations by promise."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutation"]
    found = [Mutation(**entry | {"checks": tuple(entry["checks"])}) for entry in entries]
    return sorted(found, key=lambda mutation: mutation.promise)


def table() -> str:
    """Return the mutations as the table in docs/proof.md."""
    rows = ["| Promise | Broken by | In | Found by |", "|---|---|---|---|"]
    for mutation in mutations():
        file = mutation.file.removeprefix("layers/bindery/")
        checks = "<br>".join(f"`{check.removeprefix('tests/')}`" for check in mutation.checks)
        rows.append(f"| {mutation.promise} | {mutation.name} | `{file}` | {checks} |")
    return "\n".join([*rows, ""])


@contextmanager
def _checkout() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bindery-mutation-") as folder:
        copy = Path(folder) / "bindery"
        shutil.copytree(ROOT, copy, ignore=_COPIED)
        (copy / ".venv").symlink_to(ROOT / ".venv")
        yield copy


def _run(root: Path, checks: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": f"{root / 'layers' / 'bindery'}{os.pathsep}{root}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "200",
    }
    stop = ["-x"] if len(checks) == 1 else []
    command = [sys.executable, *_PYTEST, *stop, *checks]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )


def attempt(mutation: Mutation) -> str | None:
    """Try a mutation. Return why it was not found as required, or None."""
    with _checkout() as root:
        mutation.apply(root)
        try:
            run = _run(root, mutation.checks)
        except subprocess.TimeoutExpired:
            return "the checks took too long"
    failed = re.findall(r"^FAILED (.+?)(?: - |$)", run.stdout, re.MULTILINE)
    passed = [check for check in mutation.checks if not any(_is_of(found, check) for found in failed)]
    if run.returncode == 0 or (run.returncode == 1 and passed):
        return f"it survived {', '.join(passed)}"
    if run.returncode != 1 or re.search(r"^ERROR tests/", run.stdout, re.MULTILINE):
        return f"the checks did not run:\n{run.stdout[-3000:]}{run.stderr[-1000:]}"
    if broken := _BROKEN.search(run.stdout):
        return f"the mutated code does not run: {broken.group()}\n{run.stdout[-3000:]}"
    return None


def _is_of(failed: str, check: str) -> bool:
    return failed == check or failed.startswith(f"{check}[")


def main() -> int:
    """Try the mutations; return 1 if any was not found."""
    if sys.argv[1:] == ["--table"]:
        DOCUMENT.write_text(TABLE.sub(lambda _: table(), DOCUMENT.read_text()))
        return 0
    started = time.monotonic()
    words = sys.argv[1:]
    chosen = [mutation for mutation in mutations() if not words or any(word in mutation.name for word in words)]
    if not chosen:
        print("no mutation's name contains " + " or ".join(f'"{word}"' for word in words))  # noqa: T201
        return 1
    with _checkout() as root:
        sound = _run(root, list(dict.fromkeys(check for mutation in chosen for check in mutation.checks)))
    if sound.returncode != 0:
        print(f"the checks fail on the unchanged code:\n{sound.stdout}{sound.stderr}")  # noqa: T201
        return 1
    missed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutation, problem in zip(chosen, pool.map(attempt, chosen), strict=True):
            missed += problem is not None
            print(f"{mutation.promise:>8}  {mutation.name}: {problem or 'found'}", flush=True)  # noqa: T201
    seconds = round(time.monotonic() - started)
    print(f"{len(chosen) - missed} of {len(chosen)} mutations were found, in {seconds} s")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
