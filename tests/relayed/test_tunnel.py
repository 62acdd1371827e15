"""`bindery tunnel` against the local server, with the agent at the device."""

import hashlib
import random
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.server.programs import (
    BINDERY,
    TIME_LIMIT,
    Proxy,
    Tunnel,
    agent,
    echo,
    eventually,
    operate,
    read_all,
    serving_tcp,
    user,
)
from tests.server.servers import Server, free_port

ADDRESS = "80:00:00:00:00:00:00:F1"
MIB = random.Random(7).randbytes(1024 * 1024)


def digest_after_end(opened: socket.socket) -> None:
    """Read all, and only then answer."""
    opened.sendall(hashlib.sha256(read_all(opened)).digest())


def end_first(opened: socket.socket) -> None:
    """End the answer first, and only then read."""
    opened.sendall(b"first")
    opened.shutdown(socket.SHUT_WR)
    ended_first.append(read_all(opened))


def break_off(opened: socket.socket) -> None:
    """Break the connection after the first byte."""
    opened.recv(1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


ended_first: list[bytes] = []
SERVICES: dict[str, Callable[[socket.socket], None]] = {
    "echo": echo,
    "digest": digest_after_end,
    "end-first": end_first,
    "break-off": break_off,
}


@contextmanager
def online(folder: Path, **settings: Any) -> Iterator[Server]:
    """A server and a device with services, one of which does not answer."""
    running = Server(folder / "state", **settings)
    credential = running.environment["REMOTEIT_DEVICE_CREDENTIAL"]
    with ExitStack() as stack:
        ports = {name: stack.enter_context(serving_tcp(handle)) for name, handle in SERVICES.items()}
        services = [f"--service={name}=127.0.0.1:{port}" for name, port in (ports | {"closed": free_port()}).items()]
        stack.enter_context(agent(running, folder, credential, "bindery_agent.py", *services))
        eventually(lambda: operate(running, "show", "--address", ADDRESS)["presence"]["state"], "online")
        yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with online(tmp_path_factory.mktemp("tunnel")) as running:
        yield running


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with online(tmp_path_factory.mktemp("faulty"), module="tests.relayed.faulty") as running:
        yield running


def exchange(tunnel: Tunnel, data: bytes) -> bytes:
    """Send data and its end while reading the answer, and return that."""
    with tunnel.connect() as opened, ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read_all, opened)
        opened.sendall(data)
        opened.shutdown(socket.SHUT_WR)
        return reading.result(TIME_LIMIT)


def test_bytes_arrive_unchanged_despite_faults(faulty: Server):
    with Tunnel(user(faulty), ADDRESS, "--service", "echo") as tunnel:
        for size in (0, 1, 92_159, 92_160, 92_161):
            assert exchange(tunnel, MIB[:size]) == MIB[:size]
        assert exchange(tunnel, MIB) == MIB


def test_twenty_connections_at_once_despite_faults(faulty: Server):
    with Tunnel(user(faulty), ADDRESS, "--service", "echo") as tunnel, ThreadPoolExecutor(20) as threads:
        sent = [MIB[number * 1000 :][:40_000] for number in range(20)]
        assert list(threads.map(lambda data: exchange(tunnel, data), sent)) == sent


def test_each_direction_can_end_first(server: Server):
    with Tunnel(user(server), ADDRESS, "--service", "digest") as tunnel:
        assert exchange(tunnel, MIB[:1000]) == hashlib.sha256(MIB[:1000]).digest()
    with Tunnel(user(server), ADDRESS, "--service", "end-first") as tunnel:
        with tunnel.connect() as opened:
            assert read_all(opened) == b"first"
            opened.sendall(MIB[:1000])
        eventually(lambda: ended_first, [MIB[:1000]])


def test_streams_survive_the_loss_of_the_websocket(server: Server):
    with Proxy(server.port) as proxy:
        environment = user(server, DEVICES_URL=f"ws://127.0.0.1:{proxy.port}/link")
        with Tunnel(environment, ADDRESS, "--service", "echo") as tunnel, tunnel.connect() as opened:
            received = b""
            for cut in range(2):
                opened.sendall(MIB[:500_000])
                while len(received) < 250_000 + 500_000 * cut:
                    received += opened.recv(65536)
                assert proxy.cut() == 1
            opened.shutdown(socket.SHUT_WR)
            assert received + read_all(opened) == MIB[:500_000] * 2
            code, said = tunnel.interrupt()
        assert (code, said.count("; connecting again\n"), said.count("bindery: connected again\n")) == (0, 2, 2)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("closed", "the service refused the connection"),
        ("nothing", "the device does not offer this service at this address"),
        ("break-off", None),
    ],
)
def test_connection_that_the_service_does_not_take_is_reset(server: Server, service: str, said: str | None):
    with Tunnel(user(server), ADDRESS, "--service", service) as tunnel:
        with tunnel.connect() as opened:
            opened.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                read_all(opened)
        assert tunnel.interrupt() == (0, f"bindery: {said}\n" if said else "")


def run(server: Server, *arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that is expected to end at once."""
    command = [BINDERY, "tunnel", ADDRESS, "--service", "echo", *arguments]
    return subprocess.run(command, env=user(server, **changed), capture_output=True, text=True, timeout=TIME_LIMIT)


def live(server: Server) -> list[Any]:
    found: list[Any] = operate(server, "list", "--address", ADDRESS, group="connections")
    return found


def test_interrupt_ends_connections_and_lease(server: Server):
    with Tunnel(user(server), ADDRESS, "--service", "echo") as tunnel, tunnel.connect() as opened:
        opened.sendall(b"x")
        assert opened.recv(1) == b"x"
        assert [lease["caller"] for lease in live(server)] == ["ada"]
        assert tunnel.interrupt() == (0, "")
        with pytest.raises(ConnectionResetError):
            read_all(opened)
        assert live(server) == []


def converse(opened: socket.socket) -> NoReturn:
    """Send and read until the connection breaks."""
    while True:
        opened.sendall(b"more")
        opened.recv(65536)


def test_stopped_connection_ends_the_tunnel(server: Server):
    with Tunnel(user(server), ADDRESS, "--service", "echo") as tunnel, tunnel.connect() as opened:
        opened.sendall(MIB)
        assert opened.recv(1) == MIB[:1]
        operate(server, "stop", "--address", ADDRESS, "ada", group="connections")
        with pytest.raises(ConnectionError):
            converse(opened)
        assert tunnel.end() == (1, "bindery: the connection to the device has ended\n")


def test_standard_input_and_output_are_carried(server: Server, tmp_path: Path):
    arguments = [BINDERY, "tunnel", ADDRESS, "--service", "echo", "--stdio"]
    ran = subprocess.run(arguments, env=user(server), input=MIB, capture_output=True, timeout=TIME_LIMIT)
    assert (ran.returncode, ran.stderr, ran.stdout == MIB) == (0, b"", True)
    (tmp_path / "in").write_bytes(b"text")
    with (tmp_path / "in").open() as file, (tmp_path / "out").open("wb") as out:
        subprocess.run(arguments, env=user(server), stdin=file, stdout=out, check=True, timeout=TIME_LIMIT)
    assert (tmp_path / "out").read_bytes() == b"text"
    assert live(server) == []


@contextmanager
def on_standard_streams(server: Server, service: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a tunnel whose standard input stays open."""
    arguments = [BINDERY, "tunnel", ADDRESS, "--service", service, "--stdio"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(arguments, env=user(server), **pipes) as process:
        yield process


def test_reset_of_standard_input_and_output_is_a_failure(server: Server):
    with on_standard_streams(server, "closed") as process:
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"bindery: the service refused the connection\n"
        assert process.wait(TIME_LIMIT) == 1


def test_output_that_nobody_reads_ends_the_tunnel(server: Server):
    with on_standard_streams(server, "echo") as process:
        process.stdout.close()
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.wait(TIME_LIMIT) == 1
        assert process.stderr.read() == b"bindery: cannot write to standard output: Broken pipe\n"


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [("<&-", 0, ""), (">&-", 1, "bindery: cannot write to standard output: Bad file descriptor\n")],
)
def test_closed_standard_input_has_ended_and_closed_output_is_a_failure(
    server: Server, closed: str, code: int, said: str
):
    command = f'exec "$0" tunnel "$1" --service digest --stdio {closed}'
    ran = subprocess.run(
        ["sh", "-c", command, BINDERY, ADDRESS],
        env=user(server),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIME_LIMIT,
    )
    assert (ran.returncode, ran.stderr.decode()) == (code, said)
    assert ran.stdout == (hashlib.sha256().digest() if code == 0 else b"")


def test_signal_ends_standard_input_and_output(server: Server):
    with on_standard_streams(server, "echo") as process:
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(1) == b"x"
        process.send_signal(signal.SIGHUP)
        assert process.wait(TIME_LIMIT) == 0
    assert live(server) == []


@pytest.mark.parametrize(
    ("arguments", "changed", "code", "said"),
    [
        (["--stdio", "--listen", "0"], {}, 2, "specify either --listen or --stdio"),
        ([], {}, 2, "specify either --listen or --stdio"),
        (["--stdio"], {"DEVICES_URL": ""}, 2, "no URL of the device link. Use --devices-url, or set DEVICES_URL"),
        (["--stdio"], {"DEVICES_URL": "ws://example.com"}, 2, "ws://example.com would send the credential unencrypted"),
        (["--stdio"], {"REMOTEIT_TOKEN": ""}, 2, "REMOTEIT_TOKEN is not set"),
        (["--stdio"], {"REMOTEIT_TOKEN": "x"}, 5, "invalid api token (HTTP 401)"),
        (["--stdio"], {"DEVICES_URL": "ws://127.0.0.1:9/link"}, 6, "cannot connect to ws://127.0.0.1:9/link: "),
        (["--stdio"], {"BINDERY_ENDPOINT": "http://127.0.0.1:9"}, 6, "cannot reach http://127.0.0.1:9: "),
    ],
)
def test_tunnel_that_cannot_begin_says_why(
    server: Server, arguments: list[str], changed: dict[str, str], code: int, said: str
):
    ran = run(server, *arguments, **changed)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.startswith(f"bindery: {said}")
    assert ran.stderr.count("\n") == 1


def test_port_in_use_is_reported_before_a_connection_is_opened(server: Server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run(server, "--listen", str(port))
    said = f"bindery: cannot listen on port {port}: Address already in use\n"
    assert (ran.returncode, ran.stderr) == (2, said)
    assert live(server) == []
