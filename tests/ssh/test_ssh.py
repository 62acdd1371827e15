"""OpenSSH's client and server, through `bindery tunnel`."""

import getpass
import os
import random
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server.programs import BINDERY, TIME_LIMIT, Tunnel, agent, eventually, operate, user
from tests.server.servers import Server, free_port

ADDRESS = "80:00:00:00:00:00:00:F1"
SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
CONTENT = random.Random(3).randbytes(5 * 1024 * 1024)


@contextmanager
def ssh_server(folder: Path) -> Iterator[int]:
    """OpenSSH's server for this user's new key, and its port."""
    assert SSHD is not None
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "client.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        # sshd needs it to separate privileges.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "sshd.log"
    process = subprocess.Popen([SSHD, "-D", "-E", log, "-f", folder / "sshd_config"])
    try:
        eventually(lambda: "Server listening" in (log.read_text() if log.exists() else ""), True)
        yield port
    finally:
        process.terminate()
        process.wait(TIME_LIMIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder / "state")
    with (
        ssh_server(folder) as port,
        agent(
            running,
            folder,
            running.environment["REMOTEIT_DEVICE_CREDENTIAL"],
            "bindery_agent.py",
            f"--service=ssh=127.0.0.1:{port}",
        ),
    ):
        eventually(lambda: operate(running, "show", "--address", ADDRESS)["presence"]["state"], "online")
        yield running
    assert running.stop() == 0, running.output


def ssh(server: Server, folder: Path, command: str, data: bytes, **options: str) -> bytes:
    """Run a command at the device with OpenSSH's client, and return its output."""
    given = {
        "IdentityFile": str(folder / "client"),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "StrictHostKeyChecking": "accept-new",
        "HostKeyAlias": "camera",
        "BatchMode": "yes",
        **options,
    }
    arguments = [f"-o{name}={value}" for name, value in given.items()]
    program = ["ssh", "-F", "none", *arguments, f"{getpass.getuser()}@camera", command]
    ran = subprocess.run(program, env=user(server), input=data, capture_output=True, timeout=TIME_LIMIT)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def test_ssh_runs_a_command_with_the_tunnel_as_its_proxy(server: Server, folder: Path):
    command = f"{shlex.quote(str(BINDERY))} tunnel {ADDRESS} --service ssh --stdio"
    assert ssh(server, folder, "cat", CONTENT, ProxyCommand=command) == CONTENT


def test_ssh_connects_to_the_tunnels_port(server: Server, folder: Path):
    with Tunnel(user(server), ADDRESS, "--service", "ssh") as tunnel:
        options = {"HostName": "127.0.0.1", "Port": str(tunnel.port)}
        assert ssh(server, folder, "wc -c", CONTENT, **options).split() == [str(len(CONTENT)).encode()]
