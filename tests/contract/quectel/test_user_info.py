"""The user as the app sees them."""

import pytest

from bindery.aws import dynamodb
from bindery.directory import users
from bindery.registry import items
from tests.http_api import Response
from tests.quectel import ME, call, token
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("world")


def ask(authorization: str) -> Response:
    return call("user_info", authorization, {})


def test_user_is_shown_with_every_member_in_its_type() -> None:
    made, stands = users.show(ME)["created_at"], everything()
    given = (
        f'{{"uid":"{ME}","email":"","nikeName":"","phone":"","lang":"","timezone":"","registerTime":{made},'
        f'"registerTimeTs":{made},"status":1}}'
    )
    for authorization in (token(ME), f"Bearer {token(ME)}"):
        answer = ask(authorization)
        assert (answer.status, answer.body) == (200, f'{{"code":200,"data":{given},"extMsg":"","msg":""}}')
    assert everything() == stands
    users.change(ME, email="Ada@Example.com")
    assert ask(token(ME)).json()["data"]["email"] == "Ada@Example.com"


def test_deleted_user_does_not_exist() -> None:
    given = token(ME)
    dynamodb.write(items.user(ME).delete())
    answer = ask(given)
    assert (answer.status, answer.body) == (200, '{"code":5033,"data":null,"extMsg":"","msg":"User does not exist"}')
