"""Write trimmed botocore data and Amazon's root certificates: `python trim.py BOTOCORE_DATA FOLDER`.

To create a client, botocore parses a service's whole model and all services' endpoints. With `AwsClient=botocore`, the
botocore of Lambda's runtime reads the trimmed files, whatever its version: `make build-check` tests the oldest and the
newest.
"""

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

CALLED = {
    "dynamodb": (
        "BatchGetItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    ),
    "events": ("PutEvents",),
    "secretsmanager": ("GetSecretValue",),
}
"""Operations that functions call, tested against their policies."""

_ROOTS = (
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
)
_CERTIFICATE = re.compile(r"^# Label: .*?^-----END CERTIFICATE-----\n", re.MULTILINE | re.DOTALL)


def trim(data: Path, target: Path) -> None:
    """Write the trimmed files to `target`."""
    for service, operations in CALLED.items():
        version = max(path.parent for path in data.glob(f"{service}/*/service-2.json.gz"))
        folder = target / version.relative_to(data)
        folder.mkdir(parents=True)
        _write(folder / "service-2.json", _model(_read(version / "service-2.json.gz"), operations))
        _write(folder / "endpoint-rule-set-1.json", _undocumented(_read(version / "endpoint-rule-set-1.json.gz")))
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = {name: known for name, known in partition["services"].items() if name in CALLED}
    _write(target / "endpoints.json", endpoints)
    (target / "amazon-roots.pem").write_text("".join(_amazon_roots((data.parent / "cacert.pem").read_text())))


def _amazon_roots(bundle: str) -> list[str]:
    """Return the certificates of Amazon's own authorities, which issue those of its endpoints."""
    # https://www.amazontrust.com/repository: each certificate follows comments with its subject.
    kept = [text for text in _CERTIFICATE.findall(bundle) if any(f'"{name}"' in text for name in _ROOTS)]
    if len(kept) != len(_ROOTS):
        raise ValueError(f"found {len(kept)} of Amazon's {len(_ROOTS)} root certificates")
    return kept


def _model(model: dict[str, Any], operations: tuple[str, ...]) -> dict[str, Any]:
    kept = {name: model["operations"][name] for name in operations}
    shapes: dict[str, Any] = {}
    left = list(_shapes(kept))
    while left:
        name = left.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            left += _shapes(shapes[name])
    trimmed: dict[str, Any] = _undocumented(model | {"operations": kept, "shapes": shapes})
    return trimmed


def _shapes(part: Any) -> list[str]:
    """Return the shapes that a part of a model refers to."""
    if isinstance(part, list):
        return [name for member in part for name in _shapes(member)]
    if not isinstance(part, dict):
        return []
    named = [part["shape"]] if isinstance(part.get("shape"), str) else []
    return named + [name for member in part.values() for name in _shapes(member)]


def _undocumented(part: Any) -> Any:
    if isinstance(part, list):
        return [_undocumented(member) for member in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _undocumented(member)
        for name, member in part.items()
        if not (name == "documentation" and isinstance(member, str))
    }


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    read: dict[str, Any] = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    return read


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")))


if __name__ == "__main__":
    trim(Path(sys.argv[1]), Path(sys.argv[2]))
