"""Endpoint of AWS calls: the default endpoint of AWS if the template leaves it empty."""

import pytest

from bindery.aws import direct
from tools import template


@pytest.mark.usefixtures("environment")
def test_empty_endpoint_in_the_template_means_aws() -> None:
    assert {function.environment["AWS_ENDPOINT_URL"] for function in template.functions()} == {""}
    assert direct.Client("dynamodb").endpoint == "https://dynamodb.eu-central-1.amazonaws.com"


def test_endpoint_of_the_environment_is_used(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://host.docker.internal:1/credential")
    assert direct.Client("secretsmanager").endpoint == "http://host.docker.internal:1/credential"
