"""Log lines of the local server on a terminal."""

import logging

from tools.local.serve import Readable


def line(**given: object) -> str:
    record = logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO", "msg": "rufus.bind_device", **given})
    return Readable().format(record).partition("  ")[2]


def test_request_is_one_readable_line() -> None:
    assert line(status=201, Latency=12.4) == "201  rufus.bind_device  12 ms"
    refused = line(status=403, Latency=2.6, reason="access_denied")
    assert refused == "403  rufus.bind_device  3 ms  access_denied"
