"""The recorded numbers, which `make bench-record` rewrites and reviewers check."""

import json
import os
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("recorded.json")
RECORDING = os.environ.get("BENCH_RECORD") == "1"


def read(part: str) -> Any:
    """Return the recorded numbers of a part."""
    return json.loads(PATH.read_text())[part]


def hold(part: str, found: Any) -> None:
    """Compare the numbers of a part with the recorded ones, or record them if BENCH_RECORD is 1."""
    recorded = json.loads(PATH.read_text()) if PATH.exists() else {}
    if RECORDING:
        PATH.write_text(json.dumps(recorded | {part: found}, indent=1, sort_keys=True) + "\n")
    else:
        assert found == recorded[part], "the numbers changed. If this is intended, run: make bench-record"
