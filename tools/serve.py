"""`make run`: all five APIs on this machine, over a registry of its own, with demo data. No AWS account, no Docker.

Everything listens on loopback only; where Docker has its default bridge, containers also reach the registry, which asks
for this run's credential, and the issuer's public keys. Everything that lasts is in the state folder, readable by its
owner alone:

- `registry/`: the tables, the secrets and the demo issuer's key (`tools.registry` says how durable they are);
- `registry.log`: what the registry complained of;
- `demo.env`: the demo callers' credentials, as shell `export` lines, written anew at every start;
- `postman_environment.json`: the same for Postman, which imports the OpenAPI document;
- `admin.json`: where the server is and the operator's key pair, which the command line `bindery` finds by itself;
- `samconfig.toml`, `sam-env.json`, `events/`: what `sam local` needs (`tools.sam_local`);
- `format`: the version of the folder's format (`tools.state`);
- `lock`: held by the server that uses the folder.

Once the server is ready, its output is a line for each request: readable on a terminal, else the functions' own JSON.
They run in this process, in threads, under the settings that template.yaml gives them; the user's own AWS credentials
and profiles are never used.
"""

import argparse
import errno
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import uvicorn
from starlette.routing import Router

from bindery.aws import dynamodb
from bindery.directory import storage_format
from bindery.http import operation
from bindery.security import secrets
from tools import demo, docs, engine, loopback, sam_local, signatures, state, template
from tools.engine import Engine, EngineError
from tools.gateway import Gateway
from tools.issuer import PATH, Issuer, new_key


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(prog="tools.serve", description="Run Bindery on this machine.")
    arguments.add_argument("--port", default="3000", help="where the APIs are served")
    arguments.add_argument("--state", type=Path, default=Path(".local"), help="the folder that keeps everything")
    arguments.add_argument("--log", default="", help="text or json; text on a terminal and json elsewhere by default")
    given = arguments.parse_args()
    if given.log not in ("", "text", "json"):
        fail(f"LOG={given.log} is not a log format; use make run LOG=text or make run LOG=json")
    if given.log == "text" or (not given.log and sys.stdout.isatty()):
        operation.logger.registered_handler.setFormatter(Readable())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o077)
    try:
        with ExitStack() as stack:
            listening = stack.enter_context(listen(given.port))
            bridge = sam_local.bridge()
            sockets = (
                [listening] if bridge is None else [listening, stack.enter_context(socket.create_server((bridge, 0)))]
            )
            try:
                stack.enter_context(state.take(given.state))
                registry = stack.enter_context(Engine(given.state.resolve(), bridge))
            except (EngineError, state.StateError, OSError) as error:
                fail(str(error))
            try:
                run(registry, sockets, given.state)
            finally:
                # Saving is not to be interrupted by whoever presses Ctrl-C twice.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(0)


def listen(port: str) -> socket.socket:
    """Take the port, before anything else is touched."""
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        fail(f"PORT={port} is not a port number (0 to 65535); for example: make run PORT=3001")
    try:
        return socket.create_server(("127.0.0.1", int(port)), backlog=128)
    except OSError as error:
        why = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        fail(
            f"port {port} {why}, perhaps by another Bindery; stop it, or choose another port, and another state folder"
            f" for a second server: make run PORT={int(port) % 65535 + 1} STATE_DIR=.local-2"
        )


def fail(why: str) -> NoReturn:
    """Say in one line why the server does not run, and end."""
    sys.exit(f"bindery: {why}")


class Readable(logging.Formatter):
    """A line for a person: the time, and of a request its status, operation, duration and refusal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a line; errors keep their traceback."""
        given = vars(record)
        time = self.formatTime(record, "%H:%M:%S")
        if "status" in given:
            line = f"{time}  {given['status']}  {record.getMessage()}  {given['Latency']:.0f} ms"
            return f"{line}  {given['reason']}" if given.get("reason") else line
        line = f"{time}  {record.levelname}  {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def run(registry: Engine, sockets: list[socket.socket], folder: Path) -> None:
    """Set everything up and serve on these sockets, the first on loopback, the last for containers."""
    url, for_containers = (
        f"http://{host}:{each.getsockname()[1]}"
        for host, each in ((loopback.ADDRESS, sockets[0]), (loopback.CONTAINERS, sockets[-1]))
    )
    prepare(registry, issuer=url + PATH)
    issuer = Issuer(url + PATH, engine.keep("DemoIssuerKey", new_key))
    demo.load()
    environment = folder / "demo.env"
    operator = signatures.operator()
    variables = demo.variables(issuer, operator)
    demo.write(environment, variables)
    signatures.write(folder / "admin.json", url, operator)
    demo.write_postman(folder / "postman_environment.json", {"baseUrl": url, **variables})
    theirs = Issuer(for_containers + PATH, issuer.pem)
    settings = {"AWS_ENDPOINT_URL": registry.endpoint_of_containers, "ISSUER": theirs.url}
    sam_local.write(folder, settings, demo.variables(theirs, operator))

    gateway = Gateway(template.functions(), operator)
    pages = [*issuer.routes(), *docs.routes(variables)]
    app = docs.Start(Router(pages, redirect_slashes=False, default=gateway))
    server = Server(
        [*banner(url, environment), f"ready on {url}"],
        uvicorn.Config(
            loopback.Guard(app, Router(theirs.routes(), redirect_slashes=False)),
            access_log=False,
            lifespan="off",
            log_level="warning",
            loop="asyncio",
            http="h11",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        ),
    )

    def watch() -> None:
        registry.process.wait()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets)
    if registry.process.poll() is not None:
        fail(f"the local registry ended unexpectedly (exit code {registry.process.returncode}): see {registry.log}")


class Server(uvicorn.Server):
    """A server that says so when it is ready: from then on it stops cleanly, however soon it is told to."""

    def __init__(self, ready: list[str], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        say(*self._ready)


def prepare(registry: Engine, issuer: str) -> None:
    """Give the functions their environment, tables and secrets."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    # No request of this process leaves the machine, so none goes through a proxy.
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]} | {"Issuer": issuer}
    settings: dict[str, str] = {}
    for function in template.functions():
        for name, value in function.environment.items():
            resolved = template.resolve(value, physical)
            if settings.setdefault(name, resolved) != resolved:
                raise RuntimeError(f"functions disagree on {name}, which one process cannot have twice")
    # The registry's address takes the place of AWS's, which the template leaves empty.
    os.environ |= settings | registry.environment() | {"NO_PROXY": "*", "no_proxy": "*"}
    engine.make_tables()
    engine.make_secrets()
    # More than its ten connections may be in use at once; that the eleventh is not kept is nothing to warn of.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # What a Lambda environment makes at its first request, made before there are threads: boto3 makes clients in one.
    dynamodb.client()
    made = {logical_id for logical_id, _ in template.resources("AWS::SecretsManager::Secret")}
    for name, value in settings.items():
        if value in made:
            secrets.secret(name)
    if (found := storage_format.record()) != storage_format.CURRENT:
        fail(f"the registry has format {found}, this release needs format {storage_format.CURRENT}; {state.ANOTHER}")


def banner(url: str, environment: Path) -> list[str]:
    """What is served, and a request to try for each API."""
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
        f"demo credentials: . {shlex.quote(str(environment))}",
        "",
        *demo.requests(url),
        "",
        f"operators' command line: {shlex.quote(str(Path(sys.executable).with_name('bindery')))} doctor",
        f"one function in Lambda's container: sam build && sam local invoke RufusBindDevice --config-file {config}"
        " -e events/rufus/bind_device.json",
        f"documentation, with a form to try each operation: {url}/docs",
        "",
    ]


def say(*lines: str) -> None:
    """Print for whoever started the server."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
