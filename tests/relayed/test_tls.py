"""The agent over TLS, which ends at a proxy in front of the server, as it ends at API Gateway."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.layer.aws.authorities import Authority
from tests.relayed.fleet import TIME_LIMIT, Agent, Device
from tests.server.programs import join


class TlsProxy:
    """A proxy that terminates TLS."""

    def __init__(self, tls: ssl.SSLContext, target: int) -> None:
        self.accepted = 0
        """Connections on which TLS was established."""
        self._tls = tls
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"wss://localhost:{self._listening.getsockname()[1]}/link"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        # Closing the socket ends it.
        with suppress(OSError):
            while True:
                opened, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(opened,), daemon=True).start()

    def _serve(self, opened: socket.socket) -> None:
        with opened, suppress(OSError), self._tls.wrap_socket(opened, server_side=True) as client:
            self.accepted += 1
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                # TLS has no half-closed connections.
                join(client, server, socket.SHUT_RDWR)


@contextmanager
def proxy(device: Device, authority: Authority) -> Iterator[TlsProxy]:
    made = TlsProxy(authority.server(), device.site.server.port)
    yield made
    made.close()


def test_requests_arrive_over_tls(device: Device, tmp_path: Path):
    authority = Authority(tmp_path, "own")
    with proxy(device, authority) as secure:
        with device.online(url=secure.url, options=("--ca-file", str(authority.bundle))):
            assert device.answer(b"secret" * 100_000) == "right"
        assert secure.accepted == 1


def test_server_of_another_authority_never_sees_the_credential(device: Device, tmp_path: Path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    with proxy(device, Authority(tmp_path, "own")) as secure:
        agent = Agent(device, url=secure.url, options=("--ca-file", str(other.bundle)))
        deadline = time.monotonic() + TIME_LIMIT
        while not any("cannot verify the certificate of localhost" in line for line in agent.lines):
            assert time.monotonic() < deadline, agent.lines
            time.sleep(0.05)
        agent.kill()
        assert secure.accepted == 0
    assert device.ask().status_code == 503
