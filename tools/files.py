"""Atomic writes of private files."""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Replace a file's content."""
    making = path.with_name(path.name + ".new")
    making.unlink(missing_ok=True)
    with open(making, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    making.replace(path)
