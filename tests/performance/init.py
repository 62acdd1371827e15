"""What it takes to import a function in a fresh process and make its client, beside peers, one after the other in turn.

The functions and layers are those that `make build` made, and nothing else is on the path but what the runtime has:
boto3 and what it needs. Without a folder it can write, Python compiles nothing that has no bytecode, as in Lambda.
"""

import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.performance.test_imports import layers
from tools import template
from tools.template import ROOT

BENCH = ROOT / ".venv/bench"
BUILD = ROOT / ".aws-sam/build"
EMULATOR = ROOT / ".venv/sam/lib"
ARCHITECTURE = "Arm64" if platform.machine() == "aarch64" else "X8664"

BARE = "bare boto3.client"
_BARE = "import boto3; client = boto3.client('dynamodb')"
PEERS = {
    BARE: f"{_BARE}\ndef handler(event, context): return {{'statusCode': 200}}",
    "FastAPI + Mangum": f"""{_BARE}
from fastapi import FastAPI
from mangum import Mangum
app = FastAPI()
@app.get("/")
def hello() -> dict[str, str]:
    return {{"message": "hello"}}
handler = Mangum(app)
""",
    "Powertools resolver": f"""{_BARE}
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from pydantic import BaseModel
app = APIGatewayHttpResolver(enable_validation=True)
class Hello(BaseModel):
    name: str
@app.post("/")
def hello(body: Hello) -> dict[str, str]:
    return {{"message": body.name}}
def handler(event, context): return app.resolve(event, context)
""",
}
"""A handler's module each; the first is what everything is compared with."""

_TIMED = """
import os, time
start = time.process_time()
import {module}
os.write(1, str(time.process_time() - start).encode())
os._exit(0)
"""


@dataclass(frozen=True)
class Spread:
    """The median of some times and their quartiles, and the median of their ratios to the peer's of the same round."""

    median: float
    low: float
    high: float
    ratio: float

    @classmethod
    def of(cls, times: list[float], peer: list[float]) -> "Spread":
        """`peer` was measured in the same rounds."""
        low, median, high = statistics.quantiles(times, n=4)
        ratio = statistics.median(mine / its for mine, its in zip(times, peer, strict=True))
        return cls(median, low, high, ratio)


def python() -> str:
    """The functions' Python, without its site-packages."""
    return str((BENCH / "bin/python").resolve())


def runtime() -> Path:
    """Where the packages are that Lambda's runtime has, and the peers'."""
    return next((BENCH / "lib").glob("python3.13/site-packages"))


def built(layer: str) -> Path:
    return BUILD / (f"{layer}{ARCHITECTURE}Layer" if layer in ("Deps", "Cryptography") else f"{layer}Layer") / "python"


def path_of(function: template.Function) -> str:
    """The folders in which a function's process looks, in Lambda's order."""
    mine = [built(layer.title()) for layer in layers(function).split(",") if layer]
    return os.pathsep.join(map(str, [BUILD / function.logical_id, built("Bindery"), built("Deps"), *mine, runtime()]))


def environment(path: str) -> dict[str, str]:
    settings = {
        name: template.resolve(value, {logical_id: logical_id for logical_id in template.document()["Resources"]})
        for name, value in template.functions()[0].environment.items()
    }
    return {
        **settings,
        "AWS_DATA_PATH": str(built("Deps").parent / "botocore"),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "-",
        "AWS_SECRET_ACCESS_KEY": "-",
        "HOME": "/nonexistent",
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": path,
    }


def subjects(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """By name each module to import and the environment in which to; the peers' modules are written into `folder`."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for number, (name, source) in enumerate(PEERS.items()):
        (folder / f"peer{number}.py").write_text(source)
        path = os.pathsep.join(map(str, [folder, built("Deps"), runtime()]))
        given = environment(path)
        del given["AWS_DATA_PATH"], given["PYDANTIC_DISABLE_PLUGINS"]
        found[name] = (f"peer{number}", given)
    for function in template.functions():
        found[function.name] = (function.name, environment(path_of(function)))
    return found


def fresh(folder: Path, rounds: int, only: list[str]) -> dict[str, Spread]:
    """The processor's milliseconds of each import in a fresh process, over so many rounds in which each has its turn.

    Importing waits for nothing, so this is its time on a machine that does nothing else.
    """
    asked = {name: subject for name, subject in subjects(folder).items() if not only or name in (*PEERS, *only)}
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (module, given) in asked.items():
            done = subprocess.run(
                [python(), "-S", "-c", _TIMED.format(module=module)], env=given, stdout=subprocess.PIPE, check=True
            )
            times[name].append(float(done.stdout) * 1000)
    return {name: Spread.of(each, times[BARE]) for name, each in times.items()}


def through_the_runtime(folder: Path, names: list[str], rounds: int) -> dict[str, Spread]:
    """The same as Lambda's own runtime interface client and emulator report it: from the process' start to ready."""
    asked = subjects(folder)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            module, given = asked[name]
            times[name].append(_emulated(f"{module}.handler", given))
    return {name: Spread.of(each, times[BARE]) for name, each in times.items()}


def _emulated(handler: str, given: dict[str, str]) -> float:
    (emulator,) = EMULATOR.glob(f"*/site-packages/samcli/local/rapid/aws-lambda-rie-{_machine()}")
    asked, internal = _port(), _port()
    # The emulator's process group holds the runtime's process too; one slot, so one process a measurement.
    process = subprocess.Popen(
        [
            emulator,
            f"--runtime-interface-emulator-address=127.0.0.1:{asked}",
            f"--runtime-api-address=127.0.0.1:{internal}",
            *(python(), "-S", "-m", "awslambdaric", handler),
        ],
        env=given | {"LAMBDA_TASK_ROOT": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{asked}/2015-03-31/functions/function/invocations"
        for _ in range(100):
            try:
                # The emulator starts the function with its first request; what that answers is no matter here.
                urlopen(url, b"{}", timeout=20).read()
                break
            except ConnectionError:
                time.sleep(0.02)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionError):
                    raise
                time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", said)
    assert found is not None, said
    return float(found[1])


def _machine() -> str:
    return "arm64" if ARCHITECTURE == "Arm64" else "x86_64"


def _port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def ready() -> None:
    """End with a word on what is missing."""
    if not (BUILD / "BinderyLayer").is_dir():
        sys.exit("bindery: make build first")
