"""`make docs`: write the documentation page's files into a folder, for hosting."""

import argparse
import sys
from pathlib import Path

from tools import docs


def main() -> None:
    """Write the files, over those of the last time."""
    arguments = argparse.ArgumentParser(prog="tools.docs", description="Write the documentation page.")
    arguments.add_argument("folder", type=Path, help="where to; it is made if it is not there")
    folder: Path = arguments.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in docs.files().items():
            (folder / name).write_bytes(content)
    except OSError as error:
        sys.exit(f"bindery: the documentation cannot be written to {folder} ({error.strerror}): make docs SITE=…")
    sys.stdout.write(f"{folder}: host it as it is, wherever static files are served\n")


if __name__ == "__main__":
    main()
