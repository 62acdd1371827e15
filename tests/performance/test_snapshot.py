"""A snapshot of a function that was initialised may run many times over (SnapStart): no moment is kept from import."""

import os
import subprocess
import sys

from tools import template
from tools.template import ROOT

WATCHED = """
import os, random, socket, sys, time, uuid
from importlib import import_module

# What these are asked for while our modules are imported would be alike in all copies.
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
from bindery import clock, dynamo
assert dynamo.client.cache_info().currsize == 1, "made while it was imported"
assert not asked, asked
asked.clear()
clock.now()
assert asked, "the watch sees nothing"
"""


def test_nothing_random_no_connection_and_no_clock_reading_survives_from_import() -> None:
    subprocess.run(
        [sys.executable, "-c", WATCHED, *(f"functions.{function.name}" for function in template.functions())],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bindery"), str(ROOT)]),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "-",
            "AWS_SECRET_ACCESS_KEY": "-",
        },
        check=True,
    )
