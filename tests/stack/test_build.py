"""Build artifacts that need no package index: functions, the shared layer, lock files and botocore data."""

import json
import os
import re
import ssl
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import botocore.handlers
import botocore.loaders
import botocore.session
import pydantic
import pytest

from bindery.aws import sdk
from tests.http_api import invoke
from tests.performance.imports import left_out
from tools import template
from tools.generate import roles
from tools.template import ROOT

LOCKS = tuple(f"layers/{layer}/requirements.txt" for layer in ("deps", "jwt", "cryptography"))
BOTOCORE = "layers/deps/botocore.txt"

UNKNOWN_TO_SAM = ("MAKE", "MFLAGS", "PYTHONPYCACHEPREFIX")
"""Variables of `make test` that a build does not have."""
UNCHECKED_HASH = b"\x01\0\0\0"

COMPILER = sys.executable if sys.version_info[:2] == (3, 13) else ""


def build(folder: str, logical_id: str, artifacts: Path, *variables: str) -> set[Path]:
    """Run a build target as SAM does, and return the sources that it wrote."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(UNKNOWN_TO_SAM)}
    subprocess.run(
        ["make", "--silent", "--makefile", ROOT / folder / "Makefile", f"build-{logical_id}", *variables],
        cwd=ROOT / folder,
        env=environment | {"ARTIFACTS_DIR": str(artifacts)},
        check=True,
    )
    found = {path.relative_to(artifacts) for path in artifacts.rglob("*") if path.is_file()}
    sources = {path for path in found if path.suffix != ".pyc"}
    # Bytecode of every source, if Python 3.13 is available. Python never compares it with its source.
    bytecode = found - sources
    expected = {
        path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc" for path in sources if path.suffix == ".py"
    }
    assert bytecode in (set(), expected)
    for path in bytecode:
        assert (artifacts / path).read_bytes()[4:8] == UNCHECKED_HASH
    return sources


def trim() -> Any:
    """Load layers/deps/trim.py, which is not in a package."""
    specification = spec_from_file_location("trim", ROOT / "layers/deps/trim.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["rufus.bind_device", "quectel.bind_device_sn", "admin.accounts", "default.no_route"])
def test_artifact_of_a_function_is_its_source_file(name: str, tmp_path: Path):
    function = template.function(name)
    # Finding a compiler is slow and does not depend on the function; the test of the shared layer covers it.
    (file,) = build("functions", function.logical_id, tmp_path, f"COMPILER={COMPILER}")
    assert ROOT / "functions" / file == function.source
    assert (tmp_path / file).read_bytes() == function.source.read_bytes()


def test_every_function_is_built_by_the_makefile():
    for function in template.functions():
        assert template.document()["Resources"][function.logical_id]["Metadata"]["BuildMethod"] == "makefile"


def test_shared_layer_contains_only_the_package_sources(tmp_path: Path):
    sources = {path.relative_to(ROOT / "layers/bindery") for path in (ROOT / "layers/bindery/bindery").rglob("*.py")}
    expected = {"python" / source for source in sources} | {Path("layers.cksum")}
    assert build("layers/bindery", "BinderyLayer", tmp_path) == expected


def test_shared_layer_changes_when_any_layer_changes(tmp_path: Path):
    build("layers/bindery", "BinderyLayer", tmp_path)
    noted = {line.split(" ", 2)[2] for line in (tmp_path / "layers.cksum").read_text().splitlines()}
    decides = [*ROOT.glob("layers/*.mk"), *(path for path in ROOT.glob("layers/*/*") if path.is_file())]
    # Layers do not depend on the inputs of the lock files.
    expected = {str(path.relative_to(ROOT / "layers")) for path in decides if path.suffix != ".in"}
    assert noted == expected


@pytest.mark.usefixtures("registry")
def test_functions_work_without_the_modules_left_out(monkeypatch: pytest.MonkeyPatch):
    packages = Path(pydantic.__file__).parents[1]
    for module in left_out():
        assert [*packages.glob(module.replace(".", "/") + "*")], f"{module} not found"
        monkeypatch.setitem(sys.modules, module, None)
    for function in template.http_functions():
        assert invoke(function.name, json.loads(function.event.read_text())).status < 500, function.name


@pytest.mark.parametrize("lock", [*LOCKS, BOTOCORE])
def test_lock_file_has_a_hash_for_every_wheel(lock: str):
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    requirements = [entry for entry in entries if not entry.startswith("#")]
    assert requirements
    assert all(re.match(r"[\w.-]+==[^\s;]+[^\n]*\\\n +--hash=sha256:", entry) for entry in requirements)


@pytest.mark.parametrize("lock", LOCKS)
def test_layer_does_not_contain_packages_of_the_runtime(lock: str):
    assert not pinned(lock).keys() & {"boto3", "botocore", "s3transfer", "urllib3"}


def test_botocore_data_has_the_tested_version():
    assert pinned(BOTOCORE).items() <= pinned("tools/requirements.txt").items()


def test_botocore_data_has_exactly_the_allowed_operations():
    allowed: dict[str, set[str]] = {}
    for function in template.functions():
        for statement in function.policies:
            for service, _, action in (action.partition(":") for action in statement["Action"]):
                allowed.setdefault(service, set()).add(action)
    # For rare calls, AwsClient=botocore uses the description of the runtime. Lambda uses the streams and the queue.
    del allowed["lambda"], allowed["execute-api"], allowed["sqs"]
    allowed["dynamodb"] -= {*roles.STREAM}
    # IAM has no actions for transactions; it requires the actions of the operations in it.
    allowed["dynamodb"] = allowed["dynamodb"] - {"ConditionCheckItem"} | {"TransactGetItems", "TransactWriteItems"}
    assert {service: set(operations) for service, operations in trim().CALLED.items()} == allowed


def test_trimmed_botocore_data_describes_calls_identically(tmp_path: Path):
    trim().trim(Path(botocore.__file__).parent / "data", tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    assert size < 100_000, "the untrimmed data has 1,700,000 bytes"
    for service, operations in trim().CALLED.items():
        clients = []
        for folders in (None, [str(tmp_path)]):
            session = botocore.session.get_session()
            session.register_component("data_loader", botocore.loaders.Loader(folders))
            clients.append(
                session.create_client(service, "eu-central-1", aws_access_key_id="-", aws_secret_access_key="-")
            )
        whole, trimmed = clients
        assert whole.meta.endpoint_url == trimmed.meta.endpoint_url
        for operation in operations:
            expected, found = (client.meta.service_model.operation_model(operation) for client in clients)
            assert _described(found.input_shape) == _described(expected.input_shape)
            assert _described(found.output_shape) == _described(expected.output_shape)
            assert [shape.name for shape in found.error_shapes] == [shape.name for shape in expected.error_shapes]
            assert found.http == expected.http


def test_bundle_has_the_root_certificates_of_amazon(tmp_path: Path):
    trim().trim(Path(botocore.__file__).parent / "data", tmp_path)
    roots = ssl.create_default_context(cafile=tmp_path / "amazon-roots.pem").get_ca_certs()
    names = [value for root in roots for ((name, value),) in root["subject"] if name == "commonName"]
    assert sorted(names) == sorted(trim()._ROOTS)
    known = ssl.create_default_context(cafile=Path(botocore.__file__).parent / "cacert.pem").get_ca_certs()
    for root in roots:
        assert root["issuer"] == root["subject"]
        assert root in known


def test_client_has_the_botocore_handlers_its_events_reach(environment: pytest.MonkeyPatch):
    kinds = {event.partition(".")[0] for event, *_ in botocore.handlers.BUILTIN_HANDLERS} - {"docs"}
    for service, operations in trim().CALLED.items():
        whole, ours = botocore.session.Session().create_client(service), sdk.Client(service).client
        name = whole.meta.service_model.service_id.hyphenize()
        reached = 0
        for event in (f"{kind}.{name}.{operation}" for kind in kinds for operation in operations):
            expected, found = _handlers(whole, event), _handlers(ours, event)
            assert found == expected, event
            reached += len(found)
        assert reached


def _handlers(client: Any, event: str) -> list[str]:
    """Return the botocore handlers that an event reaches, in order."""
    handlers = client.meta.events._emitter._handlers.prefix_search(event)
    return [handler.__qualname__ for handler in handlers if handler.__module__.startswith("botocore.")]


def _described(shape: Any, above: tuple[str, ...] = ()) -> Any:
    if shape.name in above:
        return shape.name
    inner = (*above, shape.name)
    members = {name: _described(member, inner) for name, member in getattr(shape, "members", {}).items()}
    held = [_described(getattr(shape, name), inner) for name in ("member", "key", "value") if hasattr(shape, name)]
    return (shape.name, shape.type_name, shape.serialization, shape.metadata, members, held)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("environment", ["tests/requirements.txt", "tools/requirements.txt"])
def test_tested_versions_are_the_deployed_versions(lock: str, environment: str):
    deployed, here = pinned(lock), pinned(environment)
    assert {name: here.get(name) for name in deployed} == deployed
