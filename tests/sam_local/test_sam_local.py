"""Every function handles its event in `sam local`, with the local server that `make run` starts."""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import documented
from tests.built import operators
from tests.http_api import Response
from tests.performance.test_counts import refused
from tests.server.servers import Server, free_port, listens
from tests.server.test_readme import EXAMPLES, shape
from tools import template
from tools.template import ROOT

SAM = ROOT / ".venv/sam"
START_SECONDS = 120
"""Maximum time for `sam local start-lambda` to start."""

COPIED = {
    "rufus.insert_passings": ("token_session", "rufus.open_session", "token_session"),
    "remoteit.stop_connection": ("connectionid", "remoteit.connect_device", "connectionid"),
    "remoteit.login_by_authhash": ("authhash", "remoteit.login", "service_authhash"),
}
"""Members of a body that are copied from an earlier response."""

COMMAND = re.search(r"^sam local invoke .*$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)

ORDER = {
    "rufus": "bind_device get_device list_devices open_session insert_passings list_passings unbind_device",
    "quectel": "get_device_info_by_binding get_product_list product_tsl bind_device_sn device_info"
    " get_device_binding_info get_device_online_status get_device_business_attributes batch_control_device get_auth_key"
    " regenerate_auth_key set_device_info user_device_list share_info share_device unbundling_device_dk email_pwd_login"
    " phone_pwd_login refresh_token user_info",
    "asseco": "register_owned_device get_device list_owned_devices set_nickname set_push_handle block_device"
    " unblock_device unregister_device list_issued_devices get_issued_device set_issued_nickname list_classifications"
    " get_classification",
    "remoteit": "connect_device list_all find_by_name count_devices list_metadata rename_device stop_connection"
    " delete_device login login_by_authhash get_user check_token logout",
    "vodlix": "add_device check_device record_activity get_configs",
    "admin": " ".join(operators.ASKED),
    "default": "no_route",
}
"""Operations of each API, in an order in which each sample request succeeds."""


def sam(*arguments: str) -> list[str]:
    # `tests.sam_local.docker` has prepared the image.
    return [str(SAM / "bin/sam"), "local", *arguments, "--skip-pull-image"]


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {**os.environ, "SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(SAM / "home")}


@pytest.fixture
def invoke(server: Server, environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str, Any], Response]]:
    """Invoke a function in its own container, through `sam local start-lambda`."""
    port = free_port()
    config = str(server.state / "samconfig.toml")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            sam("start-lambda", "--config-file", config, "--port", str(port)),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    functions = f"http://127.0.0.1:{port}/2015-03-31/functions"

    def ask(name: str, event: Any) -> Response:
        answered = httpx.post(f"{functions}/{template.function(name).logical_id}/invocations", json=event, timeout=300)
        content = answered.json()
        assert "statusCode" in content, (name, content, (tmp_path / "log").read_text())
        return Response(content["statusCode"], content["headers"], content["body"])

    deadline = time.monotonic() + START_SECONDS
    while not listens(port):
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    yield ask
    # Not SIGINT, which processes started in the background ignore. Containers end with their invocation.
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def requests(server: Server, api: str, answers: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events that `make run` wrote, completed with values from earlier responses."""
    for operation in ORDER[api].split():
        name = f"{api}.{operation}"
        event = json.loads((server.state / template.function(name).event.relative_to(ROOT)).read_text())
        if name == "quectel.share_info":
            event["rawQueryString"] = re.sub(r"(?<=acceptingExpireAt=)\d+", "4102444800000", event["rawQueryString"])
        if name == "quectel.share_device":
            event["rawQueryString"] = f"shareCode={answers['quectel.share_info']['data']}"
        if name in COPIED:
            member, source, copied = COPIED[name]
            event["body"] = json.dumps(json.loads(event["body"]) | {member: answers[source][copied]})
        if api == "admin" and (body := operators.ASKED[operation]):
            event["body"] = json.dumps(body)
        yield name, event


def test_every_function_handles_its_event_in_a_container(server: Server, invoke: Callable[[str, Any], Response]):
    def tell(api: str) -> list[str]:
        answers: dict[str, Any] = {}
        for name, event in requests(server, api, answers):
            answer = invoke(name, event)
            documented.check(name, event, answer.status, answer.headers, answer.body)
            assert refused(answer, name) == (api == "default"), (name, answer)
            answers[name] = json.loads(answer.body or "null")
        return list(answers)

    with ThreadPoolExecutor(2) as threads:
        told = [name for names in threads.map(tell, ORDER) for name in names]
    assert sorted(told) == sorted(function.name for function in template.http_functions())


def test_documented_command_returns_the_readmes_response(server: Server, environment: dict[str, str]):
    assert COMMAND
    command = shlex.split(COMMAND[0].replace(".local/", f"{server.state}/"))
    ran = subprocess.run(sam(*command[2:]), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    (shown,) = (answer for name, _, answer in EXAMPLES if name == "rufus")
    assert answer["statusCode"] == 201
    assert shape(json.loads(answer["body"])) == shape(json.loads(shown))
