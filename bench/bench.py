"""`make bench`: measure Bindery, print the results, and draw docs/performance.svg.

All compared subjects are measured in turn in each round, so other load on the machine affects them equally. Arguments
limit the functions whose init is measured; measuring all of them takes about four minutes on two idle cores.
"""

import io
import os
import platform
import sys
import tempfile
import zipfile
from pathlib import Path

from bench import init, throughput, warm
from bench.init import BARE, Spread
from tests import runtime
from tests.openid import AUDIENCE, Bank
from tests.performance import recorded
from tests.performance.refusals import refusals
from tests.performance.stories import STORIES, World
from tests.performance.test_imports import layers
from tools import template
from tools.generate import costs
from tools.local import serve
from tools.local.engine import Engine
from tools.template import ROOT

ROUNDS = 15
PICTURE = ROOT / "docs/performance.svg"


def main() -> None:
    """Measure, print the results, and write the page and the chart."""
    runtime.ready()
    os.environ["_X_AMZN_TRACE_ID"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    with tempfile.TemporaryDirectory() as folder:
        fresh = init.fresh(Path(folder), ROUNDS, sys.argv[1:])
        emulated = init.through_the_runtime(Path(folder), [BARE, *warm.CASES], 5)
        served = throughput.measure(Path(folder) / "state", ROUNDS)
    warmed = warm_requests()
    lines = [
        f"Measured on {warm.now()}: {platform.machine()}, {os.cpu_count()} processors, Python 3.13, in turn, "
        f"{ROUNDS} rounds (the runtime: 5). Median, the quartiles, and the median of the rounds' ratios.",
        "",
        *table("Init: processor ms in a fresh process", fresh, BARE),
        *table("Init: ms through Lambda's runtime client and emulator", emulated, BARE),
        *(line for name, found in warmed.items() for line in found_table(name, found)),
        *sizes(),
        *throughputs(served),
        *counts(),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    PICTURE.write_text(picture(fresh))


def warm_requests() -> dict[str, dict[str, dict[str, Spread]]]:
    """Return the times of each binding operation and its peers."""
    warm.install()
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder)) as engine, Bank() as bank:
        serve.prepare(engine, bank.url)
        os.environ["AUDIENCE"] = AUDIENCE
        warm.silence()
        return {name: warm.measure(name, kept, bank, ROUNDS) for name, kept in warm.keep(World(bank)).items()}


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def figures(found: Spread, digits: int) -> tuple[str, str, str]:
    spread = f"{found.low:.{digits}f} to {found.high:.{digits}f}"
    return f"{found.median:.{digits}f}", spread, f"{found.ratio:.2f}"


def table(title: str, found: dict[str, Spread], peer: str) -> list[str]:
    rows = [row(name, *figures(each, 1)) for name, each in found.items()]
    return ["", row(title, "median", "quartiles", f"x {peer}"), row("---", "--:", "--:", "--:"), *rows]


def found_table(name: str, found: dict[str, dict[str, Spread]]) -> list[str]:
    rows = [row(f"{who}, {kind}", *figures(each, 2)) for kind, times in found.items() for who, each in times.items()]
    return ["", row(f"Warm: {name}", "median", "quartiles", "x bare calls"), row("---", "--:", "--:", "--:"), *rows]


def sizes() -> list[str]:
    """Return a table of each layer's size and the number of functions that use it."""
    names = ("Bindery", "Deps", "Jwt", "Cryptography")
    measured = {name: size(init.built(name)) for name in names}
    having = {name: [f for f in template.functions() if name.lower() in layers(f).split(",")] for name in names[2:]}
    rows = [
        row(
            f"`{name}`",
            *(f"{value / 1e6:.2f}" for value in measured[name]),
            len(having.get(name, template.functions())),
        )
        for name in names
    ]
    return ["", row("Layer", "MB unzipped", "MB zipped", "functions"), row("---", "--:", "--:", "--:"), *rows]


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


def throughputs(served: dict[str, Spread]) -> list[str]:
    """Return a table of the local server's requests per second."""
    rows = [
        row(f"`{name}`", f"{each.median:.0f}", f"{each.low:.0f} to {each.high:.0f}") for name, each in served.items()
    ]
    head = f"Requests a second of the local server, from {throughput.CALLERS} callers"
    return ["", row(head, "median", "quartiles"), row("---", "--:", "--:"), *rows]


def counts() -> list[str]:
    """Return a table of each case's DynamoDB costs, and of the price of a million requests."""
    rows = []
    for story in (*STORIES, refusals):
        for name, cases in recorded.read(story.__name__).items():
            for case, cost in cases.items():
                read, write = (sum(cost[kind].values()) for kind in ("read units", "write units"))
                where = ", ".join(f"{index} {units:g}" for index, units in cost["write units"].items())
                rows.append(
                    row(
                        f"{name}: {case}",
                        len(cost["calls"]),
                        f"{read:g}",
                        f"{write:g}" + (f" ({where})" if where else ""),
                        cost["items read"],
                        cost["bytes written"],
                        cost["bytes logged"],
                        f"{costs.million(name, cost).total():.2f}",
                    )
                )
    heads = (
        "Case",
        "calls, all in sequence",
        "read units",
        "write units",
        "items read",
        "bytes written",
        "bytes logged",
    )
    return ["", row(*heads, "$ a million"), row("---", *["--:"] * 2, "---", *["--:"] * 4), *rows]


def picture(fresh: dict[str, Spread]) -> str:
    """Return an SVG bar chart of the init ratios, with a line at the baseline."""
    shown = {name: each for name, each in fresh.items() if not name.startswith("admin.")}
    height, left, scale = 22 * len(shown) + 60, 260, 480 / max(each.ratio for each in shown.values())
    limit = left + scale
    bars = []
    for number, (name, each) in enumerate(shown.items()):
        y, width = 40 + 22 * number, each.ratio * scale
        colour = "#8a8f98" if name in init.PEERS else "#2f6fde"
        bars.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 12}">{each.ratio:.2f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" font-family="sans-serif" font-size="12"'
        f' role="img" aria-label="Init of each function beside a bare boto3 client">'
        f'<rect width="800" height="{height}" fill="#fff"/>'
        '<text x="10" y="22" font-size="14">Init in a fresh process; a bare boto3.client("dynamodb") is 1.00</text>'
        + "".join(bars)
        + f'<line x1="{limit}" x2="{limit}" y1="34" y2="{height - 14}" stroke="#c03" stroke-dasharray="4 3"/></svg>\n'
    )


if __name__ == "__main__":
    main()
