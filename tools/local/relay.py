"""Ports of the local server's relay host."""

import socket
from contextlib import ExitStack

from botocore.credentials import Credentials

from tools.cli.client import Client
from tools.local import engine, loopback
from tools.local.signatures import Operator
from tools.tunnel.relay_host import RelayHost

FIRST = 34168
COUNT = 20
OTHERS = range(20168, 32768, COUNT)
"""First ports of the ranges to try next. Operating systems use higher ports for connections."""


def listen(stack: ExitStack) -> list[socket.socket]:
    """Listen on a range of ports until `stack` is closed. Raises `OSError` if none is free."""
    taken = OSError()
    for first in (FIRST, *OTHERS):
        with ExitStack() as opened:
            try:
                ports = range(first, first + COUNT)
                listening = [opened.enter_context(loopback.listen(loopback.ADDRESS, port)) for port in ports]
            except OSError as error:
                taken = error
            else:
                stack.enter_context(opened.pop_all())
                return listening
    raise taken


def setting(ports: list[socket.socket]) -> str:
    """Return the functions' setting RELAY_HOST."""
    first, last = (each.getsockname()[1] for each in (ports[0], ports[-1]))
    return f"{loopback.ADDRESS}:{first}-{last}"


def host(url: str, devices_url: str, operator: Operator) -> RelayHost:
    """Return a relay host of the server at a URL."""
    credentials = Credentials(operator.access_key_id, operator.secret_access_key)
    return RelayHost(Client(url, credentials, engine.REGION), devices_url)
