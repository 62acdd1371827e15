"""`make run` as a subprocess, with requests over HTTP."""

import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.server.programs import bind
from tests.server.servers import Server
from tools import template
from tools.local import serve

SAMPLES = Path(__file__).parent / "samples"
HOSTS = ("https://api.runonrufus.com", "https://api.remot3.it")
INTERPRETERS = {
    ".sh": ("bash",),
    ".js": ("node",),
    ".py": (sys.executable,),
    ".php": ("php", "-d", "variables_order=EGPCS"),
}
# PHP's samples need an extension that is a package of its own.
WITHOUT_CURL = bool(shutil.which("php")) and "curl" not in subprocess.check_output(["php", "-m"], text=True).split()
RUNNABLE = [
    sample
    for sample in sorted(SAMPLES.iterdir())
    if shutil.which(INTERPRETERS[sample.suffix][0]) and not (sample.suffix == ".php" and WITHOUT_CURL)
]
EXPECTED = {
    ("rufus", ".sh"): '{"description":"Device binded succesfully","deviceid":"',
    ("rufus", ".js"): "status: 201",
    ("rufus", ".php"): 'string(25) "Device binded succesfully"',
    ("remoteit", ".sh"): '{"connection":{"deviceaddress":"80:00:00:00:00:00:00:F1","expirationsec":"',
    ("remoteit", ".js"): "Status Code: 200",
    ("remoteit", ".py"): "'deviceaddress': '80:00:00:3F:AE:00:00:11'",
    ("remoteit", ".php"): "Status Code: 200",
}
AXIOS = """
exports.post = async (url, data, {headers}) => {
  headers = {"Content-Type": "application/json", ...headers};
  const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(data)});
  if (!answer.ok) throw new Error("Request failed with status code " + answer.status);
  return {status: answer.status, data: await answer.json()};
};
"""
"""The part of axios that the samples use."""
CALLER = {
    "RUFUS": ("API_KEY", "READ_KEY", "UNBIND_KEY"),
    "QUECTEL": ("TOKEN", "EMAIL", "PASSWORD", "PK", "SN"),
    "ASSECO": ("TOKEN",),
    "REMOTEIT": ("DEVELOPER_KEY", "TOKEN", "DEVICE_ADDRESS", "USERNAME", "PASSWORD", "DEVICE_CREDENTIAL"),
}


@pytest.mark.parametrize("sample", RUNNABLE, ids=lambda sample: sample.name)
def test_documented_sample_works_with_only_the_host_changed(server: Server, tmp_path: Path, sample: Path):
    text = sample.read_text()
    for host in HOSTS:
        text = text.replace(host, server.url)
    script = tmp_path / sample.name
    script.write_text(text)
    axios = tmp_path / "node_modules" / "axios"
    axios.mkdir(parents=True)
    (axios / "index.js").write_text(AXIOS)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | server.environment
    ran = subprocess.run(
        [*INTERPRETERS[sample.suffix], script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert EXPECTED[sample.stem, sample.suffix] in ran.stdout


def test_printed_requests_work_unchanged(server: Server):
    printed = [line.strip() for line in server.output if line.startswith("  curl ")]
    assert len(printed) == 5
    ran = subprocess.run(
        ["bash", "-e"],
        input="\n".join(
            [f". {server.state}/demo.env", *(f"{line} -sS -o /dev/null -w '%{{http_code}}\\n'" for line in printed)]
        ),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["201", "200", "200", "200", "200"], ran.stderr


def test_demo_env_has_two_callers_of_each_kind(server: Server):
    demo = server.environment
    operator = {"BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY"}
    app = {"QUECTEL_USER_DOMAIN", "QUECTEL_DOMAIN_SECRET", "DEVICES_URL", "RUFUS_DEVICE_CREDENTIAL"}
    app |= {"REMOTEIT_HTTP_ADDRESS", "REMOTEIT_SSH_ADDRESS"}
    callers = {f"{api}_{name}" for api, names in CALLER.items() for name in names}
    assert set(demo) - operator - app == callers | {f"{name}_OTHER" for name in callers}
    assert operator | app <= set(demo)
    assert demo["RUFUS_API_KEY"] == "ror-ae4fc6c19681a20fad30"
    assert demo["REMOTEIT_DEVICE_ADDRESS"] == "80:00:00:00:00:00:00:F1"


def test_state_folder_is_private(server: Server):
    for path in [server.state, *server.state.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_second_demo_callers_use_their_own_devices(server: Server, client: httpx.Client):
    demo = server.environment
    bind(server, "DEVICE-9", demo["RUFUS_API_KEY_OTHER"])
    headers = {"developerkey": demo["REMOTEIT_DEVELOPER_KEY_OTHER"], "token": demo["REMOTEIT_TOKEN_OTHER"]}
    body = {"deviceaddress": demo["REMOTEIT_DEVICE_ADDRESS_OTHER"]}
    assert client.post("/apv/v27/device/connect", headers=headers, json=body).status_code == 200


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        (b"NONSENSE", b"127.0.0.1", 400),
        (b"GET /x HTTP/1.1", b"[", 403),
        (b"GET /x HTTP/1.1", b"localhost:y", 404),
        (b"OPTIONS * HTTP/1.1", b"127.0.0.1", 404),
        (b"GET http://elsewhere/v0/devices HTTP/1.1", b"127.0.0.1", 404),
        (b"GET /v0/%ff%00%2f?%ff=%zz&&;= HTTP/1.1", b"127.0.0.1", 404),
    ],
)
def test_malformed_requests_are_refused_without_harm(
    server: Server, client: httpx.Client, request_line: bytes, host: bytes, status: int
):
    answered, _, body = server.exchange(request_line + b"\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answered == status
    assert b"Traceback" not in body
    assert client.get("/api/base/configs").status_code == 200


def test_server_listens_on_loopback_only(server: Server):
    # Binding another loopback address to the same port fails if the server listens on all addresses.
    with socket.socket() as other:
        other.bind(("127.0.0.2", server.port))


@pytest.fixture
def failure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Start a server that fails, and return its error."""

    def start(port: object = 0, **options: object) -> str:
        arguments = [f"--{name}={value}" for name, value in {"port": port, **options}.items()]
        monkeypatch.setattr(sys, "argv", ["serve", *arguments])
        # These would apply to the test's process.
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(os, "umask", lambda _: None)
        with pytest.raises(SystemExit) as ended:
            serve.main()
        return str(ended.value.code)

    return start


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"port": "abc"}, "PORT=abc is not a port number (0 to 65535). Example: make run PORT=3001"),
        ({"port": "65536"}, "PORT=65536 is not a port number (0 to 65535). Example: make run PORT=3001"),
        ({"log": "xml"}, "LOG=xml is not a log format. Use make run LOG=text or make run LOG=json"),
    ],
)
def test_invalid_option_is_a_one_line_error(failure: Callable[..., str], option: dict[str, str], said: str):
    assert failure(**option) == f"bindery: {said}"


def test_port_in_use_is_a_one_line_error_and_changes_nothing(
    server: Server, failure: Callable[..., str], tmp_path: Path
):
    assert failure(server.port, state=tmp_path / "state") == (
        f"bindery: port {server.port} is already in use. If another Bindery server is running, stop it, or start a"
        f" second server on another port and state folder: make run PORT={server.port % 65535 + 1} STATE_DIR=.local-2"
    )
    assert not (tmp_path / "state").exists()


def test_state_of_an_older_release_is_refused_with_a_remedy(failure: Callable[..., str], tmp_path: Path):
    (tmp_path / "registry").mkdir()
    assert failure(state=tmp_path) == (
        f"bindery: {tmp_path} is not a state folder of this release of Bindery. Move it away to start with new demo"
        " data, or use another folder: make run STATE_DIR=…"
    )


def test_second_server_on_the_same_state_is_refused(server: Server, failure: Callable[..., str]):
    assert failure(state=server.state) == (
        f"bindery: the state folder {server.state} is in use by another server (process {server.process.pid}). Stop"
        " it, or use another folder: make run STATE_DIR=…"
    )


@pytest.mark.parametrize("path", ["/v0/devices", "/docs/settings.json", "/issuer/keys", "/nowhere", "/"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "elsewhere.example"},
        {"Host": "127.0.0.1.elsewhere.example"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_requests_from_other_sites_are_refused(client: httpx.Client, path: str, headers: dict[str, str]):
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_containers_can_reach_only_the_issuer(client: httpx.Client):
    host = {"Host": "host.docker.internal:1"}
    found = client.get("/issuer/.well-known/openid-configuration", headers=host).json()
    assert found["issuer"].startswith("http://host.docker.internal:")
    for path in ("/docs/settings.json", "/v0/devices", "/"):
        assert client.get(path, headers=host).status_code == 404


def test_root_redirects_browsers_to_the_documentation(client: httpx.Client):
    answer = client.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs/")
    assert client.get("/").status_code == 404


def test_sam_local_events_contain_the_demo_credentials(server: Server, client: httpx.Client):
    event = json.loads((server.state / "events/rufus/get_device.json").read_text())
    bound = bind(server)
    assert event["pathParameters"] == {"deviceid": bound}
    # The sample's own key has no permission to unbind.
    assert event["headers"]["api_key"] == server.environment["RUFUS_UNBIND_KEY"]
    assert client.get(event["rawPath"], headers={"api_key": event["headers"]["api_key"]}).status_code == 200
    assert {path.name for path in server.state.glob("events/*/*.json")} == {
        function.event.name for function in template.http_functions()
    }


def test_sam_local_is_configured_for_the_local_registry_and_this_machine(server: Server):
    config = tomllib.loads((server.state / "samconfig.toml").read_text())["default"]
    architecture = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    for command in ("local_invoke", "local_start_lambda"):
        options = config[command]["parameters"]
        assert options["parameter_overrides"] == f"Architecture={architecture}"
        settings = json.loads(Path(options["env_vars"]).read_text())["Parameters"]
        # SAM passes only variables that the template declares.
        declared = {name for function in template.functions() for name in function.environment}
        assert settings.keys() <= declared
        assert re.fullmatch(r"http://host\.docker\.internal:\d+/[\w-]{43}", settings["AWS_ENDPOINT_URL"])
