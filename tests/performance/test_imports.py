"""Each function imports exactly the recorded modules, because imports slow down every cold start."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.performance import recorded
from tools import template
from tools.template import ROOT, Function


def layers(function: Function) -> str:
    """Return the layers that a function has in addition to the shared ones."""
    written = json.dumps(template.document()["Resources"][function.logical_id]["Properties"].get("Layers", []))
    return ",".join(name for name in ("jwt", "cryptography") if f"{name.title()}" in written)


ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bindery"), str(ROOT)]),
    "AWS_CLIENT": "direct",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "-",
    "AWS_SECRET_ACCESS_KEY": "-",
}


def test_imports_match_the_recorded_modules() -> None:
    arguments = [f"functions.{function.name}:{layers(function)}" for function in template.functions()]
    program = Path(__file__).with_name("imports.py")
    printed = subprocess.check_output([sys.executable, program, *arguments], env=ENVIRONMENT)
    recorded.hold("imports", {name: " ".join(modules) for name, modules in json.loads(printed).items()})


def test_modules_that_only_unused_features_need_are_not_imported() -> None:
    program = "import functions.remoteit.connect_device, sys; print(*sys.modules)"
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], *sys.path])
    printed = subprocess.check_output(
        [sys.executable, "-S", "-c", program], env=ENVIRONMENT | {"PYTHONPATH": path}, text=True
    )
    assert not {"importlib.metadata", "jmespath", "urllib.request"} & set(printed.split())
