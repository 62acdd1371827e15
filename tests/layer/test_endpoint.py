"""Endpoint of AWS calls: the default endpoint of AWS if the template leaves it empty."""

import pytest

from bindery.aws import clients
from tools import template


@pytest.mark.usefixtures("environment")
def test_empty_endpoint_in_the_template_means_aws() -> None:
    assert {function.environment["AWS_ENDPOINT_URL"] for function in template.functions()} == {""}
    client = clients.client("dynamodb")
    assert client.meta.endpoint_url == f"https://dynamodb.{client.meta.region_name}.amazonaws.com"


def test_endpoint_of_the_environment_is_used(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://host.docker.internal:1/credential")
    assert clients.client("secretsmanager").meta.endpoint_url == "http://host.docker.internal:1/credential"
