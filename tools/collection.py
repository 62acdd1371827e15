"""A Postman collection of the whole HTTP API, made from the OpenAPI document: `make openapi` writes it.

Each operation is a request with the values and the body of its example. Credentials stand in an environment, under
their names in demo.env: the committed one has the names alone, the local server writes one with the values. Other
clients, such as Bruno and Insomnia, import the collection too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from tools import engine, openapi
from tools.openapi.schemas import sample
from tools.template import ROOT
from tools.voices import SECURITY, VARIABLES, Schema

COLLECTION = ROOT / "docs" / "postman" / "bindery.postman_collection.json"
ENVIRONMENT = ROOT / "docs" / "postman" / "local.postman_environment.json"

_HERE = {"url": "http://127.0.0.1:3000", "region": engine.REGION}
"""The variables of the environment beside those of demo.env."""
_SIGNATURE = {
    "accessKey": "{{BINDERY_ACCESS_KEY_ID}}",
    "secretKey": "{{BINDERY_SECRET_ACCESS_KEY}}",
    "region": "{{region}}",
    "service": "execute-api",
}


def collection(document: Schema) -> Schema:
    """The collection: a folder for each tag."""
    described = [
        (method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "noauth"},
        "item": [
            {
                "name": tag["name"],
                "description": tag["description"],
                "item": [
                    _request(method, path, operation, document["components"]["schemas"])
                    for method, path, operation in described
                    if tag["name"] in operation["tags"]
                ],
            }
            for tag in document["tags"]
        ],
    }


def environment(collected: str, given: Mapping[str, str]) -> Schema:
    """The variables that the text of the collection uses, with those of their values that are `given`."""
    used = sorted(set(re.findall(r"\{\{(\w+)\}\}", collected)))
    values = dict.fromkeys(used, "") | _HERE | {name: given[name] for name in used if name in given}
    return {
        "name": "Bindery on this machine",
        "values": [
            {"key": name, "value": value, "type": "default" if name in _HERE else "secret", "enabled": True}
            for name, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def text(value: Schema) -> str:
    """A collection or an environment as it is kept."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _request(method: str, path: str, operation: Schema, schemas: Mapping[str, Schema]) -> Schema:
    request: Schema = {
        "method": method.upper(),
        "description": operation["description"],
        "header": list(_credentials(operation)),
        "url": _url(path, operation.get("parameters", [])),
    }
    if operation["security"] == [{"aws_signature": []}]:
        request["auth"] = {
            "type": "awsv4",
            "awsv4": [{"key": key, "value": value, "type": "string"} for key, value in _SIGNATURE.items()],
        }
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = content.get("example", sample(content["schema"], schemas))
        request["header"].append({"key": "Content-Type", "value": kind})
        request["body"] = _form(body) if kind == "application/x-www-form-urlencoded" else _json(body)
        break
    return {"id": operation["operationId"], "name": operation["summary"], "request": request, "response": []}


def _credentials(operation: Schema) -> Iterator[Schema]:
    for scheme in (name for needed in operation["security"] for name in needed if name in VARIABLES):
        value = f"{{{{{VARIABLES[scheme]}}}}}"
        if SECURITY[scheme]["type"] == "http":
            yield {"key": "Authorization", "value": f"{SECURITY[scheme]['scheme']} {value}"}
        else:
            yield {"key": SECURITY[scheme]["name"], "value": value}


def _url(path: str, parameters: list[Schema]) -> Schema:
    """A request's address. A parameter that need not be given, and has no example, is there but switched off."""
    given = {
        parameter["name"]: {"key": parameter["name"], "value": _written(parameter.get("example", ""))}
        | ({} if parameter.get("required") or "example" in parameter else {"disabled": True})
        for parameter in parameters
    }
    in_path = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
    query = [parameter for name, parameter in given.items() if name not in in_path]
    segments = re.sub(r"\{([^}]+)\}", r":\1", path).split("/")[1:]
    sent = "&".join(f"{found['key']}={quote(found['value'], safe=',')}" for found in query if "disabled" not in found)
    url: Schema = {
        "raw": "/".join(["{{url}}", *segments]) + (f"?{sent}" if sent else ""),
        "host": ["{{url}}"],
        "path": segments,
    }
    if query:
        url["query"] = query
    if in_path:
        url["variable"] = [given[name] for name in in_path]
    return url


def _written(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _json(body: Any) -> Schema:
    raw = json.dumps(body, indent=2, ensure_ascii=False)
    return {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}


def _form(body: Mapping[str, str]) -> Schema:
    return {"mode": "urlencoded", "urlencoded": [{"key": name, "value": value} for name, value in body.items()]}


if __name__ == "__main__":
    COLLECTION.parent.mkdir(parents=True, exist_ok=True)
    COLLECTION.write_text(text(collection(openapi.document())))
    ENVIRONMENT.write_text(text(environment(COLLECTION.read_text(), {})))
