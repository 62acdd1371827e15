"""Hostile input, at every operation: never an error of ours, never a partial write, never internal text."""

import re

import pytest

from tests.http_api import Response, invoke
from tests.proof import hostile, world

INTERNAL = re.compile(
    r"Traceback|botocore|boto3|dynamodb|pydantic|validation error|/opt/|/var/task|\.py\b|Exception|Errno", re.I
)
"""What an answer never shows."""


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_no_hostile_request_breaks_an_operation_or_changes_anything_when_it_is_refused(
    name: str, here: world.World, written: list[str], errors: list[str]
) -> None:
    world.prepare(here, name)
    tried = 0
    for what, event in hostile.everything(here.request(name)):
        written.clear()
        answer = invoke(name, event)
        tried += 1
        assert answer.status < 500, (what, answer)
        assert errors == [], (what, answer)
        assert not INTERNAL.search(answer.body), (what, answer)
        if refused(name, answer):
            assert written == [], (what, answer)
    assert tried > 40


def refused(name: str, answer: Response) -> bool:
    if name.startswith("quectel."):
        return bool(answer.json()["code"] != 200)
    return answer.status >= 400
