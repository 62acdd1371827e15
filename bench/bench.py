"""`make bench`: measure Bindery, and write the tables of docs/performance.md and its picture.

With the argument `short`, it prints the tables after two rounds of the five binding operations, and writes nothing. The
whole run takes about ten minutes on two idle cores.
"""

import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bench import cases, clients, processes, throughput
from bench.cases import CASES, Kept
from bench.peers import BARE, PEERS, USUAL
from bench.processes import CORE, Spread, Subject, built
from bindery.core import clock
from tests import runtime
from tests.openid import Bank
from tests.performance.test_imports import layers
from tools import template
from tools.generate import costs
from tools.template import ROOT

PICTURE = ROOT / "docs/performance.svg"

Times = dict[str, dict[str, Spread]]


def main() -> None:
    """Measure, print the tables, and write the page and the picture unless the run is short."""
    runtime.ready()
    short = sys.argv[1:] == ["short"]
    rounds = 2 if short else 15
    os.environ["_X_AMZN_TRACE_ID"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    with tempfile.TemporaryDirectory() as name, Bank() as bank, processes.quota() as group:
        folder = Path(name)
        kept, secrets = cases.keep(bank)
        with cases.stub(folder, kept["rufus.bind_device"], secrets) as stub:
            subjects = processes.subjects(folder, stub)
            first = processes.rounds(rounds, first_requests(folder, subjects, kept["rufus.bind_device"], group))
            shown = [*PEERS, *CASES] if short else subjects
            inits = processes.rounds(rounds, {name: partial(processes.run, subjects[name]) for name in shown})["init"]
        warm = {
            operation: warm_requests(folder, kept[operation], secrets, operation, bank, rounds) for operation in CASES
        }
        called = calls(folder, rounds)
        served = throughput.measure(folder / "state", rounds)
    tables = {
        "run": run_line(rounds, group),
        "requests": requests_table(inits, warm, first),
        "first": first_table(first, limited=group is not None),
        "clients": clients_table(called),
        "server": f"The local server answers {served['POST /v0/devices'].median:.0f} rufus bind requests and"
        f" {served['GET /api/base/configs'].median:.0f} vodlix settings a second, from {throughput.CALLERS} callers.\n",
    }
    sys.stdout.write("\n".join([*tables.values(), sizes_table()]))
    if not short:
        page = costs.PAGE.read_text()
        for name, text in tables.items():
            page = costs.filled(page, f"bench {name}", text)
        costs.PAGE.write_text(page)
        PICTURE.write_text(picture(inits))


def first_requests(
    folder: Path, subjects: dict[str, Subject], kept: Kept, group: Path | None
) -> dict[str, partial[dict[str, float]]]:
    """Return the measurements of rufus' bind request by name, for `processes.rounds`."""
    asked = {name: subjects[name] for name in (BARE, USUAL)}
    asked |= processes.variants(folder, subjects["rufus.bind_device"])
    return {name: partial(processes.run, subject, kept, group) for name, subject in asked.items()}


def warm_requests(folder: Path, kept: Kept, secrets: dict[str, str], operation: str, bank: Bank, rounds: int) -> Spread:
    """Return the CPU time of an operation's warm request, relative to that of its bare calls."""
    with cases.stub(folder, kept, secrets) as stub:
        subjects = processes.subjects(folder, stub, bank.url)
        asked = {name: partial(processes.run, subjects[name], kept) for name in (BARE, operation)}
        return processes.rounds(rounds, asked)["warm"][operation]


def calls(folder: Path, rounds: int) -> Times:
    """Return the CPU times of each DynamoDB client: of creating it, and of two warm calls, without TLS."""
    path = [built("Bindery") / "python", built("Deps") / "python", runtime.packages(processes.PACKAGES)]
    answer = (200, {}, json.dumps({"Item": clients.ITEM}))
    with cases.stub(folder, Kept({}, [], [answer]), {}, secure=False) as stub:
        given = runtime.base(path) | {
            "AWS_ENDPOINT_URL": stub.url,
            "AWS_DATA_PATH": str(built("Deps") / "botocore"),
        }

        def measure(name: str) -> dict[str, float]:
            client = "botocore" if "botocore" in name else "direct"
            command = [runtime.python(), "-S", str(Path(clients.__file__)), name, stub.url]
            done = subprocess.run(command, env=given | {"AWS_CLIENT": client}, stdout=subprocess.PIPE, check=True)
            return {kind: seconds * 1000 for kind, seconds in json.loads(done.stdout).items()}

        return processes.rounds(rounds, {name: partial(measure, name) for name in clients.CLIENTS})


def run_line(rounds: int, group: Path | None) -> str:
    how = f"a control group with {CORE} of a processor" if group else f"CPU time divided by {CORE}"
    machine = f"{platform.machine()}, {os.cpu_count()} processors, Python 3.13"
    return (
        f"Measured in turn on {clock.today():%-d %B %Y} ({machine}). Medians of {rounds} rounds. The quota:\n{how}.\n"
    )


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    heads = list(heads)
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def requests_table(inits: dict[str, Spread], warm: dict[str, Spread], first: Times) -> str:
    """Return a table of init and warm requests, in which functions that are not in `CASES` share a row."""
    usual = first["warm"][USUAL]
    rows = [
        (name, f"{each.median:.0f}", f"{each.ratio:.2f}", *_warm(warm.get(name, usual if name == USUAL else None)))
        for name, each in inits.items()
        if name in PEERS or name in CASES
    ]
    for kind, rest in {
        "each other operation": [name for name in inits if not name.startswith("admin.")],
        "each operators' function": [name for name in inits if name.startswith("admin.")],
    }.items():
        found = sorted(
            (inits[name] for name in rest if name not in PEERS and name not in CASES), key=lambda each: each.ratio
        )
        if found:
            low, high = found[0], found[-1]
            rows.append(
                (kind, f"{low.median:.0f} to {high.median:.0f}", f"{low.ratio:.2f} to {high.ratio:.2f}", "", "")
            )
    return table(("CPU time", "init, ms", "x bare", "warm request, ms", "x its bare calls"), rows)


def _warm(found: Spread | None) -> tuple[str, str]:
    return (f"{found.median:.2f}", f"{found.ratio:.2f}") if found else ("", "")


def first_table(first: Times, *, limited: bool) -> str:
    """Return a table of first requests. Without a control group, the times under the quota are calculated."""
    rows = []
    for name, cpu in first["first"].items():
        waited = first["elapsed"][name] if limited else Spread(cpu.median / CORE, cpu.ratio)
        init = first["init"][name].median
        rows.append(
            (
                name,
                f"{init:.0f}",
                f"{cpu.median:.1f}",
                f"{cpu.ratio:.2f}",
                f"{waited.median:.1f}",
                f"{waited.ratio:.2f}",
            )
        )
    heads = ("`rufus.bind_device`", "init, CPU ms", "first request, CPU ms", "x bare", "under the quota, ms", "x bare")
    return table(heads, rows)


def clients_table(called: Times) -> str:
    rows = [
        (
            name,
            *(
                text
                for kind in called
                for text in (f"{called[kind][name].median:.3g}", f"{called[kind][name].ratio:.2f}")
            ),
        )
        for name in clients.CLIENTS
    ]
    heads = ("CPU time", "import and create, ms", "x", "`GetItem`, ms", "x", "`TransactWriteItems`, ms", "x")
    return table(heads, rows)


def sizes_table() -> str:
    """Return a table of each layer's size and the number of functions that use it."""
    rows = []
    for name in ("Bindery", "Deps", "Jwt", "Cryptography"):
        using = [
            each
            for each in template.http_functions()
            if name in ("Bindery", "Deps") or name.lower() in layers(each).split(",")
        ]
        rows.append((f"`{name}`", *(f"{value / 1e6:.2f}" for value in size(built(name))), len(using)))
    return table(("layer", "MB unzipped", "MB zipped", "functions"), rows)


def size(folder: Path) -> tuple[int, int]:
    """Return a folder's size in bytes, unzipped and zipped."""
    packed = io.BytesIO()
    whole = 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
                whole += path.stat().st_size
    return whole, len(packed.getvalue())


def picture(inits: dict[str, Spread]) -> str:
    """Return an SVG bar chart of the init ratios, with a line at the baseline."""
    shown = {name.replace("`", ""): each for name, each in inits.items() if not name.startswith("admin.")}
    height, left, scale = 22 * len(shown) + 60, 300, 440 / max(each.ratio for each in shown.values())
    limit = left + scale
    bars = []
    for number, (name, each) in enumerate(shown.items()):
        y, width = 40 + 22 * number, each.ratio * scale
        colour = "#8a8f98" if number < len(PEERS) else "#2f6fde"
        bars.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 12}">{each.ratio:.2f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" font-family="sans-serif" font-size="12"'
        f' role="img" aria-label="Init of each function beside a bare boto3 client">'
        f'<rect width="800" height="{height}" fill="#fff"/>'
        '<text x="10" y="22" font-size="14">Init in a new process, CPU time; a bare boto3 client is 1.00</text>'
        + "".join(bars)
        + f'<line x1="{limit}" x2="{limit}" y1="34" y2="{height - 14}" stroke="#c03" stroke-dasharray="4 3"/></svg>\n'
    )


if __name__ == "__main__":
    main()
