"""Give each test a registry: the template's tables and secrets in moto, its settings in the environment."""

import os
import re
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from bindery.aws import credentials, dynamodb, functions, links, sdk
from bindery.core import env
from bindery.directory import key_guesses, rates, settings
from bindery.feed import listing, people
from bindery.security import oidc, passwords, secrets
from tests import aws_calls, calls, device_link, key_sizes, moto_registry
from tests.openid import Bank
from tools import template
from tools.local.gateway import Functions

_LONGEST = (
    "test_contributing.py",
    "test_cli.py",
    "test_smoke.py",
    "test_relay_host.py",
    "test_feed.py",
    "test_readme.py",
    "test_model.py",
    "test_quectel.py",
    "test_remoteit.py",
    "test_hostile.py",
    "test_logins.py",
)

_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|::1|localhost")
_connect = socket.socket.connect


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse every connection of a test to the network."""

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _LOOPBACK.fullmatch(address[0]):
            raise RuntimeError(f"a test tried to reach {address}")
        _connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(autouse=True, scope="session")
def _record_calls() -> None:
    aws_calls.install()
    calls.install()
    key_sizes.install()
    moto_registry.install()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that parallel processes end at about the same time."""
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the recorded calls of a parallel run for `tests/stack/test_exact.py`, which compares them in another run.

    A run of some folders adds its calls to those of the last run of `make test`.
    """
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["noted"] = calls.noted()
    elif config.getoption("numprocesses", None):
        if config.args_source is not config.ArgsSource.TESTPATHS:
            calls.add(config.cache.get(calls.CACHE, calls.NOTHING))
        config.cache.set(calls.CACHE, calls.noted())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the recorded calls of a worker process that has ended normally."""
    calls.add(getattr(node, "workeroutput", {}).get("noted", calls.NOTHING))


def clear_caches() -> None:
    """Clear the caches that a Lambda environment keeps between requests."""
    env.clear_cache()
    secrets.clear_cache()
    oidc.clear_cache()
    key_guesses.clear_cache()
    rates.clear_cache()
    settings.clear_cache()
    people.clear_cache()
    listing.enter.cache_clear()
    if dynamodb.client.cache_info().currsize:
        dynamodb.client().close()
    dynamodb.client.cache_clear()
    sdk._session.cache_clear()
    credentials.clear_cache()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set every function's settings to the template's defaults, with tables and secrets named by their logical ids."""
    make_environment(monkeypatch)
    return monkeypatch


@cache
def _settings() -> dict[str, str]:
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]}
    return {
        name: template.resolve(value, physical)
        for function in template.functions()
        for name, value in function.environment.items()
    }


class _Recorded(Functions):
    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        if request.get("InvocationType") == "Event":
            calls.invoked(request["FunctionName"].removeprefix("bindery-local-").replace("-", ".", 1))
        return super().call(operation, **request)

    def run(self, function: template.Function, event: dict[str, Any]) -> Any:
        with calls.recording(function.name):
            return super().run(function, event)

    def start(self, function: template.Function, event: dict[str, Any]) -> None:
        # A test continues once everything has happened.
        self.run(function, event)


def make_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _settings().items():
        monkeypatch.setenv(name, value)
    # Tests can run with the other client: BINDERY_CLIENT=botocore python -m pytest tests/engine
    if client := os.environ.get("BINDERY_CLIENT"):
        monkeypatch.setenv("AWS_CLIENT", client)
    monkeypatch.setenv("AWS_DEFAULT_REGION", moto_registry.REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr(functions, "client", _Recorded)
    monkeypatch.setattr(links, "client", cache(device_link.Gateway))
    clear_caches()


@pytest.fixture
def bank(environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Trust the access tokens of a bank."""
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make password hashes cheap, also the one that is computed if no password is stored."""
    monkeypatch.setattr(passwords, "_LN", 2)
    monkeypatch.setattr(passwords, "_NOTHING", passwords._NOTHING.replace("ln=17", "ln=2"))


@pytest.fixture
def registry(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide empty tables and new secrets."""
    with moto_registry.empty():
        yield
        clear_caches()
