"""Times as people enter them."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from tools.cli.client import Exit, Failure

Since = Annotated[
    str | None,
    typer.Option(
        help="Since when: 30m, 12h or 7d ago, or a date or time (UTC), such as 2026-12-01 or 2026-12-01T12:00:00Z.",
        show_default=False,
    ),
]

_AGO = re.compile(r"([0-9]{1,5})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def moment(text: str | None) -> int | None:
    """Return a time in milliseconds. Raises `Failure`."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(0, int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(Exit.USAGE, f"{text!r} is not a date or time. Examples: 7d, 2026-12-01T12:00:00Z") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return max(0, int(found.timestamp() * 1000))
