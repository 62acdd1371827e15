"""Behavior common to all admin resources."""

from threading import Thread
from typing import Any

import pytest

from bindery.core.errors import HotKey, Reason
from bindery.operators.resource import Resource
from tests.http_api import OPERATOR, event

pytestmark = pytest.mark.usefixtures("environment")


def ask(resource: Resource, path: str) -> Any:
    request = event("GET", path)
    request["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    return resource(request, None)


def test_parallel_requests_keep_their_own_events() -> None:
    one, other = Resource("one"), Resource("other")
    meanwhile = Thread(target=ask, args=(other, "/admin/v1/other"))

    @one.app.get("/admin/v1/one")
    def look() -> str:
        meanwhile.start()
        meanwhile.join(0.3)
        return str(one.app.current_event.path)

    assert ask(one, "/admin/v1/one")["body"] == "/admin/v1/one"
    meanwhile.join()


@pytest.mark.parametrize("end", ["\n", "\r", "\t", "\u2028", "\u200b", "\x00"])
def test_path_with_unprintable_character_runs_nothing(end: str) -> None:
    resource, ran = Resource("one"), []
    for path in ("/admin/v1/one", "/admin/v1/one/<name>/enable"):
        resource.app.get(path)(lambda name="": ran.append(name))
    for path in ("/admin/v1/one", "/admin/v1/one/a/enable"):
        assert ask(resource, path)["statusCode"] == 200
        assert ask(resource, path + end)["statusCode"] == 404
    assert ran == ["", "a"]


def test_throttled_key_range_is_a_warning_and_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    resource = Resource("one")

    @resource.app.get("/admin/v1/one")
    def fail() -> None:
        raise HotKey(Reason.UNAVAILABLE, "TableWriteKeyRangeThroughputExceeded")

    assert ask(resource, "/admin/v1/one")["statusCode"] == 503
    warning, line = caplog.records
    assert (warning.levelname, warning.throttled) == ("WARNING", "TableWriteKeyRangeThroughputExceeded")
    assert line.levelname == "INFO"
