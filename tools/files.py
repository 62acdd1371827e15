"""Files of the person's own that are there whole or not at all, readable by nobody else."""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it meanwhile, or finds it after a crash, has the old text or the new."""
    making = path.with_name(path.name + ".new")
    making.unlink(missing_ok=True)
    with open(making, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    making.replace(path)
