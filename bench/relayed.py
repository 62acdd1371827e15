"""`python -m bench.relayed`: times through the device link, beside those of direct connections to the same service.

The local server, the agent, `bindery tunnel` and the services run on this machine. Direct and relayed requests
alternate. Numbers of messages and units are those of tests/performance/recorded.json.
"""

import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx

from bindery.core import clock
from tests.performance import recorded
from tests.server.programs import Tunnel, agent, echo, eventually, operate, read_all, serving_tcp, user
from tests.server.servers import Server
from tools.generate import costs

ADDRESS = "80:00:00:00:00:00:00:F1"
BODIES = {"/small": b"hello", "/large": bytes(1_000_000)}
PIECE = b"x" * 16
TRANSFER = 8_000_000
"""Bytes sent through a tunnel in each round, in each direction."""
ECHOES = 20
"""Round trips of `PIECE` in each round."""


AIMS = {
    "small": {
        "posts": "1",
        "device messages": "1",
        "polls": "1 to 3",
        "read units": "7",
        "write units": "1",
    },
    "1 MB": {"device messages": "12", "write units": "1,036"},
}
"""Aims for recorded numbers."""


class Figure(NamedTuple):
    """A measured value, and the aim."""

    name: str
    value: str
    aim: str


class Service(BaseHTTPRequestHandler):
    """An HTTP service near the device."""

    def do_GET(self) -> None:
        """Return a body."""
        body = BODIES[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving_http() -> Iterator[int]:
    """Serve `BODIES`, and yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Measure, print the table, and write it to the page unless the run is short."""
    short = sys.argv[1:] == ["short"]
    rounds = 3 if short else 25
    with tempfile.TemporaryDirectory() as folder:
        figures = [*measure(Path(folder), rounds), *counts()]
    text = (
        f"Measured on {clock.today():%-d %B %Y}, medians of {rounds} rounds, beside other work on the machine.\n\n"
        + table(figures)
    )
    sys.stdout.write(text)
    if not short:
        costs.PAGE.write_text(costs.filled(costs.PAGE.read_text(), "bench relayed", text))


def table(figures: list[Figure]) -> str:
    """Return a table in Markdown."""
    lines = [("through the device link", "measured", "aim, at most"), ("---", "--:", "--:"), *figures]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Return the times of requests through a label, and of a tunnel."""
    server = Server(folder / "state")
    with ExitStack() as stack:
        stack.callback(server.stop)
        ports = {name: stack.enter_context(serving_tcp(handle)) for name, handle in SERVICES.items()}
        ports["http"] = stack.enter_context(serving_http())
        services = [f"--service={name}=127.0.0.1:{port}" for name, port in ports.items()]
        credential = server.environment["REMOTEIT_DEVICE_CREDENTIAL"]
        stack.enter_context(agent(server, folder, credential, "bindery_agent.py", *services))
        eventually(lambda: operate(server, "show", "--address", ADDRESS)["presence"]["state"], "online")
        return [*requested(server, ports["http"], rounds), *tunnelled(server, rounds)]


def requested(server: Server, port: int, rounds: int) -> list[Figure]:
    """Return the times of small and large requests through a label."""
    url = httpx.URL(lease(server)["proxy"])
    times: dict[tuple[str, bool], list[float]] = {(path, relayed): [] for path in BODIES for relayed in (False, True)}
    for _ in range(rounds):
        for path, relayed in times:
            target = server.port if relayed else port
            host = f"{url.host}:{url.port}" if relayed else f"127.0.0.1:{port}"
            times[path, relayed].append(request(target, host, path))
    small = [through - direct for direct, through in zip(times["/small", False], times["/small", True], strict=True)]
    large = {relayed: statistics.median(times["/large", relayed]) for relayed in (False, True)}
    return [
        Figure("small request, more than direct", milliseconds(statistics.median(small)), "86 ms"),
        Figure(
            f"response of 1 MB (direct: {milliseconds(large[False])})",
            milliseconds(large[True]),
            "273 ms",
        ),
    ]


def lease(server: Server) -> dict[str, str]:
    """Connect to the device, and return the connection."""
    demo = server.environment
    headers = {"token": demo["REMOTEIT_TOKEN"], "developerkey": demo["REMOTEIT_DEVELOPER_KEY"]}
    body = {"deviceaddress": ADDRESS, "wait": "true"}
    made = httpx.post(f"{server.url}/apv/v27/device/connect", headers=headers, json=body)
    connection: dict[str, str] = made.json()["connection"]
    return connection


def request(port: int, host: str, path: str) -> float:
    """Return the seconds of a request over a new connection."""
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    with connection.getresponse() as response:
        content = response.read()
    took = time.perf_counter() - started
    connection.close()
    if (response.status, content) != (200, BODIES[path]):
        raise RuntimeError(f"HTTP {response.status}: {content[:200]!r}")
    return took


def tunnelled(server: Server, rounds: int) -> list[Figure]:
    """Return the time of an echo through a tunnel, and its speed in each direction."""
    with tunnel(server, "echo") as through, through.connect() as opened:
        times = echoed(opened, rounds * ECHOES)
    figures = [Figure("tunnel: echo", milliseconds(statistics.median(times)), "53 ms")]
    for service, name, transfer in (("source", "from", received), ("sink", "to", sent)):
        with tunnel(server, service) as through:
            speeds = []
            for _ in range(max(3, rounds // 5)):
                with through.connect() as opened:
                    speeds.append(transfer(opened))
        value = f"{statistics.median(speeds) / 1e6:.1f} MB/s"
        figures.append(Figure(f"tunnel: {name} the device", value, "3 MB/s, at least"))
    return figures


def tunnel(server: Server, service: str) -> Tunnel:
    """Run `bindery tunnel`, which ends the tunnel before it."""
    return Tunnel(user(server), ADDRESS, "--service", service)


def echoed(opened: socket.socket, rounds: int) -> list[float]:
    """Return the seconds of each round trip of `PIECE`."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        opened.sendall(PIECE)
        received = b""
        while len(received) < len(PIECE):
            received += opened.recv(len(PIECE))
        times.append(time.perf_counter() - started)
    return times


def received(opened: socket.socket) -> float:
    """Return the bytes per second from the device."""
    started = time.perf_counter()
    if len(read_all(opened)) != TRANSFER:
        raise RuntimeError("the transfer was cut short")
    return TRANSFER / (time.perf_counter() - started)


def sent(opened: socket.socket) -> float:
    """Return the bytes per second to the device, which answers at the end."""
    started = time.perf_counter()
    opened.sendall(bytes(TRANSFER))
    opened.shutdown(socket.SHUT_WR)
    if read_all(opened) != str(TRANSFER).encode():
        raise RuntimeError("the transfer was cut short")
    return TRANSFER / (time.perf_counter() - started)


def source(opened: socket.socket) -> None:
    """Send `TRANSFER` bytes."""
    opened.sendall(bytes(TRANSFER))


def sink(opened: socket.socket) -> None:
    """Read all, and answer with the number of bytes."""
    opened.sendall(str(len(read_all(opened))).encode())


SERVICES = {"echo": echo, "source": source, "sink": sink}


def counts() -> list[Figure]:
    """Return the recorded numbers of messages and units."""
    recorded_costs = recorded.read("relay")
    figures = []
    for name, aims in AIMS.items():
        found = recorded_costs[name]
        values = {kind: total(found[kind]) for kind in aims}
        figures += [Figure(f"{name}: {kind}", f"{values[kind]:,g}", aim) for kind, aim in aims.items()]
    return figures


def total(count: float | dict[str, float]) -> float:
    """Return a count, or the sum of those by table."""
    return sum(count.values()) if isinstance(count, dict) else count


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
