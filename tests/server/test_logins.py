"""Logging in with the demo user names and passwords returns tokens that work."""

import httpx
import pytest

from tests.server.servers import Server
from tools.local import quectel_login


@pytest.mark.parametrize("suffix", ["", "_OTHER"])
def test_quectel_login_returns_working_tokens(suffix: str, server: Server, client: httpx.Client) -> None:
    demo = server.environment
    form = quectel_login.form(
        demo[f"QUECTEL_EMAIL{suffix}"],
        demo[f"QUECTEL_PASSWORD{suffix}"],
        demo["QUECTEL_USER_DOMAIN"],
        demo["QUECTEL_DOMAIN_SECRET"],
    )
    tokens = client.post(quectel_login.PATH, data=form).json()["data"]
    for token, code in (("accessToken", 5553), ("refreshToken", 5032)):
        answer = client.post(
            "/v2/binding/enduserapi/bindDeviceSn?pk=none&sn=SN-NONE", headers={"Authorization": tokens[token]["token"]}
        )
        assert answer.json()["code"] == code
    path = "/v2/enduser/enduserapi/refreshToken"
    renewed = client.put(path, data={"refreshToken": tokens["refreshToken"]["token"]}).json()["data"]["accessToken"]
    assert client.put(path, headers={"Authorization": f"Bearer {renewed['token']}"}).json()["code"] == 200
    assert client.put(path, params={"refreshToken": renewed["token"]}).json()["code"] == 5032


@pytest.mark.parametrize("suffix", ["", "_OTHER"])
def test_remoteit_login_returns_a_working_token(suffix: str, server: Server, client: httpx.Client) -> None:
    demo = server.environment
    headers = {"developerkey": demo[f"REMOTEIT_DEVELOPER_KEY{suffix}"]}
    given = {"username": demo[f"REMOTEIT_USERNAME{suffix}"], "password": demo[f"REMOTEIT_PASSWORD{suffix}"]}
    made = client.post("/apv/v27/user/login", headers=headers, json=given).json()
    assert made["email"] == given["username"]
    answer = client.post(
        "/apv/v27/device/connect",
        headers=headers | {"token": made["token"]},
        json={"deviceaddress": demo[f"REMOTEIT_DEVICE_ADDRESS{suffix}"]},
    )
    assert answer.status_code == 200
