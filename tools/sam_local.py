"""What `sam local` needs to run functions against the local server, written anew at every start.

- `samconfig.toml`: options, so that `--config-file` is the only one to type;
- `sam-env.json`: the registry's address and credential, the issuer, and the names of tables and secrets;
- `events/`: the sample events with the demo callers' credentials.

Containers reach the local server by Docker's name for this machine. SAM cannot put them on the host's network (with
`--docker-network host` it leaves them on the default bridge), so the server also listens on the bridge's address.
"""

import base64
import json
import platform
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bindery.security import secrets
from tools import engine, files, quectel_login, template

BRIDGE = b"docker0"
_SIOCGIFADDR = 0x8915


def bridge() -> str | None:
    """The address of this machine on Docker's default bridge; None where there is none (Docker Desktop, no Docker)."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            found = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", BRIDGE))
        except OSError:
            return None
    return socket.inet_ntoa(found[20:24])


def write(state: Path, settings: Mapping[str, str], demo: Mapping[str, str]) -> None:
    """Write all of it: the settings in which containers differ, and events with these demo credentials."""
    environment = state / "sam-env.json"
    files.replace(environment, json.dumps({"Parameters": dict(settings)}, indent=2) + "\n")
    options = {
        "region": engine.REGION,
        "env_vars": str(environment.resolve()),
        "add_host": "host.docker.internal:host-gateway",
        "parameter_overrides": f"Architecture={architecture()}",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    sections = [
        "\n".join([f"[default.{command}.parameters]", *lines]) for command in ("local_invoke", "local_start_lambda")
    ]
    files.replace(state / "samconfig.toml", "\n\n".join(["version = 0.1", *sections]) + "\n")
    for function in template.functions():
        path = state / function.event.relative_to(template.ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, json.dumps(event(function, demo), indent=2) + "\n")


def architecture() -> str:
    """This machine's processor, as Lambda calls it."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def event(function: template.Function, demo: Mapping[str, str]) -> dict[str, Any]:
    """A function's sample event as a demo caller sends it.

    What only an earlier answer can name (a share code, a connection) is left as it is. The token of a user who no
    longer exists is empty.
    """
    made: dict[str, Any] = json.loads(function.event.read_text())
    api, _, operation = function.name.partition(".")
    given, demo = made["headers"], defaultdict(str, demo)
    match api:
        case "rufus":
            given["api_key"] = demo["RUFUS_UNBIND_KEY"]
            if "pathParameters" in made:
                known = secrets.device_id("demo", "Model X1", "DEVICE-123")
                made["rawPath"] = made["requestContext"]["http"]["path"] = f"/v0/devices/{known}"
                made["pathParameters"]["deviceid"] = known
        case "quectel" if operation == "email_pwd_login":
            form = quectel_login.form(
                demo["QUECTEL_EMAIL"],
                demo["QUECTEL_PASSWORD"],
                demo["QUECTEL_USER_DOMAIN"],
                demo["QUECTEL_DOMAIN_SECRET"],
            )
            made["body"] = base64.b64encode(urlencode(form).encode()).decode()
        case "quectel":
            given["authorization"] = demo["QUECTEL_TOKEN_OTHER" if operation == "share_device" else "QUECTEL_TOKEN"]
        case "asseco":
            given["authorization"] = f"bearer {demo['ASSECO_TOKEN']}"
        case "remoteit":
            given["developerkey"] = demo["REMOTEIT_DEVELOPER_KEY"]
            if operation == "login":
                login = {"username": demo["REMOTEIT_USERNAME"], "password": demo["REMOTEIT_PASSWORD"]}
                made["body"] = json.dumps(login)
            else:
                given["token"] = demo["REMOTEIT_TOKEN"]
    return made
