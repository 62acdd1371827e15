"""What it takes to import a function in a fresh process and make its client, beside peers, one after the other in turn.

The functions and layers are those that `make build` made, and nothing else is on the path but what the runtime has:
boto3 and what it needs. Without a folder it can write, Python compiles nothing that has no bytecode, as in Lambda.
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
"""What stands in the name of a layer of wheels."""

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


def built(layer: str) -> Path:
    """A layer's folder, for this machine's processor where it differs by that."""
    found = [BUILD / name for name in (f"{layer}Layer", f"{layer}{PROCESSORS[PROCESSOR]}Layer")]
    return next(folder for folder in found if folder.is_dir())


def subjects(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """By name each module to import and the environment in which to; the peers' modules are written into `folder`."""
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
    """The processor's milliseconds of each import in a fresh process, over so many rounds in which each has its turn.

    Importing waits for nothing, so this is its time on a machine that does nothing else.
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
    """The same as Lambda's own runtime interface client and emulator report it: from the process' start to ready."""
    asked = subjects(folder)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            module, given = asked[name]
            times[name].append(_emulated(f"{module}.handler", given))
    return {name: Spread.of(each, times[BARE]) for name, each in times.items()}


def _emulated(handler: str, given: dict[str, str]) -> float:
    with Slot(handler, given) as slot:
        # The emulator starts the function with its first request; what that answers is no matter here.
        slot.invoke({})
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", slot.said())
        assert found is not None, slot.said()
    return float(found[1])
