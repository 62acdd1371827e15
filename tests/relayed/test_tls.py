"""The agent over TLS, which ends at a proxy in front of the server, as it ends at API Gateway."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.layer.aws.authorities import Authority
from tests.relayed.fleet import TIME_LIMIT, Agent, Device
from tests.server.programs import join, serving_tcp


@contextmanager
def proxy(device: Device, authority: Authority) -> Iterator[tuple[str, list[ssl.SSLSocket]]]:
    """Run a proxy that terminates TLS. Yield its URL, and the connections on which TLS was established."""
    tls, established = authority.server(), []

    def serve(opened: socket.socket) -> None:
        with tls.wrap_socket(opened, server_side=True) as client:
            established.append(client)
            with socket.create_connection(("127.0.0.1", device.site.server.port)) as server:
                # TLS has no half-closed connections.
                join(client, server, socket.SHUT_RDWR)

    with serving_tcp(serve) as port:
        yield f"wss://localhost:{port}/link", established


def test_requests_arrive_over_tls(device: Device, tmp_path: Path):
    authority = Authority(tmp_path, "own")
    with proxy(device, authority) as (url, established):
        with device.online(url=url, options=("--ca-file", str(authority.bundle))):
            assert device.answer(b"secret" * 100_000) == "right"
        assert len(established) == 1


def test_server_of_another_authority_never_sees_the_credential(device: Device, tmp_path: Path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    with proxy(device, Authority(tmp_path, "own")) as (url, established):
        agent = Agent(device, url=url, options=("--ca-file", str(other.bundle)))
        deadline = time.monotonic() + TIME_LIMIT
        while not any("cannot verify the certificate of localhost" in line for line in agent.lines):
            assert time.monotonic() < deadline, agent.lines
            time.sleep(0.05)
        agent.kill()
        assert established == []
    assert device.ask().status_code == 503
