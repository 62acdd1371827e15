"""Starts and stops the local registry: DynamoDB and Secrets Manager on loopback, their state in a folder.

What `tools.registry` says of durability holds here.
"""

import os
import secrets
import socket
import string
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import boto3
from botocore.exceptions import ClientError

from tools import loopback, template

PYTHON = template.ROOT / ".venv" / "ministack" / "bin" / "python"
REGION = "eu-central-1"
STOP_SECONDS = 60
"""How long a stop may take (it saves everything) before it is cut short; the journal has it all then."""


class EngineError(Exception):
    """The registry did not start."""


class Engine:
    """A running registry, within `with`."""

    def __init__(self, state: Path, also: str | None = None) -> None:
        """`also` is another address of this machine, at which its containers reach the registry."""
        self.log = state / "registry.log"
        self._state = state / "registry"
        self._addresses = ("127.0.0.1",) if also is None else ("127.0.0.1", also)

    def __enter__(self) -> "Engine":
        self._state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("wb"))
            sockets = [stack.enter_context(socket.create_server((address, 0))) for address in self._addresses]
            # ministack accepts any credentials, so the path is the credential. SAM can hand a container this address,
            # but not a key pair. Other users can read a process's arguments, but not its environment.
            path = f"/{secrets.token_urlsafe(32)}"
            self.endpoint = f"http://127.0.0.1:{sockets[0].getsockname()[1]}{path}"
            self.endpoint_of_containers = f"http://{loopback.CONTAINERS}:{sockets[-1].getsockname()[1]}{path}"
            # A session of its own: Ctrl-C in the terminal must reach whoever uses the registry first.
            self.process = subprocess.Popen(  # noqa: S603
                [
                    PYTHON,
                    "-I",
                    Path(__file__).with_name("registry.py"),
                    self._state,
                    *(str(each.fileno()) for each in sockets),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[each.fileno() for each in sockets],
                start_new_session=True,
                env={
                    "PATH": os.defpath,
                    "HOME": str(self._state),
                    "TMPDIR": str(self._state),
                    "BINDERY_REGISTRY_PATH": path,
                },
            )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            self.stop()
            raise EngineError(f"the local registry did not start: see {self.log}")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Save and end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def environment(self) -> dict[str, str]:
        """What AWS clients need in their environment to reach the registry, and nothing but it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def make_tables() -> None:
    """Make those of the template's tables that are not there yet, under their logical ids."""
    client = boto3.client("dynamodb")
    for logical_id, _ in template.resources("AWS::DynamoDB::Table"):
        try:
            client.create_table(TableName=logical_id, **template.table_properties(logical_id))
        except client.exceptions.ResourceInUseException:
            continue


def make_secrets() -> None:
    """Make those of the template's secrets that are not there yet, under their logical ids."""
    letters = string.ascii_letters + string.digits
    for logical_id, _ in template.resources("AWS::SecretsManager::Secret"):
        keep(logical_id, lambda: "".join(secrets.choice(letters) for _ in range(64)))


def keep(name: str, make: Callable[[], str]) -> str:
    """The secret `name` of the registry, made at first."""
    client = boto3.client("secretsmanager")
    try:
        return client.get_secret_value(SecretId=name)["SecretString"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    made = make()
    client.create_secret(Name=name, SecretString=made)
    return made
