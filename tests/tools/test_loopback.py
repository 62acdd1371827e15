"""Sockets of the local server and its registry."""

import socket

from tools.local import loopback


def test_responses_do_not_wait_for_acknowledgements() -> None:
    with loopback.listen(loopback.ADDRESS) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
