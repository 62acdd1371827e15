"""`bindery relay-host`."""

import asyncio
import logging
import re
import resource
import signal
import socket
from contextlib import ExitStack, closing
from typing import Annotated

import typer

from tools.cli import client
from tools.cli.client import Exit, Failure
from tools.cli.command import Endpoint, Profile, Region, exit_on_failure
from tools.cli.tunnel import DevicesUrl, devices_url


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("relay-host")(exit_on_failure(relay_host))


def relay_host(
    listen: Annotated[str, typer.Option(help="Address to listen on.", show_default=False)],
    ports: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="The stack's parameter RelayPorts.", show_default=False)
    ],
    devices: DevicesUrl = None,
    endpoint: Endpoint = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Carry clients' TCP connections to devices (remoteit).

    A client needs a connection to a device at the port that `connect` returned.
    Your AWS identity needs permission for GET /admin/v1/connections/relay only.
    """
    url = devices_url(devices)
    _raise_limit()
    with ExitStack() as stack:
        listening = [stack.enter_context(_listen(listen, port)) for port in _parse(ports)]
        api = stack.enter_context(closing(client.connect(endpoint, profile, region)))
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")
        logging.getLogger("bindery.relay_host").setLevel(logging.INFO)
        asyncio.run(_run(api, url, listening))


async def _run(api: client.Client, url: str, listening: list[socket.socket]) -> None:
    from tools.tunnel.relay_host import RelayHost, log  # slow to import, and only needed here

    task = asyncio.ensure_future(RelayHost(api, url).run(listening))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    first, last = (each.getsockname() for each in (listening[0], listening[-1]))
    log.info("listening on %s, ports %d to %d", first[0], first[1], last[1])
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def _parse(ports: str) -> range:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", ports)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise Failure(Exit.USAGE, f"{ports} is not a range of ports. Example: 34168-34267")
    return range(first, last + 1)


def _raise_limit() -> None:
    """Allow as many open sockets as the system permits: the default is often 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=128)
    except OSError as error:
        # Python adds the address to the system's text.
        why = (error.strerror or str(error)).partition(" (while attempting")[0]
        raise Failure(Exit.USAGE, f"cannot listen on {address}, port {port}: {why}") from None
