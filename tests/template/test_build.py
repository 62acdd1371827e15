"""What `sam build` makes, as far as it needs no package index: each artifact, the shared layer, the locks."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tools import template
from tools.template import ROOT, Function

LOCKS = ("layers/deps/requirements.txt", "layers/jwt/requirements.txt")

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)


def build(folder: str, logical_id: str, artifacts: Path) -> set[Path]:
    """The files that SAM would find after its build method `makefile`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        ["make", "--silent", "--makefile", ROOT / folder / "Makefile", f"build-{logical_id}"],
        cwd=ROOT / folder,
        env=environment | {"ARTIFACTS_DIR": str(artifacts)},
        check=True,
    )
    return {path.relative_to(artifacts) for path in artifacts.rglob("*") if path.is_file()}


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@every_function
def test_a_functions_artifact_is_its_own_file(function: Function, tmp_path: Path):
    assert template.document()["Resources"][function.logical_id]["Metadata"] == {"BuildMethod": "makefile"}
    (file,) = build("functions", function.logical_id, tmp_path)
    assert ROOT / "functions" / file == function.source
    assert (tmp_path / file).read_bytes() == function.source.read_bytes()


def test_the_shared_layer_is_the_package_and_nothing_that_python_made_of_it(tmp_path: Path):
    sources = {path.relative_to(ROOT / "layers/bindery") for path in (ROOT / "layers/bindery/bindery").rglob("*.py")}
    assert build("layers/bindery", "BinderyLayer", tmp_path) == {"python" / source for source in sources}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_layers_lock_names_every_wheel_by_its_hash(lock: str):
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    requirements = [entry for entry in entries if not entry.startswith("#")]
    assert requirements
    assert all(re.match(r"[\w.-]+==[^\s;]+[^\n]*\\\n +--hash=sha256:", entry) for entry in requirements)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_layer_brings_what_the_runtime_has(lock: str):
    assert not pinned(lock).keys() & {"boto3", "botocore", "s3transfer", "urllib3"}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("environment", ["tests/requirements.txt", "tools/requirements.txt"])
def test_what_is_tested_and_run_locally_is_what_is_deployed(lock: str, environment: str):
    deployed, here = pinned(lock), pinned(environment)
    assert {name: here.get(name) for name in deployed} == deployed
