"""Write the files that `sam local` needs to run functions against the local server.

They are `samconfig.toml`, `sam-env.json` (variables) and `events/` (with demo credentials). Containers use Docker's
default bridge, because SAM cannot attach them to the host network.
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
from tools import files, template
from tools.local import engine, quectel_login
from tools.local.demo import PHONE

SAMPLE_DEVICE_ID = "65A1B7E0C6BC3D32C268C1506E3F6F39E225DC6ED79573E177E7243E8E38115B"
"""deviceid in the sample events of rufus."""
SAMPLE_SESSION = "the-session-token-of-a-user"
"""Session token in the sample events of remoteit."""

BRIDGE = b"docker0"
_SIOCGIFADDR = 0x8915


def bridge() -> str | None:
    """Return this machine's address on Docker's default bridge, if there is one."""
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
    """Write the files. `settings` are the containers' variables."""
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
    for function in template.http_functions():
        path = state / function.event.relative_to(template.ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, json.dumps(event(function, demo), indent=2) + "\n")


def architecture() -> str:
    """Return Lambda's name for this machine's architecture."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def event(function: template.Function, demo: Mapping[str, str]) -> dict[str, Any]:
    """Return a sample event with demo credentials. Tokens of deleted users are empty."""
    demo = defaultdict(str, demo)
    text = function.event.read_text().replace(SAMPLE_SESSION, demo["REMOTEIT_TOKEN"])
    made: dict[str, Any] = json.loads(
        text.replace(SAMPLE_DEVICE_ID, secrets.device_id("demo", "Model X1", "DEVICE-123"))
    )
    api, _, operation = function.name.partition(".")
    given = made["headers"]
    match api:
        case "rufus":
            given["api_key"] = demo["RUFUS_UNBIND_KEY"]
        case "quectel" if operation == "email_pwd_login":
            form = quectel_login.form(
                demo["QUECTEL_EMAIL"],
                demo["QUECTEL_PASSWORD"],
                demo["QUECTEL_USER_DOMAIN"],
                demo["QUECTEL_DOMAIN_SECRET"],
            )
            made["body"] = base64.b64encode(urlencode(form).encode()).decode()
        case "quectel" if operation == "phone_pwd_login":
            password, secret = demo["REMOTEIT_PASSWORD_OTHER"], demo["QUECTEL_DOMAIN_SECRET"]
            signed = quectel_login.query(*PHONE, password, demo["QUECTEL_USER_DOMAIN"], secret)
            made["rawQueryString"] = urlencode(signed)
        case "quectel":
            given["authorization"] = demo["QUECTEL_TOKEN_OTHER" if operation == "share_device" else "QUECTEL_TOKEN"]
        case "asseco":
            given["authorization"] = f"bearer {demo['ASSECO_TOKEN']}"
        case "remoteit":
            given["developerkey"] = demo["REMOTEIT_DEVELOPER_KEY"]
            if operation == "login":
                login = {"username": demo["REMOTEIT_USERNAME"], "password": demo["REMOTEIT_PASSWORD"]}
                made["body"] = json.dumps(login)
    return made
