"""Endpoints of AWS calls: those of botocore, or those of the environment."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.endpoint_provider import EndpointProvider
from botocore.session import Session

from bindery.aws import clients, direct, sdk
from tests import aws_responses
from tests.conftest import clear_caches
from tools import template

ENDPOINT_SETTINGS = {
    "dynamodb": "AWS_ENDPOINT_URL_DYNAMODB",
    "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "events": "AWS_ENDPOINT_URL_EVENTBRIDGE",
}

CALLS: dict[str, Callable[[Any], object]] = {
    "dynamodb": lambda created: created.get_item(TableName="t", Key={"pk": {"S": "it"}}),
    "secretsmanager": lambda created: created.get_secret_value(SecretId="it"),
    "events": lambda created: created.put_events(Entries=[{"Source": "it"}]),
}

every_service = pytest.mark.parametrize("service", direct.SERVICES)


def regions() -> Iterator[str]:
    """Yield the regions of all partitions that botocore knows."""
    session = Session()
    for partition in session.get_available_partitions():
        for service in direct.SERVICES:
            yield from session.get_available_regions(service, partition)


REGIONS = sorted({*regions()})


def called_by_botocore(service: str, created: Any) -> str:
    """Return the URL that a client of botocore calls."""
    urls: list[str] = []

    def before_send(request: Any, **_: Any) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 200, {}, aws_responses.Raw(b"{}"))

    created.meta.events.register("before-send", before_send)
    CALLS[service](created)
    (url,) = urls
    return url


@pytest.mark.usefixtures("environment")
def test_empty_endpoint_in_the_template_means_aws() -> None:
    assert {function.environment["AWS_ENDPOINT_URL"] for function in template.functions()} == {""}
    assert direct.Client("dynamodb").endpoint == "https://dynamodb.eu-central-1.amazonaws.com"


@every_service
def test_endpoint_of_a_region_is_that_of_botocore(environment: pytest.MonkeyPatch, service: str) -> None:
    environment.delenv("AWS_REGION", raising=False)
    load = Session().get_component("data_loader")
    rules = load.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, load.load_data("partitions"))
    for region in REGIONS:
        environment.setenv("AWS_DEFAULT_REGION", region)
        expected = provider.resolve_endpoint(Region=region, UseFIPS=False, UseDualStack=False).url
        assert direct.Client(service).endpoint == expected


@every_service
@pytest.mark.parametrize("everywhere", ["", "http://127.0.0.1:1/all"])
@pytest.mark.parametrize("own", ["", "http://127.0.0.1:2/own"])
def test_endpoint_of_the_environment_is_that_of_botocore(
    environment: pytest.MonkeyPatch, service: str, everywhere: str, own: str
) -> None:
    environment.setenv("AWS_ENDPOINT_URL", everywhere)
    environment.setenv(ENDPOINT_SETTINGS[service], own)
    found = direct.Client(service).endpoint
    assert found == (own or everywhere or f"https://{service}.eu-central-1.amazonaws.com")
    clear_caches()
    assert found == called_by_botocore(service, sdk.Client(service).client).removesuffix("/")


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://user@127.0.0.1", "http://127.0.0.1/?query"),
        # botocore signs these in another form than it sends.
        *("http://127.0.0.1/a//b", "http://127.0.0.1/../b", "http://127.0.0.1/a/.", "http://127.0.0.1/%20"),
        *("http://127.0.0.1/ä", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nx: y", "http://127.0.0.1/#a"),
    ],
)
def test_unusable_endpoint_is_an_error(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(RuntimeError, match="AWS_ENDPOINT_URL is not the URL of an endpoint"):
        direct.Client("dynamodb")


@every_service
@pytest.mark.parametrize("setting", ["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"])
def test_dual_stack_and_fips_need_an_endpoint(environment: pytest.MonkeyPatch, service: str, setting: str) -> None:
    environment.setenv(setting, "true")
    with pytest.raises(RuntimeError, match=f"{setting} needs AwsClient=botocore, or .* {ENDPOINT_SETTINGS[service]}"):
        direct.Client(service)
    environment.setenv(setting, "false")
    assert direct.Client(service).endpoint == f"https://{service}.eu-central-1.amazonaws.com"


@pytest.mark.parametrize("value", [None, ""])
def test_missing_region_is_an_error(environment: pytest.MonkeyPatch, value: str | None) -> None:
    for setting in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        environment.delenv(setting, raising=False)
        if value is not None:
            environment.setenv(setting, value)
    with pytest.raises(RuntimeError, match="no AWS region: neither AWS_REGION nor AWS_DEFAULT_REGION is set"):
        direct.Client("dynamodb")


@pytest.mark.parametrize(("setting", "expected"), [("direct", direct.Client), ("botocore", sdk.Client)])
def test_setting_selects_the_client(environment: pytest.MonkeyPatch, setting: str, expected: type) -> None:
    environment.setenv("AWS_CLIENT", setting)
    clear_caches()
    client = clients.client("secretsmanager")
    assert type(getattr(client, "client", client)) is expected
