"""Log lines of the local server on a terminal."""

import logging

from tools.local.serve import Readable


def record(level: int, message: str, **given: object) -> logging.LogRecord:
    return logging.makeLogRecord({"levelno": level, "levelname": logging.getLevelName(level), "msg": message, **given})


def line(found: logging.LogRecord) -> str:
    return Readable().format(found).partition("  ")[2]


def test_request_is_one_readable_line() -> None:
    served = record(logging.INFO, "rufus.bind_device", status=201, Latency=12.4)
    assert line(served) == "201  rufus.bind_device  12 ms"
    refused = record(logging.INFO, "rufus.bind_device", status=403, Latency=2.6, reason="access_denied")
    assert line(refused) == "403  rufus.bind_device  3 ms  access_denied"


def test_internal_error_keeps_its_traceback() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        failed = record(logging.ERROR, "unhandled", exc_info=(RuntimeError, error, error.__traceback__))
    first, *rest = line(failed).splitlines()
    assert first == "ERROR  unhandled"
    assert rest[-1] == "RuntimeError: broken"
