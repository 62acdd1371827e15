"""Requests per second of the local server, for orientation only: it is meant for development."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from bench.processes import Spread
from tests.server.servers import Server

CALLERS = 4
"""Number of concurrent callers, each with its own connection."""
REQUESTS = 25
"""Number of requests per caller and round."""


def measure(folder: Path, rounds: int) -> dict[str, Spread]:
    """Return the requests per second of vodlix settings (one read) and a rufus bind request (one read, two writes)."""
    server = Server(folder)
    try:
        key = {"api_key": server.environment["RUFUS_API_KEY"]}
        with ThreadPoolExecutor(CALLERS) as callers:
            connections = [HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(CALLERS)]

            def second(method: str, path: str, headers: dict[str, str], body: str | None) -> float:
                def ask(connection: HTTPConnection) -> None:
                    for _ in range(REQUESTS):
                        connection.request(method, path, body, headers)
                        with connection.getresponse() as answer:
                            assert answer.status in (200, 201), answer.read()
                            answer.read()

                started = time.perf_counter()
                list(callers.map(ask, connections))
                return CALLERS * REQUESTS / (time.perf_counter() - started)

            device = json.dumps({"model": "Model X1", "serial_number": "DEVICE-123"})
            asked = {
                "GET /api/base/configs": ("GET", "/api/base/configs", {}, None),
                "POST /v0/devices": ("POST", "/v0/devices", key, device),
            }
            found: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(rounds):
                for name, request in asked.items():
                    found[name].append(second(*request))
            for connection in connections:
                connection.close()
    finally:
        server.stop(signal.SIGTERM)
    return {name: Spread.of(each, each) for name, each in found.items()}
