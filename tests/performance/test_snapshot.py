"""SnapStart may resume a snapshot many times, so importing must not store random values, connections or times."""

import os
import subprocess
import sys

import pytest

from tools import template
from tools.template import ROOT

WATCHED = """
import os, random, socket, sys, time, uuid
from importlib import import_module

# A value obtained while these modules are imported would be the same in all resumed copies.
asked = []

def watch(module, name):
    original = getattr(module, name)
    def watched(*given, **named):
        frame = sys._getframe(1)
        if frame.f_globals.get("__name__", "").startswith(("bindery", "functions")):
            asked.append(f"{frame.f_globals['__name__']} asks {module.__name__}.{name}")
        return original(*given, **named)
    setattr(module, name, watched)

for module, names in {
    os: ["urandom"],
    random: ["random", "uniform", "randint", "choice"],
    time: ["time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"],
    uuid: ["uuid4"],
}.items():
    for name in names:
        watch(module, name)

def connected(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        asked.append(f"{event} {arguments[1:]}")

sys.addaudithook(connected)
for name in sys.argv[1:]:
    import_module(name)
from bindery.aws import dynamodb
from bindery.core import clock
assert dynamodb.client.cache_info().currsize == 1, "the client was not created during import"
assert not asked, asked
asked.clear()
clock.now()
assert asked, "the watched functions record nothing"
"""


@pytest.mark.parametrize("client", ["direct", "botocore"])
def test_import_keeps_no_random_value_connection_or_time(client: str) -> None:
    subprocess.run(
        [sys.executable, "-c", WATCHED, *(f"functions.{function.name}" for function in template.http_functions())],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bindery"), str(ROOT)]),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_CLIENT": client,
            "AWS_DEFAULT_REGION": "eu-central-1",
            # Lambda sets these instead of access keys for functions that use SnapStart.
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token",
        },
        check=True,
    )
