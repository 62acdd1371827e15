"""What the documentation says of each dialect as a whole: credentials, and the envelope around its answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bindery.core.errors import Reason

Schema = dict[str, Any]


@dataclass(frozen=True)
class Voice:
    """What the document says of a dialect beside its operations."""

    description: str
    security: Mapping[str, Reason]
    """The security schemes, and why a request without one is refused."""
    envelope: Mapping[str, Schema] = field(default_factory=dict)
    """Members around a reply's own; `data` holds the reply if it is None there."""
    refused: Schema | None = None
    """The envelope of a refusal, where its model does not say it all."""
    moment: Mapping[str, Any] = field(default_factory=dict)
    """Members of an answer that differ from one moment to the next, as examples show them."""
    has_nulls: bool = True
    """Whether a reply has the members that are null, or leaves them out."""


VOICES = {
    "rufus": Voice("Companies bind devices by API key (document 000).", {"rufus_api_key": Reason.KEY_MISSING}),
    "quectel": Voice(
        "End users bind manufactured devices by serial number (document 001). The HTTP status is always 200: `code`"
        " tells.",
        {"quectel_token": Reason.TOKEN_MISSING},
        {
            "code": {"const": 200},
            "data": {},
            "extMsg": {"type": "string", "const": ""},
            "msg": {"type": "string", "const": ""},
        },
        {
            "description": "Every refusal.",
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
        "A bank's customers register devices and see those issued to them (document 002).",
        {"asseco_access_token": Reason.TOKEN_MISSING},
    ),
    "remoteit": Voice(
        "Users connect to devices (document 003).",
        {"remoteit_developer_key": Reason.KEY_MISSING, "remoteit_token": Reason.TOKEN_MISSING},
        has_nulls=False,
    ),
    "vodlix": Voice(
        "Players add themselves (document 004).",
        {},
        {
            "status": {"const": 200},
            "timestamp": {"type": "integer", "description": "Seconds since the epoch."},
            "time": {"type": "number", "description": "Seconds that the request took."},
            "ip": {"type": "string", "description": "The caller's IP address."},
            "message": {"const": "Success"},
        },
        moment={"timestamp": 1684581841, "time": 0.583, "ip": "203.0.113.9"},
    ),
}

SECURITY: Mapping[str, Schema] = {
    "rufus_api_key": {"type": "apiKey", "in": "header", "name": "api_key", "description": "Or `x-api-key`."},
    "quectel_token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The session token, bare or after `Bearer `.",
    },
    "asseco_access_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the bank's own OpenID Connect provider.",
    },
    "remoteit_developer_key": {
        "type": "apiKey",
        "in": "header",
        "name": "developerkey",
        "description": "Or `apikey`.",
    },
    "remoteit_token": {
        "type": "apiKey",
        "in": "header",
        "name": "token",
        "description": "The session token that logging in gives.",
    },
    "aws_signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4 by an identity that may `execute-api:Invoke` the route.",
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
"""The variables of demo.env with which each scheme's operations can be tried, all of them."""
