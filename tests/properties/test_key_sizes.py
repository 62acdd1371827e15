"""Texts of operators result in valid DynamoDB keys, also in rows and in ids: `tests.key_sizes` refuses longer keys.

`tests.properties.test_hostile` tries the same texts as the other parameters.
"""

import pytest

from bindery.registry import identity
from tests.http_api import admin
from tests.properties import hostile, world

ROWS = {
    "devices": {"product_key": world.PK, "serial": "S", "device_key": "ABCD"},
    "issued-devices": {"customer": "c", "device_id": "d", "kind": "smart-card"},
}
SEARCHES = {
    "devices": ("serial", "mac", "imei", "address"),
    "users": ("account",),
    "keys": ("account",),
    "families": ("owner",),
    "issued-devices": ("customer",),
    "connections": ("caller",),
}


@pytest.mark.parametrize("text", hostile.LONG)
def test_operator_values_never_exceed_the_key_size(text: str, here: world.World, errors: list[str]) -> None:
    opaque = identity.opaque(text)
    requests = [
        *(("POST", f"{path}/import", {"rows": [row | {name: text}]}) for path, row in ROWS.items() for name in row),
        ("PATCH", "users/ada", {"email": f"{text[:252]}@x"}),
        ("GET", f"devices/{opaque}", None),
        ("POST", f"devices/{opaque}/unbind", {"reason": "r"}),
        ("DELETE", f"connections/{opaque}/ada", None),
    ]
    searches = [(path, name, text) for path, names in SEARCHES.items() for name in names]
    resource = {path: path.partition("/")[0].replace("-", "_") for _, path, _ in requests}
    answers = [admin(resource[path], method, path, body) for method, path, body in requests]
    answers += [
        admin(path.replace("-", "_"), "GET", path, query={name: value})
        for path, name, value in [*searches, ("connections", "device", opaque)]
    ]
    assert (sorted({answer.status for answer in answers if answer.status >= 500}), errors) == ([], [])
