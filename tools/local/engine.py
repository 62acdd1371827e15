"""Start and stop the local registry."""

import os
import secrets
import string
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import boto3
from botocore.exceptions import ClientError

from tools import template
from tools.local import loopback

PYTHON = template.ROOT / ".venv" / "ministack" / "bin" / "python"
REGION = "eu-central-1"
STOP_SECONDS = 60
"""Time limit for saving a snapshot."""


class EngineError(Exception):
    """The local registry did not start."""


class Engine:
    """Context manager of a running registry."""

    def __init__(self, state: Path, also: str | None = None) -> None:
        """`also` is a second address, for containers."""
        self.log = state / "registry.log"
        self._state = state / "registry"
        self._addresses = ("127.0.0.1",) if also is None else ("127.0.0.1", also)

    def __enter__(self) -> "Engine":
        self._state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("wb"))
            sockets = [stack.enter_context(loopback.listen(address)) for address in self._addresses]
            # ministack accepts any credentials, so a random path is the credential: SAM can pass an endpoint to a
            # container, but not a key pair. Other users can read a process's arguments, but not its environment.
            path = f"/{secrets.token_urlsafe(32)}"
            self.endpoint = f"http://127.0.0.1:{sockets[0].getsockname()[1]}{path}"
            self.endpoint_of_containers = f"http://{loopback.CONTAINERS}:{sockets[-1].getsockname()[1]}{path}"
            # In its own session, so that Ctrl-C stops the server before the registry.
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
            raise EngineError(f"the local registry did not start. See {self.log}")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Save and stop."""
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
        """Return environment variables that direct AWS clients to the registry."""
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
    """Create missing tables of the template, named by logical id."""
    client = boto3.client("dynamodb")
    for logical_id, _ in template.resources("AWS::DynamoDB::Table"):
        try:
            client.create_table(TableName=logical_id, **template.table_properties(logical_id))
        except client.exceptions.ResourceInUseException:
            continue


def make_secrets() -> None:
    """Create the template's secrets in the same way."""
    letters = string.ascii_letters + string.digits
    for logical_id, _ in template.resources("AWS::SecretsManager::Secret"):
        keep(logical_id, lambda: "".join(secrets.choice(letters) for _ in range(64)))


def keep(name: str, make: Callable[[], str]) -> str:
    """Return the secret `name`, created if missing."""
    client = boto3.client("secretsmanager")
    try:
        return client.get_secret_value(SecretId=name)["SecretString"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    made = make()
    client.create_secret(Name=name, SecretString=made)
    return made
