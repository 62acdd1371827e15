"""`make run`: a local server with a local registry and demo data.

It listens on loopback, and on Docker's default bridge for containers. The state folder, readable only by its owner,
contains:

- `registry/`, `registry.log`: see `tools.local.registry`;
- `demo.env`, `postman_environment.json`: credentials of the demo callers;
- `admin.json`: endpoint and key pair for the `bindery` command line;
- `samconfig.toml`, `sam-env.json`, `events/`: see `tools.local.sam_local`;
- `format`, `lock`: see `tools.local.state`.

The user's AWS credentials are never used.
"""

import argparse
import asyncio
import errno
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
from starlette.routing import Router
from starlette.types import ASGIApp

from bindery.aws import dynamodb, functions, links
from bindery.directory import storage_format
from bindery.http import operation
from bindery.security import secrets
from tools import docs, template
from tools.local import demo, engine, feed, frames, labels, loopback, relay, sam_local, signatures, state
from tools.local.engine import Engine, EngineError
from tools.local.gateway import Functions, Gateway
from tools.local.issuer import PATH, Issuer, new_key
from tools.local.link import STAGE, LinkGateway


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(prog="tools.local.serve", description="Run Bindery locally.")
    arguments.add_argument("--port", default="3000", help="port of the APIs")
    arguments.add_argument("--state", type=Path, default=Path(".local"), help="folder for all state")
    arguments.add_argument("--log", default="", help="text or json (default: text on a terminal, otherwise json)")
    arguments.add_argument("--origins", default="", help="origins of web pages that may call the APIs (AllowedOrigins)")
    given = arguments.parse_args()
    if given.log not in ("", "text", "json"):
        fail(f"LOG={given.log} is not a log format. Use make run LOG=text or make run LOG=json")
    if given.log == "text" or (not given.log and sys.stdout.isatty()):
        operation.logger.registered_handler.setFormatter(Readable())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o077)
    try:
        with ExitStack() as stack:
            listening = stack.enter_context(listen(given.port))
            bridge = sam_local.bridge()
            sockets = [listening] if bridge is None else [listening, stack.enter_context(loopback.listen(bridge))]
            try:
                ports = relay.listen(stack)
                stack.enter_context(state.take(given.state))
                registry = stack.enter_context(Engine(given.state.resolve(), bridge))
            except (EngineError, state.StateError, OSError) as error:
                fail(str(error))
            try:
                run(registry, sockets, ports, given.state, given.origins)
            finally:
                # A second Ctrl-C must not interrupt saving.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(0)


def listen(port: str) -> socket.socket:
    """Open the port."""
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        fail(f"PORT={port} is not a port number (0 to 65535). Example: make run PORT=3001")
    try:
        return loopback.listen(loopback.ADDRESS, int(port))
    except OSError as error:
        why = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        fail(
            f"port {port} {why}. If another Bindery server is running, stop it, or start a second server on another"
            f" port and state folder: make run PORT={int(port) % 65535 + 1} STATE_DIR=.local-2"
        )


def fail(why: str) -> NoReturn:
    """Print an error and exit."""
    sys.exit(f"bindery: {why}")


class Readable(logging.Formatter):
    """Log formatter for terminals: one line per request."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, with the traceback of an exception."""
        given = vars(record)
        time = self.formatTime(record, "%H:%M:%S")
        if "status" in given:
            line = f"{time}  {given['status']}  {record.getMessage()}  {given['Latency']:.0f} ms"
            return f"{line}  {given['reason']}" if given.get("reason") else line
        line = f"{time}  {record.levelname}  {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def run(registry: Engine, sockets: list[socket.socket], ports: list[socket.socket], folder: Path, origins: str) -> None:
    """Set up and serve on sockets for this machine (first) and for containers (last), and on the relay host's ports."""
    url, for_containers = (
        f"http://{host}:{each.getsockname()[1]}"
        for host, each in ((loopback.ADDRESS, sockets[0]), (loopback.CONTAINERS, sockets[-1]))
    )
    proxy = {"PROXY_URL": f"http://localhost:{sockets[0].getsockname()[1]}", "RELAY_HOST": relay.setting(ports)}
    # There is no event bus, and receivers of webhooks run on this machine.
    prepare(registry, url + PATH, **proxy, EVENT_BUS="", WEBHOOKS_TO_LOOPBACK="true")
    os.environ["LINK_ENDPOINT"] = f"{url}/{STAGE}"
    issuer = Issuer(url + PATH, engine.keep("DemoIssuerKey", new_key))
    demo.load()
    environment = folder / "demo.env"
    operator = signatures.operator()
    devices_url = f"ws{url.removeprefix('http')}/{STAGE}"
    variables = demo.variables(issuer, operator) | {"DEVICES_URL": devices_url}
    demo.write(environment, variables)
    signatures.write(folder / "admin.json", url, operator)
    demo.write_postman(folder / "postman_environment.json", {"baseUrl": url, **variables})
    theirs = Issuer(for_containers + PATH, issuer.pem)
    settings = {"AWS_ENDPOINT_URL": registry.endpoint_of_containers, "ISSUER": theirs.url, **proxy}
    sam_local.write(folder, settings, demo.variables(theirs, operator))

    invocations = Functions()
    functions.client = cache(lambda: invocations)
    gateway = Gateway(template.functions(), operator, origins)
    devices = LinkGateway(template.link(), {"ping": template.pong()})
    links.client = cache(lambda: devices)
    pages = [*issuer.routes(), *docs.routes(variables), *devices.routes()]
    start = docs.Start(Router(pages, redirect_slashes=False, default=gateway))
    guarded = loopback.Guard(start, Router(theirs.routes(), redirect_slashes=False), gateway.origins)
    app = labels.Labels(labels.gateway(), guarded)
    beside: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "the relay host": partial(relay.host(url, devices_url, operator).run, ports),
        **feed.tasks(registry.endpoint, invocations),
    }
    server = Server([*banner(url, environment), f"ready on {url}"], configured(app), beside)

    def watch() -> None:
        registry.process.wait()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets)
    invocations.close()
    if server.failure is not None:
        fail(server.failure)
    if registry.process.poll() is not None:
        fail(f"the local registry stopped unexpectedly (exit code {registry.process.returncode}). See {registry.log}")


def configured(app: ASGIApp) -> uvicorn.Config:
    """Return the server's settings."""
    return uvicorn.Config(
        app,
        access_log=False,
        lifespan="off",
        log_level="warning",
        loop="asyncio",
        http="h11",
        ws=frames.Protocol,
        # API Gateway neither sends pings nor compresses.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


class Server(uvicorn.Server):
    """Server that prints a message when it is ready, and runs other things beside, by name."""

    def __init__(
        self, ready: list[str], config: uvicorn.Config, beside: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._beside = beside
        self.failure: str | None = None
        """What ended the server."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests."""
        await super().startup(sockets)
        self._tasks = [asyncio.create_task(run(), name=name) for name, run in self._beside.items()]
        for task in self._tasks:
            task.add_done_callback(self._stop_if_failed)
        say(*self._ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await super().shutdown(sockets)

    def _stop_if_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failure = f"{task.get_name()} stopped unexpectedly ({failure!r})"
            self.should_exit = True


def prepare(registry: Engine, issuer: str, **more: str) -> None:
    """Set up the functions' environment, with `more` settings in place of the template's, tables and secrets."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    # All requests of this process stay on this machine, so a proxy must not be used.
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]} | {"Issuer": issuer}
    settings: dict[str, str] = {}
    for function in template.functions():
        for name, value in function.environment.items():
            resolved = template.resolve(value, physical)
            if settings.setdefault(name, resolved) != resolved:
                raise RuntimeError(f"functions have different values for {name}, and one process cannot run both")
    # The registry's address replaces the template's empty AWS_ENDPOINT_URL.
    os.environ |= settings | more | registry.environment() | {"NO_PROXY": "*", "no_proxy": "*"}
    engine.make_tables()
    engine.make_secrets()
    # More than ten concurrent connections are normal here. Do not log that the pool discards them.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # Create clients and load secrets before there are threads, because creating boto3 clients is not thread-safe.
    dynamodb.client()
    made = {logical_id for logical_id, _ in template.resources("AWS::SecretsManager::Secret")}
    for name, value in settings.items():
        if value in made:
            secrets.secret(name)
    if (found := storage_format.record()) != storage_format.CURRENT:
        fail(
            f"the registry has format {found}, but this release needs format {storage_format.CURRENT}. {state.ANOTHER}"
        )


def banner(url: str, environment: Path) -> list[str]:
    """Return what is printed at the start."""
    routes = [
        f"  {route.method:<7} {route.path}"
        for function in template.functions()
        for route in function.routes
        if route.path != "$default"
    ]
    config = shlex.quote(str(environment.with_name("samconfig.toml")))
    return [
        "routes:",
        *routes,
        "",
        f"load the demo credentials: . {shlex.quote(str(environment))}",
        "",
        *demo.requests(url),
        "",
        f"command line for operators: {shlex.quote(str(Path(sys.executable).with_name('bindery')))} doctor",
        f"run a function in a Lambda container: sam build && sam local invoke RufusBindDevice --config-file {config}"
        " -e events/rufus/bind_device.json",
        f"interactive documentation: {url}/docs",
        "",
    ]


def say(*lines: str) -> None:
    """Print lines to standard output."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
