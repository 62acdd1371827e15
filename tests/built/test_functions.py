"""Every function as `make build` made it answers, in Lambda's own runtime loop, what its source answers here.

The stories that docs/performance.md counts, and the operators', are told twice, over two registries that begin alike:
to the handlers in this process, and to the built functions, each in a process of its own with its layers and its
settings alone. Answers are compared member by member; those members that are random or of their moment by type and
length.
"""

import json
import time
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
from tools.engine import Engine

VARYING = {
    "rufus": {"creation_date"},
    "quectel": {"authKey", "data", "deviceBindTime", "deviceBindTimeTs", "expirationTime", "token"},
    "asseco": set(),
    "remoteit": {
        *("auth_expiration", "auth_token", "connectionid", "createdate", "expirationsec", "proxy", "proxyserver"),
        "token",
    },
    "vodlix": {"time", "timestamp"},
    "admin": {"created_at", "id", "key", "secret"},
}
"""By story the members whose value is random or of its moment (`data` where it is a share code)."""

LOG_SECONDS = 10
"""How long the lines of the log may take through the emulator."""

ELF_MACHINES = {"x86_64": 62, "aarch64": 183}

Telling = Callable[[World], Story]
Answers = dict[tuple[str, str], Response]


@contextmanager
def registry(engine: Engine, bank: Bank, secrets: Mapping[str, str]) -> Iterator[None]:
    """An empty registry that the environment names, with these secrets if any are given."""
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
    """The secrets of the registry that the environment names."""
    client = boto3.client("secretsmanager")
    names = [name for name, _ in template.resources("AWS::SecretsManager::Secret")]
    return {name: client.get_secret_value(SecretId=name)["SecretString"] for name in names}


def tell(story: Telling, bank: Bank, answer: Callable[[str, Event], Response]) -> Answers:
    """What is answered, by function and case."""
    world = World(bank)
    answers: Answers = {}
    for case, name, event in story(world):
        world.last = answers[name, case] = answer(name, event)
    return answers


class Built:
    """The built functions over the registry that the environment names, within `with`: a process for each asked."""

    def __init__(self, engine: Engine, bank: Bank, folder: Path) -> None:
        region = boto3.client("dynamodb").meta.region_name
        self._registry = engine.environment() | {"AWS_DEFAULT_REGION": region, "AWS_REGION": region}
        self._physical = {logical_id: logical_id for logical_id in template.document()["Resources"]}
        self._physical["Issuer"] = bank.url
        self._folder = folder
        self._stack = ExitStack()
        self.slots: dict[str, Slot] = {}

    def __enter__(self) -> "Built":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def answer(self, name: str, event: Event) -> Response:
        """What the function answers: what is documented, and nothing but an answer."""
        if name not in self.slots:
            function = template.function(name)
            given = runtime.environment(function, runtime.opt(function, self._folder), self._physical)
            self.slots[name] = self._stack.enter_context(Slot(function.handler, given | self._registry))
        answered = self.slots[name].invoke(event)
        assert "statusCode" in answered, (name, answered, self.slots[name].said())
        response = Response(answered["statusCode"], answered["headers"], answered["body"])
        documented.check(name, event, response.status, response.headers, response.body)
        return response

    def log(self, name: str, requests: int) -> list[dict[str, Any]]:
        """A function's own lines, as many as it had requests, in the time that they have to get here."""
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            lines = [json.loads(line) for line in self.slots[name].said().splitlines() if line.startswith("{")]
            if len(lines) >= requests or time.monotonic() > deadline:
                return lines
            time.sleep(0.05)


def shown(response: Response, varying: set[str]) -> Any:
    """An answer in which what varies is there by its type and length alone."""
    return response.status, response.headers, _alike(json.loads(response.body or "null"), varying)


def _alike(value: Any, varying: set[str], name: str = "") -> Any:
    if isinstance(value, dict):
        return [(member, _alike(content, varying, member)) for member, content in value.items()]
    if isinstance(value, list):
        return [_alike(content, varying, name) for content in value]
    if name in varying:
        return type(value), len(value) if isinstance(value, str) else None
    return value


@pytest.mark.parametrize("story", [*STORIES, operators.admin], ids=lambda story: story.__name__)
def test_functions_answer_as_built_what_they_answer_as_written(
    story: Telling, engine: Engine, bank: Bank, tmp_path: Path
) -> None:
    varying = VARYING[story.__name__]
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
    assert asked == {function.name for function in template.functions()}


@pytest.mark.parametrize("layer", ["Deps", "Cryptography"])
def test_a_layer_for_the_other_processor_differs_by_what_is_compiled_alone(layer: str) -> None:
    parts: list[dict[str, bytes]] = []
    for suffix, processor in (("X8664", "x86_64"), ("Arm64", "aarch64")):
        folder = runtime.BUILD / f"{layer}{suffix}Layer"
        # What a wheel says of itself names its processor.
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
