"""`bindery tunnel`."""

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING, Annotated

import typer

from tools.cli import client, output
from tools.cli.client import Exit, Failure
from tools.cli.command import Endpoint, exit_on_failure

if TYPE_CHECKING:
    from tools.tunnel.leases import Api, Lease

DevicesUrl = Annotated[
    str | None,
    typer.Option("--devices-url", help="URL of the device link. Default: DEVICES_URL.", show_default=False),
]
EPILOG = """\b
In ~/.ssh/config, for ssh camera and scp:
  Host camera
    ProxyCommand bindery tunnel 80:00:00:00:00:00:00:F1 --service ssh --stdio
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EPILOG)(exit_on_failure(tunnel))


def tunnel(
    address: Annotated[str, typer.Argument(help="Service address of the device.", show_default=False)],
    service: Annotated[
        str,
        typer.Option(
            help="Name of the service at the device's agent. Default: the type of the address.", show_default=False
        ),
    ] = "",
    listen: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Local port to listen on; 0 for any free one.", show_default=False
        ),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Carry standard input and output instead.")] = False,
    devices: DevicesUrl = None,
    endpoint: Endpoint = None,
) -> None:
    """Carry TCP connections, such as ssh, to a device (remoteit).

    REMOTEIT_TOKEN and REMOTEIT_DEVELOPER_KEY are a user's credentials of the
    remoteit API. The tunnel opens a connection to the device, which ends the
    user's earlier one to it, and ends it on Ctrl-C.
    """
    if (listen is None) is not stdio:
        raise Failure(Exit.USAGE, "specify either --listen or --stdio")
    url = devices_url(devices)
    _carry(client.base_url(endpoint), url, address, service, None if listen is None else _listen(listen))


def devices_url(given: str | None) -> str:
    """Return the URL of the device link. Raises `Failure`."""
    from agent.bindery_agent import parse_url  # slow to import

    url = given or os.environ.get("DEVICES_URL")
    if not url:
        raise Failure(Exit.USAGE, "no URL of the device link. Use --devices-url, or set DEVICES_URL")
    try:
        parse_url(url)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    return url


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise Failure(Exit.USAGE, f"cannot listen on port {port}: {os.strerror(error.errno or 0)}") from None


def _carry(endpoint: str, url: str, address: str, service: str, listening: socket.socket | None) -> None:
    # Slow to import, and not needed by other commands.
    from agent.bindery_agent import Offline
    from tools.tunnel import client as tunnels
    from tools.tunnel.leases import Api
    from tools.tunnel.session import Ended, Session

    api = Api(endpoint)
    lease = api.connect(address)

    async def work() -> None:
        if listening is None:
            await tunnels.stdio(session, service)
            return
        ends = time.strftime("%H:%M", time.localtime(lease.expires_at))
        port = listening.getsockname()[1]
        output.note(
            f"bindery: {service or 'the service'} of {address} is at 127.0.0.1:{port} until {ends}. Press Ctrl-C to end"
        )
        await tunnels.listen(session, service, listening)

    session = Session(url, lease.credential, lease.expires_at, lambda text: output.note(f"bindery: {text}"))
    try:
        asyncio.run(tunnels.run(session, work))
    except Ended as ended:
        raise Failure(Exit.REFUSED, str(ended)) from None
    except tunnels.ResetError as error:
        raise Failure(Exit.REFUSED, str(error)) from None
    except Offline as failure:
        raise Failure(Exit.UNAVAILABLE, f"cannot connect to {url}: {failure}") from None
    finally:
        _stop(api, lease)


def _stop(api: "Api", lease: "Lease") -> None:
    """End the connection, unless another one replaced it, or it has ended."""
    try:
        api.stop(lease)
    except Failure as failure:
        if failure.code is not Exit.FORBIDDEN:
            output.note(f"bindery: the connection was not stopped: {failure.text}")
