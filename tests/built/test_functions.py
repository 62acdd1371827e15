"""Functions built by `make build` return the same responses, in Lambda's runtime loop, as their sources.

The stories of docs/performance.md and of the admin API run twice, on two registries with the same initial state: with
the handlers in this process, and with the built functions, each in its own process with only its layers and settings.
Responses are compared member by member. Members that are random or depend on the time are compared by type and length.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import documented, runtime
from tests.built import operators
from tests.conftest import clear_caches, make_environment
from tests.engine.conftest import use_empty_registry
from tests.http_api import Response, invoke
from tests.openid import Bank
from tests.performance import recorded
from tests.performance.stories import STORIES, Event, Story, World
from tests.performance.test_counts import refused
from tests.runtime import Slot
from tools import template
from tools.local.engine import Engine

VARYING = {
    "rufus": {"creation_date", "last_seen", "token_session"},
    "quectel": {
        *("authKey", "data", "deviceBindTime", "deviceBindTimeTs", "expirationTime"),
        *("registerTime", "registerTimeTs", "token"),
    },
    "remoteit": {
        *("auth_expiration", "auth_token", "connectionid", "createdate", "expirationsec", "proxy", "proxyserver"),
        *("apikey", "authhash", "developer_key", "lastcontacted", "member_since", "requested", "requestedAt", "token"),
        *("service_authhash", "service_token", "index", "token_index", "pubsub_channel"),
    },
    "vodlix": {"time", "timestamp"},
    "admin": {"created_at", "exported_at", "id", "key", "secret"},
}
"""Members whose value is random or depends on the time, by story (`data` if it is a share code)."""

LOG_SECONDS = 10
"""Maximum time for log lines to pass through the emulator."""

ELF_MACHINES = {"x86_64": 62, "aarch64": 183}

Telling = Callable[[World], Story]
Answers = dict[tuple[str, str], Response]


@contextmanager
def registry(engine: Engine, bank: Bank, secrets: Mapping[str, str]) -> Iterator[None]:
    """Set the environment to an empty registry, with these secrets if any are given."""
    with pytest.MonkeyPatch.context() as patch:
        make_environment(patch)
        use_empty_registry(engine, patch)
        bank.trusted(patch)
        for name, value in secrets.items():
            boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=value)
        clear_caches()
        yield
    clear_caches()


def its_secrets() -> dict[str, str]:
    client = boto3.client("secretsmanager")
    names = [name for name, _ in template.resources("AWS::SecretsManager::Secret")]
    return {name: client.get_secret_value(SecretId=name)["SecretString"] for name in names}


def tell(story: Telling, bank: Bank, answer: Callable[[str, Event], Response]) -> Answers:
    """Run a story, and return the responses by function and case."""
    world = World(bank)
    answers: Answers = {}
    for case, name, event in story(world):
        world.last = answers[name, case] = answer(name, event)
    return answers


class Built:
    """Context manager for built functions on the registry in the environment, each in its own process."""

    def __init__(self, engine: Engine, bank: Bank, folder: Path) -> None:
        region = boto3.client("dynamodb").meta.region_name
        self._registry = engine.environment() | {"AWS_DEFAULT_REGION": region, "AWS_REGION": region}
        self._physical = {logical_id: logical_id for logical_id in template.document()["Resources"]}
        self._physical["Issuer"] = bank.url
        self._folder = folder
        self._stack = ExitStack()
        self.slots: dict[str, list[Slot]] = defaultdict(list)

    def __enter__(self) -> "Built":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def answer(self, name: str, event: Event) -> Response:
        """Invoke a function, check the response against the OpenAPI document, and return it."""
        # An environment keeps vodlix' setting for a minute, so each of its requests gets a new one.
        if name not in self.slots or name.startswith("vodlix."):
            self.slots[name].append(self.slot(name))
        slot = self.slots[name][-1]
        answered = slot.invoke(event)
        assert "statusCode" in answered, (name, answered, slot.said())
        response = Response(answered["statusCode"], answered["headers"], answered["body"])
        documented.check(name, event, response.status, response.headers, response.body)
        return response

    def slot(self, name: str, **more: str) -> Slot:
        """Return a new environment of a function, with more variables if they are given."""
        function = template.function(name)
        given = runtime.environment(function, runtime.opt(function, self._folder), self._physical)
        return self._stack.enter_context(Slot(function.handler, given | self._registry | more))

    def log(self, name: str, requests: int) -> list[dict[str, Any]]:
        """Return a function's log lines, waiting until there is one per request."""
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            said = [line for slot in self.slots[name] for line in slot.said().splitlines()]
            lines = [json.loads(line) for line in said if line.startswith("{")]
            if len(lines) >= requests or time.monotonic() > deadline:
                return lines
            time.sleep(0.05)


def shown(response: Response, varying: set[str]) -> Any:
    """Return a response with varying members replaced by their type and length."""
    return response.status, response.headers, _alike(json.loads(response.body or "null"), varying)


def _alike(value: Any, varying: set[str], name: str = "") -> Any:
    if isinstance(value, dict):
        return [(member, _alike(content, varying, member)) for member, content in value.items()]
    if isinstance(value, list):
        return [_alike(content, varying, name) for content in value]
    if name in varying:
        return type(value), len(value) if isinstance(value, str) else None
    # The doctor shows how long calls take.
    return re.sub(r"\b\d+ ms\b", "# ms", value) if isinstance(value, str) else value


@pytest.mark.parametrize("story", [*STORIES, operators.admin], ids=lambda story: story.__name__)
def test_built_functions_respond_like_their_sources(story: Telling, engine: Engine, bank: Bank, tmp_path: Path) -> None:
    varying = VARYING.get(story.__name__, set())
    with registry(engine, bank, {}):
        written = tell(story, bank, invoke)
        secrets = its_secrets()
    with registry(engine, bank, secrets), Built(engine, bank, tmp_path) as built:
        found = tell(story, bank, built.answer)
        for asked in built.slots:
            requests = sum(name == asked for name, _ in found)
            lines = built.log(asked, requests)
            assert [(line["message"], line["level"]) for line in lines] == [(asked, "INFO")] * requests, lines
    assert list(found) == list(written)
    for (name, case), answer in found.items():
        assert shown(answer, varying) == shown(written[name, case], varying), (name, case)
        assert refused(answer, name) == case.startswith("refused"), (name, case)


def test_every_function_is_in_a_story() -> None:
    public = {name for story in STORIES for name in recorded.read(story.__name__)}
    asked = public | {f"admin.{resource}" for resource in operators.ASKED}
    assert asked == {function.name for function in template.http_functions()}


@pytest.mark.parametrize("layer", ["Deps", "Cryptography"])
def test_layers_of_both_architectures_differ_only_in_binaries(layer: str) -> None:
    parts: list[dict[str, bytes]] = []
    for suffix, processor in (("X8664", "x86_64"), ("Arm64", "aarch64")):
        folder = runtime.BUILD / f"{layer}{suffix}Layer"
        # The metadata of a wheel names its architecture.
        files = [path for path in folder.rglob("*") if path.is_file() and ".dist-info/" not in str(path)]
        named = {str(path.relative_to(folder)).replace(processor, "processor"): path for path in files}
        compiled = [path for path in named.values() if path.suffix == ".so"]
        assert compiled
        for path in compiled:
            assert int.from_bytes(path.read_bytes()[18:20], "little") == ELF_MACHINES[processor], path
        parts.append({name: path.read_bytes() for name, path in named.items() if path.suffix != ".so"})
    one, other = parts
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
