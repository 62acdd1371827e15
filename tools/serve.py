"""`make run`: all five APIs on this machine, over a registry of its own, with demo data. No AWS account, no Docker.

Everything listens on loopback only, and everything that lasts is in the state folder, readable by its owner alone:

- `registry/`: the tables, the secrets and the demo issuer's key (`tools.registry` says how durable they are);
- `registry.log`: what the registry complained of;
- `demo.env`: the demo callers' credentials, as shell `export` lines, written anew at every start;
- `postman_environment.json`: the same for the collection in docs/postman;
- `admin.json`: where the server is and the operator's key pair, which the command line `bindery` finds by itself;
- `lock`: held by the server that uses the folder.

The functions' own log lines, one a request, are the output once the server is ready. They run in this process, in
threads, under the settings that template.yaml gives them; credentials and profiles of the person are never used.
"""

import argparse
import errno
import fcntl
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, TextIO

import uvicorn
from starlette.routing import Router

from bindery import dynamo, keyring
from tools import collection, demo, docs, engine, files, signatures, template
from tools.engine import Engine, EngineError
from tools.gateway import Gateway
from tools.issuer import PATH, Issuer, new_key


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(prog="tools.serve", description="Run Bindery on this machine.")
    arguments.add_argument("--port", type=int, default=3000, help="where the APIs are served")
    arguments.add_argument("--state", type=Path, default=Path(".local"), help="the folder that keeps everything")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o077)
    try:
        with ExitStack() as stack:
            listening = stack.enter_context(listen(given.port))
            stack.enter_context(take(given.state))
            try:
                registry = stack.enter_context(Engine(given.state.resolve()))
            except (EngineError, OSError) as error:
                fail(str(error))
            try:
                run(registry, listening, given.state)
            finally:
                # Saving is not to be interrupted by whoever presses Ctrl-C twice.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(0)


def listen(port: int) -> socket.socket:
    """Take the port, before anything else is touched."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is already in use" if taken else f"cannot be used ({error})"
        fail(f"port {port} {why}; choose another one: make run PORT=3001")
    return listening


def take(state: Path) -> TextIO:
    """Take the state folder for this server alone."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "lock").open("a+")
    except OSError as error:
        fail(f"the state folder {state} cannot be used ({error.strerror}); choose another one: make run STATE_DIR=…")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip()
        fail(
            f"another server (process {holder}) runs on the state folder {state}; stop it, or choose another folder:"
            " make run STATE_DIR=…"
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def fail(why: str) -> NoReturn:
    """Say in one line why the server does not run, and end."""
    sys.exit(f"bindery: {why}")


def run(registry: Engine, listening: socket.socket, state: Path) -> None:
    """Set everything up and serve."""
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    prepare(registry, issuer=url + PATH)
    issuer = Issuer(url + PATH, engine.keep("DemoIssuerKey", new_key))
    demo.load()
    environment = state / "demo.env"
    operator = signatures.operator()
    variables = demo.variables(issuer, operator)
    demo.write(environment, variables)
    signatures.write(state / "admin.json", url, operator)
    postman = collection.environment(collection.COLLECTION.read_text(), {"url": url, **variables})
    files.replace(state / "postman_environment.json", collection.text(postman))

    gateway = Gateway(template.functions(), operator)
    app = Router([*issuer.routes(), *docs.routes(variables)], redirect_slashes=False, default=gateway)
    server = Server(
        [*banner(url, environment), f"ready on {url}"],
        uvicorn.Config(
            app,
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
    server.run([listening])
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
    os.environ |= registry.environment() | {"NO_PROXY": "*", "no_proxy": "*"}
    physical = {logical_id: logical_id for logical_id in template.document()["Resources"]} | {"Issuer": issuer}
    settings: dict[str, str] = {}
    for function in template.functions():
        for name, value in function.environment.items():
            resolved = template.resolve(value, physical)
            if settings.setdefault(name, resolved) != resolved:
                raise RuntimeError(f"functions disagree on {name}, which one process cannot have twice")
    os.environ |= settings
    engine.make_tables()
    engine.make_secrets()
    # More than its ten connections may be in use at once; that the eleventh is not kept is nothing to warn of.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # What a Lambda environment makes at its first request, made before there are threads: boto3 makes clients in one.
    dynamo.client()
    made = {logical_id for logical_id, _ in template.resources("AWS::SecretsManager::Secret")}
    for name, value in settings.items():
        if value in made:
            keyring.secret(name)


def banner(url: str, environment: Path) -> list[str]:
    """What is served, and a request to try for each API."""
    routes = [
        f"  {route.method:<7} {route.path}"
        for function in template.functions()
        for route in function.routes
        if route.path != "$default"
    ]
    return [
        "routes:",
        *routes,
        "",
        f"demo credentials: . {shlex.quote(str(environment))}",
        "",
        *demo.requests(url),
        "",
        f"documentation, in which all of them can be tried: {url}/docs",
        "",
    ]


def say(*lines: str) -> None:
    """Print for whoever started the server."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
