"""The agent as a process: its output, signals and exit codes."""

import signal
from pathlib import Path

from tests.agent.link_server import CREDENTIAL, AgentProcess, LinkServer, in_loop, welcome
from tests.layer.aws.authorities import Authority


@in_loop
async def test_agent_comes_online_and_says_goodbye(tmp_path: Path) -> None:
    services = ["--service", "http=127.0.0.1:80", "--service", "ssh=[::1]:22"]
    async with LinkServer() as server, AgentProcess(server.url, tmp_path, *services) as agent:
        link = await server.accept()
        headers = link.request_headers
        assert link.request.startswith("GET /link HTTP/1.1\r\n")
        assert headers["Authorization"] == f"Bearer {CREDENTIAL}"
        assert headers["Host"] == server.url.split("/")[2]
        assert headers["User-Agent"].startswith("bindery-agent/0")
        assert await link.message() == {
            "type": "hello",
            "v": 1,
            "services": ["http", "ssh"],
            "internal_ip": "127.0.0.1",
        }
        link.send(welcome())
        assert await agent.line("online") == f"online: connected to {server.url}; services: http, ssh"
        agent.signal(signal.SIGTERM)
        assert await link.closed() == 1001
        assert await agent.end() == 0
        assert agent.output[-1].endswith("offline: stopped by a signal")


@in_loop
async def test_agent_that_waits_ends_on_sigint(tmp_path: Path) -> None:
    async with LinkServer() as server:
        server.responses = [b"HTTP/1.1 403 Forbidden\r\n\r\n"]
        async with AgentProcess(server.url, tmp_path) as agent:
            await agent.line("offline")
            agent.signal(signal.SIGINT)
            assert await agent.end() == 0


@in_loop
async def test_systems_authorities_are_used_without_ca_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "system")
    async with (
        LinkServer(authority.server(hosts=["127.0.0.1"])) as server,
        AgentProcess(server.url, tmp_path, SSL_CERT_FILE=str(authority.bundle)) as agent,
    ):
        await server.welcomed()
        await agent.line("online")
