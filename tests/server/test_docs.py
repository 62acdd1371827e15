"""Serving the documentation page, and the credentials in it and in the Postman environment."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from tests.server.servers import Server
from tools import docs
from tools.docs.__main__ import main
from tools.generate import openapi
from tools.voices import SECURITY, VARIABLES, VOICES


def export(folder: Path) -> None:
    with patch.object(sys, "argv", ["docs", str(folder)]):
        main()


def test_every_scheme_except_sigv4_has_a_demo_credential():
    assert set(VARIABLES) == {scheme for voice in VOICES.values() for scheme in voice.security}
    assert set(VARIABLES) == set(SECURITY) - {"aws_signature"}


def test_local_server_fills_in_demo_credentials(server: Server, client: httpx.Client):
    settings = client.get("/docs/settings.json")
    assert settings.json() == {
        "try": True,
        "credentials": {scheme: server.environment[variable] for scheme, variable in VARIABLES.items()},
        "samples": settings.json()["samples"],
    }
    assert settings.headers["cache-control"] == "no-store"
    assert settings.headers["content-security-policy"] == "frame-ancestors 'none'"


def test_samples_filled_in_by_the_local_server_succeed(server: Server, client: httpx.Client):
    samples = client.get("/docs/settings.json").json()["samples"]
    key = {"api_key": server.environment["RUFUS_UNBIND_KEY"]}
    bound = client.post("/v0/devices", headers=key, json={"model": "Model X1", "serial_number": "DEVICE-123"}).json()
    assert samples["rufus.get_device"] == samples["rufus.unbind_device"] == {"deviceid": bound["deviceid"]}
    login = client.post("/v2/enduser/enduserapi/emailPwdLogin", data=samples["quectel.email_pwd_login"]).json()
    assert login["code"] == 200
    login = client.post("/v2/enduser/enduserapi/phonePwdLogin", params=samples["quectel.phone_pwd_login"]).json()
    assert login["code"] == 200
    developer = {"developerkey": server.environment["REMOTEIT_DEVELOPER_KEY"]}
    login = client.post("/apv/v27/user/login", headers=developer, json=samples["remoteit.login"]).json()
    assert login["status"] == "true"


def test_local_server_writes_postman_environment(server: Server):
    written = json.loads((server.state / "postman_environment.json").read_text())
    given = {variable["key"]: variable["value"] for variable in written["values"]}
    assert given == {"baseUrl": server.url, **{name: server.environment[name] for name in given if name != "baseUrl"}}
    assert set(VARIABLES.values()) < set(given)


def test_local_page_equals_the_export_except_for_settings(
    client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    site = tmp_path / "new" / "site"
    export(site)
    said = capsys.readouterr().out
    assert said == f"Wrote the documentation page to {site}. Any static file host can serve it.\n"
    exported = {path.name: path.read_bytes() for path in site.iterdir()}
    assert exported["settings.json"] == b'{"try": false, "credentials": {}, "samples": {}}'
    assert exported["openapi.json"] == openapi.PATH.read_bytes()
    served = {name: client.get(f"/docs/{name}").content for name in exported}
    assert [name for name in exported if served[name] != exported[name]] == ["settings.json"]


def test_page_and_document_are_at_their_usual_paths(client: httpx.Client):
    asked = client.get("/docs")
    assert (asked.status_code, asked.headers["location"]) == (307, "/docs/")
    assert client.get("/docs/").headers["content-type"] == "text/html; charset=utf-8"
    document = client.get("/openapi.json")
    assert (document.headers["content-type"], document.text) == ("application/json", openapi.text())


def test_credentials_missing_from_the_demo_are_omitted():
    assert docs.credentials({"REMOTEIT_TOKEN": "one", "QUECTEL_SN": "two"}) == {"remoteit_token": "one"}


def test_unwritable_export_folder_is_a_one_line_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        export(tmp_path / "file")
    assert ended.value.code == (
        f"bindery: cannot write to {tmp_path / 'file'} (File exists). Use another folder: make docs SITE=…"
    )


@pytest.mark.parametrize("name", [*docs.OWN, "swagger-ui.css"])
def test_page_files_reference_no_other_host(name: str):
    text = docs.files()[name].decode()
    assert "http:" not in text.replace("http://www.w3.org/", "")
    assert "https:" not in text
