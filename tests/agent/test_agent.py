"""The agent against a server: it stays online, and logs the reason when it cannot."""

import re
from pathlib import Path

import pytest

from tests.agent.link_server import PONG, TEXT, LinkServer, Online, connected, in_loop, next_attempt, welcome
from tests.layer.aws.authorities import Authority, self_signed

pytestmark = pytest.mark.usefixtures("quick_retries")


@in_loop
async def test_ping_frame_is_answered_between_the_fragments_of_a_message(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        link = await server.accept()
        await link.message()
        first, rest = '{"type":"wel', 'come"}'
        link.send_raw(bytes([TEXT, len(first)]) + first.encode() + b"\x89\x03abc")
        answer = await link.frame()
        assert (answer.opcode, answer.payload) == (PONG, b"abc")
        link.send_raw(bytes([0x80, len(rest)]) + rest.encode())
        await agent.line("online")


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
@in_loop
async def test_refused_credential_is_tried_again_after_ten_minutes(tmp_path: Path, status: str) -> None:
    async with LinkServer() as server:
        server.responses = [f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()]
        async with Online(server.url, tmp_path) as agent:
            line = await agent.line("offline")
    assert f"refused the credential (HTTP {status[:3]}). Check that the device is bound" in line
    assert 540 <= next_attempt(line) <= 660


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", r"HTTP 302\)\. Check the URL"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", r"HTTP 404\)\. Check the URL"),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", r"too many requests \(HTTP 429\)"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", r"failed \(HTTP 500\)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", r"HTTP 200\)\. Check the URL"),
        (b"HTTP/1.1 101 OK\r\n\r\n", "did not switch to the WebSocket protocol"),
        (
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "wrong Sec-WebSocket-Accept",
        ),
        (b"SSH-2.0-OpenSSH\r\n\r\n", r"does not speak HTTP/1\.1"),
        (b"x" * 100_000, "does not speak WebSocket"),
        (b"", "closed the connection"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:30],
)
@in_loop
async def test_failed_upgrade_is_tried_again(tmp_path: Path, response: bytes, reason: str) -> None:
    async with LinkServer() as server:
        server.responses = [response]
        async with Online(server.url, tmp_path) as agent:
            line = await agent.line("offline")
            await server.welcomed()
            await agent.line("online")
    assert re.search(reason, line)


@in_loop
async def test_unreachable_server_is_tried_again(tmp_path: Path) -> None:
    async with LinkServer() as server:
        url = server.url
    async with Online(url, tmp_path) as agent:
        line = await agent.line("offline")
        await agent.line("offline")
    assert next_attempt(line) <= 0.5


@in_loop
async def test_lost_connection_is_opened_again_with_the_files_new_credential(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, agent, first):
        agent.credential.rotate("another")
        first.drop()
        line = await agent.line("offline")
        second = await server.accept()
        assert second.request_headers["Authorization"] == "Bearer another"
        await second.welcome()
        await agent.line("online")
    assert line.startswith("offline: the connection was lost; next attempt in ")
    assert next_attempt(line) <= 0.5


@in_loop
async def test_servers_close_frame_is_answered_and_logged(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, agent, link):
        link.send_raw(b"\x88\x0c\x03\xe9Going\naway")
        assert (await link.frame()).code == 1001
        assert "the server closed the connection with code 1001, Going?away;" in await agent.line("offline")
        await server.accept()


@in_loop
async def test_missing_credential_file_is_tried_again_once_the_agent_runs(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, agent, link):
        agent.credential.path.unlink()
        link.drop()
        await agent.line("the connection was lost")
        await agent.line(f"cannot read the credential file {agent.credential.path}: No such file or directory")
        agent.credential.rotate("another")
        assert (await server.accept()).request_headers["Authorization"] == "Bearer another"


@in_loop
async def test_connection_is_replaced_before_it_ends(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        old = await server.welcomed(seconds=1)
        await agent.line("online")
        new = await server.accept()
        old.send_raw(b"\x89\x00")
        assert (await old.frame()).opcode == PONG, "the old connection is still open"
        await new.welcome()
        assert await old.closed() == 1000
        await agent.line("renewed")
        new.send_raw(b"\x89\x00")
        assert (await new.frame()).opcode == PONG


@in_loop
async def test_agents_own_replacement_is_not_a_takeover(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        old = await server.welcomed(seconds=1)
        new = await server.accept()
        old.send({"type": "bye", "why": "replaced", "after": 600})
        assert await old.closed() == 1000
        new.drop()
        await agent.line("cannot renew the connection")
        line = await agent.line("offline: another connection with this credential replaced this one")
        assert next_attempt(line) <= 0.5
        await server.welcomed()
        await agent.line("online")


@in_loop
async def test_failed_replacement_keeps_the_connection(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        link = await server.accept()
        server.responses = [b"HTTP/1.1 403 Forbidden\r\n\r\n"]
        await link.welcome(seconds=1)
        line = await agent.line("cannot renew the connection, but still online: the server refused the credential")
        assert 540 <= next_attempt(line) <= 660
        link.send_raw(b"\x89\x00")
        assert (await link.frame()).opcode == PONG
        link.drop()
        assert 500 <= next_attempt(await agent.line("offline: the connection was lost")) <= 660


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("replaced", "another connection with this credential replaced this one"),
        ("unbound", "the device was unbound"),
        ("banned", "the device is banned"),
        ("invalid", "did not accept this agent's messages"),
        ("new\nreason", r"ended the connection \(new\?reason\)"),
    ],
)
@in_loop
async def test_bye_is_obeyed(tmp_path: Path, why: str, reason: str) -> None:
    async with connected(tmp_path) as (_, agent, link):
        link.send({"type": "bye", "why": why, "after": 600})
        assert await link.closed() == 1000
        line = await agent.line(f"offline: .*{reason}")
    assert 600 <= next_attempt(line) <= 660


@in_loop
async def test_bye_instead_of_welcome_is_obeyed(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        link = await server.accept()
        link.send({"type": "bye", "why": "banned", "after": 3600})
        line = await agent.line("offline: the device is banned")
    assert 3600 <= next_attempt(line) <= 3960


@in_loop
async def test_servers_error_before_welcome_is_a_failed_attempt(tmp_path: Path) -> None:
    failure = {"message": "Internal server error", "connectionId": "a", "requestId": "b"}
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        (await server.accept()).send(failure)
        await agent.line("offline: the server reported: Internal server error; next attempt")
        link = await server.welcomed()
        await agent.line("online")
        link.send(failure)
        assert await agent.line("Internal") == "the server reported: Internal server error"
        link.send_raw(b"\x89\x00")
        assert (await link.frame()).opcode == PONG


@in_loop
async def test_unknown_messages_are_ignored(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        link = await server.accept()
        await link.message()
        for text in ('{"type": "new\\nkind"}', '{"type": []}', "{}", "[]", "not JSON", "[" * 60_000):
            link.send_text(text)
        link.send(welcome())
        assert await agent.line("ignored") == "ignored a message of type new?kind"
        for _ in range(2):
            await agent.line("ignored a message of type ")
        for _ in range(3):
            await agent.line("ignored a message that is not a JSON object")
        await agent.line("online")


@pytest.mark.parametrize("fault", ["expired", "wrong host", "self-signed", "unknown authority"])
@in_loop
async def test_invalid_certificate_is_refused(tmp_path: Path, fault: str) -> None:
    authority = Authority(tmp_path, "own")
    tls = {
        "expired": lambda: authority.server(hosts=["127.0.0.1"], expired=True),
        "wrong host": lambda: authority.server(hosts=["link.example.com"]),
        "self-signed": lambda: self_signed(tmp_path),
        "unknown authority": lambda: Authority(tmp_path, "other").server(hosts=["127.0.0.1"]),
    }[fault]()
    async with (
        LinkServer(tls) as server,
        Online(server.url, tmp_path, ca_file=str(authority.bundle)) as agent,
    ):
        await agent.line(r"offline: cannot verify the certificate of 127\.0\.0\.1 \(.+\)\. Check this device's clock")
        assert server.requests == []
