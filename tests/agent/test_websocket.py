"""The agent's WebSocket: test vectors of RFC 6455, fragments, and servers that violate it."""

import asyncio
import random
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent import bindery_agent
from agent.bindery_agent import (
    Frame,
    Link,
    Offline,
    WebSocket,
    encode_frame,
    encode_message,
    parse_url,
    read_frame,
)
from tests.agent.link_server import CREDENTIAL, LinkServer, Online, connected, in_loop, welcome

pytestmark = pytest.mark.usefixtures("quick_retries")


def read(data: bytes) -> Frame:
    async def decoded() -> Frame:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_frame(reader)

    return asyncio.run(decoded())


def unmasked(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the size and first byte of each frame of the agent, and its payload."""
    while data:
        size, head = data[1] & 0x7F, 2
        if size == 126:
            (size,), head = struct.unpack("!H", data[2:4]), 4
        key, end = data[head : head + 4], head + 4 + size
        yield data[0], bytes(byte ^ key[index % 4] for index, byte in enumerate(data[head + 4 : end]))
        assert end <= 32 * 1024
        data = data[end:]


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("810548656c6c6f", Frame(True, 1, b"Hello")),
        ("010348656c", Frame(False, 1, b"Hel")),
        ("80026c6f", Frame(True, 0, b"lo")),
        ("890548656c6c6f", Frame(True, 9, b"Hello")),
        ("827e0100" + "00" * 256, Frame(True, 2, bytes(256))),
        ("827f0000000000010000" + "00" * 65536, Frame(True, 2, bytes(65536))),
    ],
    ids=["text", "first fragment", "last fragment", "ping", "256 bytes", "64 KiB"],
)
def test_frame_of_rfc_6455_is_read(data: str, frame: Frame) -> None:
    assert read(bytes.fromhex(data)) == frame


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "8180"), (125, "81fd"), (126, "81fe007e"), (65535, "81feffff"), (65536, "81ff0000000000010000")],
)
def test_length_has_as_few_bytes_as_possible(size: int, head: str) -> None:
    frame = encode_frame(1, b"a" * size, bytes(4))
    assert frame == bytes.fromhex(head) + bytes(4) + b"a" * size


@pytest.mark.parametrize(
    ("size", "frames"),
    [(0, [0x81]), (32760, [0x81]), (32761, [0x01, 0x80]), (131072, [0x01, 0, 0, 0, 0x80])],
)
def test_large_message_is_sent_in_frames_of_32_kib(size: int, frames: list[int]) -> None:
    text = ("0123456789" * (size // 10 + 1))[:size]
    sent = list(unmasked(encode_message(text)))
    assert [first for first, _ in sent] == frames
    assert b"".join(payload for _, payload in sent).decode() == text


def test_message_of_more_than_128_kib_is_refused() -> None:
    with pytest.raises(ValueError, match="131073 bytes is larger than 131072"):
        encode_message("a" * 131073)


def test_each_frame_has_a_key_of_its_own() -> None:
    keys = iter([b"abcd", b"efgh"])
    sent = encode_message("a" * 32761, lambda size: next(keys))
    assert (sent[4:8], sent[-5:-1]) == (b"abcd", b"efgh")


@pytest.mark.parametrize("seed", range(3))
def test_arbitrary_bytes_are_a_frame_or_an_error(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(200):
        data = source.randbytes(2 + source.randrange(300))
        with suppress(Offline, EOFError):
            assert read(data).payload in data


VIOLATIONS = {
    "reserved bit": ("c10131", 1002),
    "unknown opcode": ("830131", 1002),
    "masked": ("81810000000031", 1002),
    "fragmented ping": ("0900", 1002),
    "long ping": ("897e0080" + "00" * 128, 1002),
    "16-bit length below 126": ("817e007d" + "61" * 125, 1002),
    "64-bit length below 65536": ("817f000000000000ffff" + "61" * 65535, 1002),
    "continuation of nothing": ("800131", 1002),
    "text within a text": ("010131810131", 1002),
    "half a close code": ("880103", 1002),
    "close code 1005": ("880203ed", 1002),
    "close code 999": ("880203e7", 1002),
    "binary": ("820131", 1003),
    "invalid UTF-8": ("8101ff", 1007),
    "invalid UTF-8 over two fragments": ("0101e28001ff", 1007),
    "close reason that is not UTF-8": ("880303e8ff", 1007),
    "frame of more than 128 KiB": ("817f0000000000020001", 1009),
    "message of more than 128 KiB": (
        "017ef000" + "61" * 0xF000 + "007ef000" + "61" * 0xF000 + "807e2001" + "61" * 0x2001,
        1009,
    ),
}
"""Bytes of a server, and the close code of the agent."""


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
@in_loop
async def test_violation_ends_the_connection_with_its_code(tmp_path: Path, data: str, code: int) -> None:
    async with connected(tmp_path) as (server, _, link):
        link.send_raw(bytes.fromhex(data))
        assert await link.closed() == code
        await server.accept()


@in_loop
async def test_dead_connection_is_found_by_pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bindery_agent, "PING_INTERVAL", 0.2)
    monkeypatch.setattr(bindery_agent, "PING_TIMEOUT", 0.1)
    async with connected(tmp_path) as (server, _, link):
        waiting = asyncio.create_task(link.frame())
        while link.pings < 3:
            await asyncio.sleep(0.01)
        link.answers_pings = False
        await server.accept()
        assert (await waiting).code == 1000


@in_loop
async def test_server_that_does_not_welcome_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bindery_agent, "CONNECT_TIMEOUT", 0.2)
    async with LinkServer() as server, Online(server.url, tmp_path):
        silent = await server.accept()
        assert (await silent.message())["type"] == "hello"
        assert await silent.closed() == 1000
        await server.welcomed()


@in_loop
async def test_added_handler_gets_messages_and_can_answer(tmp_path: Path) -> None:
    async def echo(link: Link, message: dict[str, Any]) -> None:
        await link.send({"type": "echo", "text": message["text"]})

    async with LinkServer() as server:
        online = Online(server.url, tmp_path)
        online.agent.handlers["say"] = echo
        async with online:
            link = await server.welcomed()
            link.send({"type": "say"})
            link.send({"type": "say", "text": "a" * 60_000})
            frames = [await link.frame(), await link.frame()]
    assert [(frame.opcode, frame.fin) for frame in frames] == [(1, False), (0, True)]
    assert max(frame.size for frame in frames) == 32 * 1024
    assert b"".join(frame.payload for frame in frames) == b'{"type":"echo","text":"' + b"a" * 60_000 + b'"}'


@in_loop
async def test_second_welcome_changes_the_heartbeat_only(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path):
        link = await server.accept()
        link.send(welcome(heartbeat=1))
        link.send(welcome(heartbeat=1))
        assert [(await link.message())["type"] for _ in range(2)] == ["hello", "ping"]


@in_loop
async def test_closed_connection_takes_no_messages(caplog: pytest.LogCaptureFixture) -> None:
    async with LinkServer() as server:
        opened = await WebSocket.open(parse_url(server.url), CREDENTIAL, None)
        opened.abort()
        for _ in range(10):
            with pytest.raises(Offline, match="the connection was lost"):
                await opened.send("text")
    # asyncio reports later attempts to write to a closed connection.
    assert caplog.messages == []
