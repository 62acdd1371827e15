"""Times of a function in a new process: init, first request, warm request. Compared subjects are measured in turn.

The functions and layers are those built by `make build`. The path contains only these and the packages of the runtime:
boto3 and its dependencies. As in Lambda, Python cannot write bytecode, so it compiles sources without it each time.
The calls go to a stub on loopback with TLS, whose root certificate is added to the usual ones.
"""

import json
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from bench.cases import Kept, Stub
from bench.peers import PEERS
from tests import runtime
from tests.openid import AUDIENCE
from tests.runtime import BUILD, PROCESSOR
from tools import template
from tools.template import ROOT

PACKAGES = ROOT / ".venv/bench"
CORE = 0.289
"""Share of a processor of a function with 512 MB: Lambda gives a whole one with 1,769 MB."""

_PERIOD = 20_000  # microseconds; short, so that little is free in a first period
_GROUPS = Path("/sys/fs/cgroup")
_WHEEL_LAYERS = {"arm64": "Arm64", "x86_64": "X8664"}  # suffix in a layer's name, by architecture


class Subject(NamedTuple):
    """A handler's module, and its environment."""

    module: str
    environment: Mapping[str, str]


class Spread(NamedTuple):
    """Median of measured times, and the median of their ratios to a peer's times of the same rounds."""

    median: float
    ratio: float

    @classmethod
    def of(cls, times: list[float], peer: list[float]) -> "Spread":
        """Return the spread of times. `peer` has the times measured in the same rounds."""
        return cls(
            statistics.median(times), statistics.median(mine / its for mine, its in zip(times, peer, strict=True))
        )


def built(layer: str) -> Path:
    """Return a layer's folder: the one for this machine's architecture if there is one per architecture."""
    found = [BUILD / name for name in (f"{layer}Layer", f"{layer}{_WHEEL_LAYERS[PROCESSOR]}Layer")]
    return next(folder for folder in found if folder.is_dir())


def subjects(folder: Path, stub: Stub, issuer: str = "") -> dict[str, Subject]:
    """Return the peers and all functions by name, in an environment with the stub as AWS. Writes to `folder`."""
    bundle = _with_root(folder / "bundle.pem", runtime.packages() / "botocore/cacert.pem", stub.authority)
    data = folder / "data"
    if not data.exists():
        shutil.copytree(built("Deps") / "botocore", data)
    _with_root(data / "amazon-roots.pem", built("Deps") / "botocore/amazon-roots.pem", stub.authority)
    peer = runtime.base([folder, built("Deps") / "python", runtime.packages(PACKAGES)])
    found = {}
    for number, (name, source) in enumerate(PEERS.items()):
        (folder / f"peer{number}.py").write_text(source)
        case = {"AWS_ENDPOINT_URL": stub.url, "AWS_CA_BUNDLE": bundle, "BENCH_CASE": str(folder / "stub.json")}
        found[name] = Subject(f"peer{number}", peer | case)
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]} | {"Issuer": issuer}
    for function in template.http_functions():
        given = runtime.environment(function, runtime.opt(function, folder / "opt"), physical)
        changed = {"AWS_ENDPOINT_URL": stub.url, "AWS_DATA_PATH": str(data), "BUNDLE": bundle, "AUDIENCE": AUDIENCE}
        found[function.name] = Subject(function.name, given | changed)
    return found


def _with_root(target: Path, roots: Path, root: Path) -> str:
    target.write_text(roots.read_text() + root.read_text())
    return str(target)


def variants(folder: Path, subject: Subject) -> dict[str, Subject]:
    """Return a function as it is, after copies of it that each lack one improvement."""
    package = folder / "plain/bindery"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__ = [{str(built('Bindery') / 'python/bindery')!r}]")
    bundle = {"AWS_CA_BUNDLE": subject.environment["BUNDLE"]}
    changes = {
        "with `AwsClient=botocore`": {"AWS_CLIENT": "botocore", **bundle},
        # Under SnapStart, the client does not connect during init.
        "without a connection from init": {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"},
        "with all authorities' certificates": bundle,
        "without bytecode": {"PYTHONPYCACHEPREFIX": "/nonexistent"},
        "without `bindery/__init__.py`": {"PYTHONPATH": f"{package.parent}:{subject.environment['PYTHONPATH']}"},
        "as it is": {},
    }
    return {
        f"Bindery {name}": Subject(subject.module, {**subject.environment, **change})
        for name, change in changes.items()
    }


def run(subject: Subject, kept: Kept | None = None, group: Path | None = None) -> dict[str, float]:
    """Return the milliseconds that `child.py` measures. Its first request runs in a control group, if there is one."""
    child = subprocess.Popen(
        [runtime.python(), "-S", str(Path(__file__).with_name("child.py")), subject.module]
        + ([json.dumps(kept.event)] if kept else []),
        env=dict(subject.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        if kept:
            child.stdout.readline()
            if group:
                (group / "cgroup.procs").write_text(str(child.pid))
            child.stdin.write("\n")
            child.stdin.flush()
        return {name: seconds * 1000 for name, seconds in json.loads(child.stdout.read()).items()}


def rounds(number: int, asked: Mapping[str, Callable[[], dict[str, float]]]) -> dict[str, dict[str, Spread]]:
    """Measure each subject in turn, and return the times of each kind by subject. The first is the peer of all."""
    times: dict[str, dict[str, list[float]]] = {}
    for _ in range(number):
        for name, measure in asked.items():
            for kind, milliseconds in measure().items():
                times.setdefault(kind, {}).setdefault(name, []).append(milliseconds)
    return {
        kind: {name: Spread.of(each, next(iter(found.values()))) for name, each in found.items()}
        for kind, found in times.items()
    }


@contextmanager
def quota() -> Iterator[Path | None]:
    """Make a control group with `CORE` of a processor, or yield None where that is not permitted."""
    allowed = str(round(_PERIOD * CORE))
    first = (_GROUPS / "cpu").is_dir()  # cgroup version 1
    folder = (_GROUPS / "cpu" if first else _GROUPS) / "bindery-bench"
    limits = (
        {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": allowed}
        if first
        else {"cpu.max": f"{allowed} {_PERIOD}"}
    )
    try:
        folder.mkdir()
        for name, limit in limits.items():
            (folder / name).write_text(limit)
    except OSError:
        yield None
    else:
        yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()
