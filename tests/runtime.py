"""Run a function as built by `make build` in Lambda's own runtime: with its folder, its layers and nothing else.

Lambda extracts all layers of a function into /opt, and the runtime provides boto3 and the runtime client: nothing else
is on the path. The runtime client is `awslambdaric` under the Runtime Interface Emulator of the SAM CLI. Of the layers
of wheels, only those for this machine's processor can run here.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tools import template
from tools.template import ROOT

RUNTIME = ROOT / ".venv/runtime"
BUILD = ROOT / ".aws-sam/build"
PROCESSOR = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
CONDITIONS = {"Arm64": PROCESSOR == "arm64", "X8664": PROCESSOR == "x86_64"}
"""Values of the template's conditions on this machine's processor."""

START_SECONDS = 30
"""Maximum time until the emulator listens."""

# Requests to functions stay on this machine, so do not use a proxy.
_open = build_opener(ProxyHandler({})).open


def ready() -> None:
    """Exit with a message if the build is missing."""
    if not (BUILD / "BinderyLayer").is_dir():
        sys.exit("bindery: make build first")


def python() -> str:
    """Return the path of the functions' Python, without its site-packages."""
    return str((RUNTIME / "bin/python").resolve())


def packages(environment: Path = RUNTIME) -> Path:
    """Return the folder of an environment's packages."""
    return next((environment / "lib").glob("python3.13/site-packages"))


def layers(function: template.Function) -> list[str]:
    """Return the logical ids of a function's layers, in the template's order, for this machine's processor."""
    shared = template.document()["Globals"]["Function"]["Layers"]
    own = template.document()["Resources"][function.logical_id]["Properties"].get("Layers", [])
    return list(_chosen([*shared, *own]))


def _chosen(written: list[Any]) -> Iterator[str]:
    for layer in written:
        ((intrinsic, value),) = layer.items()
        if intrinsic == "Fn::If":
            condition, then, otherwise = value
            ((_, value),) = (then if CONDITIONS[condition] else otherwise).items()
        if value != "AWS::NoValue":
            yield value


def opt(function: template.Function, folder: Path) -> Path:
    """Merge a function's layers below `folder`, as Lambda does in /opt, once for each combination of layers.

    Fail if two layers have the same file: which of them a function gets would depend on the order of its layers.
    """
    names = layers(function)
    made = folder / "+".join(names)
    if not made.exists():
        for name in names:
            for source in (BUILD / name).rglob("*"):
                target = made / source.relative_to(BUILD / name)
                if source.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.symlink_to(source)
    return made


def environment(function: template.Function, layered: Path, physical: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that Lambda gives a function, from the template; `!Ref X` is `physical["X"]`."""
    settings = {name: template.resolve(value, physical) for name, value in function.environment.items()}
    path = [BUILD / function.logical_id, layered / "python", packages()]
    return base(path) | settings | {"AWS_DATA_PATH": str(layered / "botocore")}


def base(path: list[Path]) -> dict[str, str]:
    """Return the environment of every function, without valid credentials and without a writable folder."""
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "-",
        "AWS_SECRET_ACCESS_KEY": "-",
        "HOME": "/nonexistent",
        "LAMBDA_TASK_ROOT": str(path[0]),
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "TZ": ":UTC",
    }


class Slot:
    """Process of a function inside `with`. It handles one request at a time; the first request starts it."""

    def __init__(self, handler: str, given: Mapping[str, str]) -> None:
        self._handler = handler
        self._environment = dict(given)

    def __enter__(self) -> "Slot":
        (emulator,) = (ROOT / ".venv/sam/lib").glob(f"*/site-packages/samcli/local/rapid/aws-lambda-rie-{PROCESSOR}")
        asked, internal = _ports()
        self._url = f"http://127.0.0.1:{asked}/2015-03-31/functions/function/invocations"
        self._said = tempfile.TemporaryFile("a+")
        # The emulator's process group includes the runtime's process. Lambda runs functions in their own folder.
        self._process = subprocess.Popen(
            [
                emulator,
                f"--runtime-interface-emulator-address=127.0.0.1:{asked}",
                f"--runtime-api-address=127.0.0.1:{internal}",
                *(python(), "-S", "-m", "awslambdaric", self._handler),
            ],
            env=self._environment,
            cwd=self._environment["LAMBDA_TASK_ROOT"],
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._said.close()

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the function's response, or the emulator's error (`errorMessage`) if the function crashes."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with _open(self._url, json.dumps(event).encode(), timeout=60) as answer:
                    answered: dict[str, Any] = json.load(answer)
                    return answered
            except URLError as error:
                # Retry only while the emulator does not listen yet. Any other error is permanent.
                refused = isinstance(error.reason, ConnectionRefusedError)
                if not refused or self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self._handler}: {error.reason}\n{self.said()}") from error
            time.sleep(0.02)

    def said(self) -> str:
        """Return everything that the function and the emulator have written so far."""
        self._said.seek(0)
        return self._said.read()


def _ports() -> tuple[int, int]:
    """Return two free ports."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
