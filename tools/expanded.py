"""template.yaml after SAM's transform."""

import copy
import os
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from samtranslator.translator.transform import transform


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


def expand(document: Mapping[str, Any], **parameters: str) -> dict[str, Any]:
    """Return the CloudFormation template for these parameters, without real artifacts."""
    packaged: dict[str, Any] = copy.deepcopy(dict(document))
    packaged["Globals"]["Function"]["CodeUri"] = "s3://bucket/functions"
    for name, resource in packaged["Resources"].items():
        if resource["Type"] == "AWS::Serverless::LayerVersion" and not resource["Properties"]["ContentUri"].startswith(
            "s3:"
        ):
            resource["Properties"]["ContentUri"] = f"s3://bucket/{name}"
    with patch.dict(os.environ, AWS_DEFAULT_REGION="eu-central-1"):
        expanded: dict[str, Any] = transform(packaged, parameters, _NoManagedPolicies())
    return expanded


def resources(expanded: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the resources of a type by logical id."""
    return {name: resource for name, resource in expanded["Resources"].items() if resource["Type"] == kind}
