"""API Gateway's evaluation of a Lambda authorizer's response."""

import json
import re
from collections.abc import Mapping
from typing import Any

LIMIT = 8 * 1024
"""Maximum bytes of a response."""
ACTION = "execute-api:Invoke"


def evaluate(response: Any, arn: str) -> dict[str, str] | None:
    """Return the context of later events, or None if the policy does not allow the ARN.

    Raises `KeyError`, `TypeError` or `ValueError` if the response is not valid.
    """
    if len(json.dumps(response)) > LIMIT:
        raise ValueError(f"the response has more than {LIMIT} bytes")
    if not isinstance(response, dict):
        raise TypeError("the response is not an object")
    if unknown := response.keys() - {"principalId", "policyDocument", "context", "usageIdentifierKey"}:
        raise ValueError(f"unknown members: {unknown}")
    principal = response["principalId"]
    if not isinstance(principal, str):
        raise TypeError("principalId is not a string")
    given = response.get("context", {})
    if not isinstance(given, dict):
        raise TypeError("context is not an object")
    context = {name: _text(name, value) for name, value in given.items()}
    if not _allows(response["policyDocument"], arn):
        return None
    return {**context, "principalId": principal}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise TypeError(f"context.{name} is not a string, number or boolean")
    return value if isinstance(value, str) else json.dumps(value)


def _allows(policy: Mapping[str, Any], arn: str) -> bool:
    """Return True if a statement allows the ARN and none denies it."""
    if policy["Version"] != "2012-10-17":
        raise ValueError("unknown version of the policy language")
    effects = {_effect(statement, arn) for statement in policy["Statement"]}
    return "Allow" in effects and "Deny" not in effects


def _effect(statement: Mapping[str, Any], arn: str) -> str | None:
    """Return `Allow`, `Deny`, or None if the statement does not match."""
    effect: str = statement["Effect"]
    if effect not in ("Allow", "Deny"):
        raise ValueError(f"unknown effect {effect}")
    applies = _matches(statement["Action"], ACTION, re.IGNORECASE) and _matches(statement["Resource"], arn)
    return effect if applies else None


def _matches(given: str | list[str], name: str, flags: int = 0) -> bool:
    """Compare a name with patterns, in which `*` is any text and `?` any character."""
    patterns = [given] if isinstance(given, str) else given
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name, flags) for pattern in patterns
    )
