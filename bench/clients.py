"""Measure one DynamoDB client in a new process: `clients.py NAME URL`. Runs under the functions' Python.

Prints JSON: the CPU seconds of importing and creating the client, and those of a warm `GetItem` and of a warm
`TransactWriteItems` with two items. CPU seconds include those of a client's own threads.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Calls = tuple[Callable[[], Any], Callable[[], Any]]

TURNS, REQUESTS = 5, 40
TABLE, REGION = "devices", "eu-central-1"
KEYS = ("device#1", "device#2")
KEY = {"pk": {"S": KEYS[0]}}
GET = {"TableName": TABLE, "Key": KEY, "ConsistentRead": True}
TRANSACT = {"TransactItems": [{"Put": {"TableName": TABLE, "Item": {"pk": {"S": key}}}} for key in KEYS]}
ITEM = {
    "pk": {"S": KEYS[0]},
    "model": {"S": "Model X1"},
    "created_at": {"N": "1790000000000"},
    "enabled": {"BOOL": True},
}


def boto3(url: str) -> Calls:
    import boto3

    client = boto3.client("dynamodb", endpoint_url=url)
    return lambda: client.get_item(**GET), lambda: client.transact_write_items(**TRANSACT)


def bindery(url: str) -> Calls:
    from bindery.aws import clients

    client = clients.client("dynamodb")
    return lambda: client.call("GetItem", **GET), lambda: client.call("TransactWriteItems", **TRANSACT)


def pydynox(url: str) -> Calls:
    from pydynox import DynamoDBClient

    client = DynamoDBClient(region=REGION, endpoint_url=url)
    puts = [{"type": "put", "table": TABLE, "item": {"pk": key}} for key in KEYS]
    return lambda: client.sync_get_item(TABLE, {"pk": KEYS[0]}, True), lambda: client.sync_transact_write(puts)


def aiodynamo(url: str) -> Calls:
    import asyncio

    import httpx
    from aiodynamo.client import Client
    from aiodynamo.credentials import Credentials
    from aiodynamo.http.httpx import HTTPX
    from aiodynamo.operations import Put
    from yarl import URL

    client = Client(HTTPX(httpx.AsyncClient()), Credentials.auto(), REGION, URL(url))
    puts = [Put(TABLE, {"pk": key}) for key in KEYS]
    run = asyncio.new_event_loop().run_until_complete
    return lambda: run(client.get_item(TABLE, {"pk": KEYS[0]})), lambda: run(client.transact_write_items(puts))


CLIENTS = {
    "boto3": boto3,
    "aiodynamo with httpx": aiodynamo,
    "pydynox": pydynox,
    "Bindery, `AwsClient=botocore`": bindery,
    "Bindery, `AwsClient=direct`": bindery,
}


def main() -> None:
    """Create the client, and call each operation until it is warm."""
    start = time.process_time()
    get, transact = CLIENTS[sys.argv[1]](sys.argv[2])
    found = {"created": time.process_time() - start}
    for name, call in (("get", get), ("transact", transact)):
        turns = []
        for _ in range(TURNS):
            start = time.process_time()
            for _ in range(REQUESTS):
                call()
            turns.append((time.process_time() - start) / REQUESTS)
        found[name] = sorted(turns)[TURNS // 2]
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
