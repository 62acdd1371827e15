"""The layer's trimmed botocore data works with the oldest and the newest supported botocore.

AWS updates botocore in the Lambda runtime. Versions before 1.35.71 do not support a type in the endpoint data, so all
calls fail.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import runtime
from tests.openid import Bank
from tools.local import serve
from tools.local.engine import Engine
from tools.template import ROOT

LOCKS = Path(__file__).parent / "botocore"

CALLS = """
import json, botocore
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Partition, Read, Table
from bindery.aws.expressions import absent
from bindery.core.errors import Reason, Refused
from bindery.security import secrets

key = Key(Table.DEVICES, "botocore")
dynamodb.write(key.put({"n": 1}))
found = [dynamodb.get(key), dynamodb.get_many([Read(key)])[key], dynamodb.update(key.update(set={"n": 2}))]
taken = key.put({"n": 3}, when=absent().raises(Reason.ALREADY_BOUND))
for refused in (dynamodb.write, lambda put: dynamodb.transact([put])):
    try:
        refused(taken)
    except Refused as refusal:
        found.append(refusal.reason)
dynamodb.transact([key.put({"n": 4})])
found.append(list(dynamodb.query(Partition(Table.DIRECTORY, "none"))))
dynamodb.write(key.delete())
found.append(dynamodb.get(key))
model = dynamodb.client().client.meta.service_model
found.append([sorted(model.operation_names), bool(secrets.secret("DEVICE_ID_SECRET")), botocore.__version__])
print(json.dumps(found))
"""


@pytest.mark.parametrize("lock", ["oldest", "newest"])
def test_calls_succeed_with_the_trimmed_botocore_data(lock: str, engine: Engine, bank: Bank, tmp_path: Path) -> None:
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", tmp_path)
    subprocess.run([sys.executable, *install, "-r", LOCKS / f"{lock}.txt"], check=True)
    serve.prepare(engine, bank.url)
    layer = runtime.BUILD / {"arm64": "DepsArm64Layer", "x86_64": "DepsX8664Layer"}[runtime.PROCESSOR]
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        env=os.environ
        | {
            "AWS_CLIENT": "botocore",
            "AWS_DATA_PATH": str(layer / "botocore"),
            "PYTHONPATH": f"{tmp_path}:{ROOT}/layers/bindery",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    read, batched, updated, *refused, listed, gone, (operations, secret, version) = json.loads(done.stdout)
    assert read == batched == {"pk": "botocore", "n": 1}
    assert updated == {"pk": "botocore", "n": 2}
    assert refused == ["already_bound", "already_bound"]
    assert (listed, gone, secret) == ([], None, True)
    assert len(operations) < 10, "botocore did not use the trimmed data"
    assert f"botocore=={version} " in (LOCKS / f"{lock}.txt").read_text()
