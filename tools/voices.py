"""Credentials and response envelopes of the APIs, for the OpenAPI document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bindery.core.errors import Reason

Schema = dict[str, Any]


@dataclass(frozen=True)
class Voice:
    """Description of an API."""

    description: str
    security: Mapping[str, Reason]
    """Security schemes, with the reason for refusing a request without."""
    envelope: Mapping[str, Schema] = field(default_factory=dict)
    """Members around a reply. The reply is in `data` if the envelope has that member."""
    refused: Schema | None = None
    """Schema of errors, if the model does not describe them fully."""
    moment: Mapping[str, Any] = field(default_factory=dict)
    """Example values of members that change with each response."""
    has_nulls: bool = True
    """False if replies omit members that are null."""


VOICES = {
    "rufus": Voice(
        "Companies bind devices that they name themselves, with an API key (document 000).",
        {"rufus_api_key": Reason.KEY_MISSING},
    ),
    "quectel": Voice(
        "End users bind manufactured devices by serial number (document 001). The HTTP status is always 200; check"
        " `code` for the result.",
        {"quectel_token": Reason.TOKEN_MISSING},
        {
            "code": {"const": 200},
            "data": {},
            "extMsg": {"type": "string", "const": ""},
            "msg": {"type": "string", "const": ""},
        },
        {
            "description": "Any error.",
            "type": "object",
            "properties": {
                "code": {"type": "integer", "not": {"const": 200}},
                "data": {"type": "null"},
                "extMsg": {"type": "string", "const": ""},
                "msg": {"type": "string", "minLength": 1},
            },
            "required": ["code", "data", "extMsg", "msg"],
        },
    ),
    "asseco": Voice(
        "Customers of a bank register their devices and view the devices issued to them (document 002).",
        {"asseco_access_token": Reason.TOKEN_MISSING},
    ),
    "remoteit": Voice(
        "Users log in and connect to devices (document 003).",
        {"remoteit_developer_key": Reason.KEY_MISSING, "remoteit_token": Reason.TOKEN_MISSING},
        has_nulls=False,
    ),
    "vodlix": Voice(
        "Video devices register themselves (document 004).",
        {},
        {
            "status": {"const": 200},
            "timestamp": {"type": "integer", "description": "Seconds since the Unix epoch."},
            "time": {"type": "number", "description": "Duration of the request in seconds."},
            "ip": {"type": "string", "description": "The caller's IP address."},
            "message": {"const": "Success"},
        },
        moment={"timestamp": 1684581841, "time": 0.583, "ip": "203.0.113.9"},
    ),
}

SECURITY: Mapping[str, Schema] = {
    "rufus_api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "api_key",
        "description": "API key. The header `x-api-key` is accepted too.",
    },
    "quectel_token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Session token, with or without the prefix `Bearer `.",
    },
    "asseco_access_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Access token from the bank's OpenID Connect provider.",
    },
    "remoteit_developer_key": {
        "type": "apiKey",
        "in": "header",
        "name": "developerkey",
        "description": "Developer key. The header `apikey` is accepted too.",
    },
    "remoteit_token": {
        "type": "apiKey",
        "in": "header",
        "name": "token",
        "description": "Session token returned by login.",
    },
    "aws_signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4 of an identity with permission for `execute-api:Invoke` on the route.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}

VARIABLES: Mapping[str, str] = {
    "rufus_api_key": "RUFUS_UNBIND_KEY",
    "quectel_token": "QUECTEL_TOKEN",
    "asseco_access_token": "ASSECO_TOKEN",
    "remoteit_developer_key": "REMOTEIT_DEVELOPER_KEY",
    "remoteit_token": "REMOTEIT_TOKEN",
}
"""Variable of demo.env for each scheme. Its credential works for all operations."""
