"""Deletion of records, and of what depends on them."""

from typing import Any

from tools.cli.client import Client, Exit, Failure


def repeat(api: Client, *path: str) -> Any:
    """Send a DELETE request until it has deleted everything. Raises `Failure`."""
    begun = False
    while True:
        try:
            answer = api.ask("DELETE", *path)
        except Failure as failure:
            # The response to the request before may have been lost.
            if failure.code is not Exit.NOT_FOUND or not begun:
                raise
            return {path[0].removesuffix("s"): path[1], "complete": True}
        if answer["complete"]:
            return answer
        begun = True
