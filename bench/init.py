"""Time to import a function in a new process and create its client, compared with peers measured in turn.

The functions and layers are those built by `make build`. The path contains only these and the packages of the runtime:
boto3 and its dependencies. As in Lambda, Python cannot write bytecode, so it compiles sources without it each time.
"""

import re
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import runtime
from tests.runtime import BUILD, PROCESSOR, Slot
from tools import template
from tools.template import ROOT

BENCH = ROOT / ".venv/bench"
PROCESSORS = {"arm64": "Arm64", "x86_64": "X8664"}
"""Suffix in the name of a layer of wheels, by architecture."""

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
"""Source of each peer's handler module. The first is the baseline of all ratios."""

_TIMED = """
import os, time
start = time.process_time()
import {module}
os.write(1, str(time.process_time() - start).encode())
os._exit(0)
"""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of measured times, and the median of their ratios to a peer's times of the same rounds."""

    median: float
    low: float
    high: float
    ratio: float

    @classmethod
    def of(cls, times: list[float], peer: list[float]) -> "Spread":
        """Return the spread of times. `peer` has the times measured in the same rounds."""
        low, median, high = statistics.quantiles(times, n=4)
        ratio = statistics.median(mine / its for mine, its in zip(times, peer, strict=True))
        return cls(median, low, high, ratio)


def built(layer: str) -> Path:
    """Return a layer's folder: the one for this machine's architecture if there is one per architecture."""
    found = [BUILD / name for name in (f"{layer}Layer", f"{layer}{PROCESSORS[PROCESSOR]}Layer")]
    return next(folder for folder in found if folder.is_dir())


def subjects(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the module to import and its environment, by name. Peer modules are written to `folder`."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for number, (name, source) in enumerate(PEERS.items()):
        (folder / f"peer{number}.py").write_text(source)
        found[name] = (f"peer{number}", runtime.base([folder, built("Deps") / "python", runtime.packages(BENCH)]))
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]}
    for function in template.functions():
        layered = runtime.opt(function, folder)
        found[function.name] = (function.name, runtime.environment(function, layered, physical))
    return found


def fresh(folder: Path, rounds: int, only: list[str]) -> dict[str, Spread]:
    """Return the CPU milliseconds of each import in a new process, measured in turn in each round.

    Importing does not wait for I/O, so CPU time is the elapsed time on an idle machine.
    """
    asked = {name: subject for name, subject in subjects(folder).items() if not only or name in (*PEERS, *only)}
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (module, given) in asked.items():
            done = subprocess.run(
                [runtime.python(), "-S", "-c", _TIMED.format(module=module)],
                env=given,
                stdout=subprocess.PIPE,
                check=True,
            )
            times[name].append(float(done.stdout) * 1000)
    return {name: Spread.of(each, times[BARE]) for name, each in times.items()}


def through_the_runtime(folder: Path, names: list[str], rounds: int) -> dict[str, Spread]:
    """Return the init milliseconds that Lambda's runtime interface client and emulator report."""
    asked = subjects(folder)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            module, given = asked[name]
            times[name].append(_emulated(f"{module}.handler", given))
    return {name: Spread.of(each, times[BARE]) for name, each in times.items()}


def _emulated(handler: str, given: dict[str, str]) -> float:
    with Slot(handler, given) as slot:
        # The emulator starts the function with its first request. The response does not matter.
        slot.invoke({})
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", slot.said())
        assert found is not None, slot.said()
    return float(found[1])
