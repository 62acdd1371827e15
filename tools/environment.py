"""Create a virtual environment: `environment.py .venv/run tools/requirements.txt [pyproject.toml]`.

With pyproject.toml, it installs the project too. Needs only the standard library.
"""

import fcntl
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

MEGABYTES = {"bench": 250, "ministack": 90, "run": 130, "runtime": 50, "sam": 340, "scan": 340, "test": 330}
"""Approximate sizes."""


def main() -> None:
    """Create the environment if it is missing or outdated."""
    folder, *sources = map(Path, sys.argv[1:])
    made = folder / ".made"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say(f"bindery: waiting for another make that is setting up {folder}\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or any(made.stat().st_mtime < source.stat().st_mtime for source in sources):
            _say(f"bindery: setting up {folder} with {sys.executable} (about {MEGABYTES[folder.name]} MB)\n")
            _make(folder, sources)
            made.touch()


def _make(folder: Path, sources: list[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True, with_pip=True)
    lock, *project = sources
    total = len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))
    _install(folder, total, "--require-hashes", "-r", str(lock))
    if project:
        _install(folder, 0, "--no-build-isolation", "--editable", ".")


def _install(folder: Path, total: int, *what: str) -> None:
    """Run pip install. Its output is shown only if it fails."""
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--no-deps", *what]
    output, found = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:  # noqa: S603
        assert pip.stdout is not None
        for line in pip.stdout:
            output.append(line)
            found += line.startswith("Collecting ")
            if total and sys.stdout.isatty():
                _say(f"\r  {found} of {total} packages")
    if total and sys.stdout.isatty():
        _say("\r" + " " * 30 + "\r")
    if pip.returncode != 0:
        sys.exit(f"bindery: cannot set up {folder}:\n{''.join(output)}")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
