"""`make docs`: write the documentation page to a folder."""

import argparse
import sys
from pathlib import Path

from tools import docs


def main() -> None:
    """Write or overwrite the files."""
    arguments = argparse.ArgumentParser(prog="tools.docs", description="Write the documentation page.")
    arguments.add_argument("folder", type=Path, help="target folder, created if it does not exist")
    folder: Path = arguments.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in docs.files().items():
            (folder / name).write_bytes(content)
    except OSError as error:
        sys.exit(f"bindery: cannot write to {folder} ({error.strerror}). Use another folder: make docs SITE=…")
    sys.stdout.write(f"Wrote the documentation page to {folder}. Any static file host can serve it.\n")


if __name__ == "__main__":
    main()
