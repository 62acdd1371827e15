"""The recorded numbers, which `make bench-record` rewrites and whoever reviews a change looks at."""

import json
import os
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("recorded.json")
RECORDING = os.environ.get("BENCH_RECORD") == "1"


def read(part: str) -> Any:
    """What was recorded of a part."""
    return json.loads(PATH.read_text())[part]


def hold(part: str, found: Any) -> None:
    """Hold what was found to what was recorded of it, or record it."""
    recorded = json.loads(PATH.read_text()) if PATH.exists() else {}
    if RECORDING:
        PATH.write_text(json.dumps(recorded | {part: found}, indent=1, sort_keys=True) + "\n")
    else:
        assert found == recorded[part], "another cost: if that is meant, make bench-record"
