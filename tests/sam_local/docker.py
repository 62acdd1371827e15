"""A Docker daemon for `sam local` and Lambda's Python image, on machines that have neither."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests import runtime

TAG = f"3.13-{runtime.PROCESSOR}"
REPOSITORY = "public.ecr.aws/lambda/python"
START_SECONDS = 60
"""Maximum time for the daemon to start."""

_BOOTSTRAP = b"""#!/bin/sh
export PYTHONPATH=/opt/python:/var/runtime
cd "$LAMBDA_TASK_ROOT"
exec /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"
"""
_ENVIRONMENT = (
    "ENV PATH=/var/lang/bin:/usr/bin:/bin LD_LIBRARY_PATH=/var/lang/lib LANG=en_US.UTF-8 TZ=:UTC"
    " LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime PYTHONDONTWRITEBYTECODE=1"
)
_COMMANDS = ("sh", "mv", "chmod", "cp", "rm", "mkdir")
"""Programs that SAM runs when it adds layers and the runtime emulator to the image."""


class NoDockerError(Exception):
    """No Docker daemon is running, and none can be started."""


@contextmanager
def daemon() -> Iterator[str]:
    """Yield the DOCKER_HOST of a running daemon, or of one started for this context. Raises `NoDockerError`."""
    running = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(running):
        yield running
        return
    if os.geteuid() != 0:
        raise NoDockerError("no Docker daemon is running, and only root can start one")
    if shutil.which("dockerd") is None:
        _install()
    with tempfile.TemporaryDirectory(prefix="bindery-docker-") as folder, open(f"{folder}/log", "wb") as log:
        host = f"unix://{folder}/socket"
        roots = (f"--{name}={folder}/{name}" for name in ("data-root", "exec-root", "pidfile"))
        process = subprocess.Popen(["dockerd", f"--host={host}", *roots], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(host):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoDockerError(f"dockerd did not start: {_last(Path(log.name))}")
                time.sleep(0.2)
            yield host
        finally:
            process.terminate()
            process.wait()


def _answers(host: str) -> bool:
    try:
        with _client(host) as client:
            return client.get("/_ping").is_success
    except httpx.TransportError:
        return False


def _client(host: str) -> httpx.Client:
    """Return a client of Docker's API, over a socket or TCP."""
    path = host.removeprefix("unix://")
    if path != host:
        return httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://docker", timeout=600)
    return httpx.Client(base_url=host.replace("tcp://", "http://"), timeout=600)


def _install() -> None:
    if shutil.which("apt-get") is None:
        raise NoDockerError("no Docker daemon is installed")
    sys.stdout.write("bindery: installing Debian's docker.io\n")
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True, "text": True}
    for command in (["update"], ["install", "--no-install-recommends", "docker.io"]):
        installed = subprocess.run(["apt-get", "-qq", *command], **quiet)  # type: ignore[call-overload]
        if installed.returncode != 0:
            raise NoDockerError(f"docker.io could not be installed: {installed.stderr.strip()}")


def _last(log: Path) -> str:
    return (log.read_text().splitlines() or ["no output"])[-1]


def prepare(host: str) -> None:
    """Pull the image, or build one from this machine's CPython 3.13 if it cannot be pulled."""
    with _client(host) as client:
        if client.get(f"/images/{REPOSITORY}:{TAG}/json").is_success:
            return
        client.post("/images/create", params={"fromImage": REPOSITORY, "tag": TAG}).read()
        if client.get(f"/images/{REPOSITORY}:{TAG}/json").is_success:
            return
        sys.stdout.write(f"bindery: {REPOSITORY}:{TAG} cannot be pulled: making one of {runtime.python()}\n")
        made = client.post(
            "/images/create",
            params={"fromSrc": "-", "repo": REPOSITORY, "tag": TAG, "changes": _ENVIRONMENT},
            content=_image(),
        )
        made.raise_for_status()


def _image() -> bytes:
    """Return the image's file system as a tar file: CPython, the runtime's packages, a shell, and shared libraries."""
    written = io.BytesIO()
    python = Path(runtime.python())
    programs = [Path(found).resolve() for name in _COMMANDS if (found := shutil.which(name))]
    compiled = [python, *programs, *runtime.BUILD.rglob(f"*{runtime.PROCESSOR}*.so")]
    with tarfile.open(fileobj=written, mode="w", dereference=True) as image:

        def add(source: Path, target: str) -> None:
            image.add(source, target, filter=_kept)
            compiled.extend([source] if source.suffix == ".so" else source.rglob("*.so"))

        add(python, "var/lang/bin/python3.13")
        for library in (python.parents[1] / "lib").glob("libpython3*.so.*"):
            image.add(library, f"var/lang/lib/{library.name}")
        add(python.parents[1] / "lib/python3.13", "var/lang/lib/python3.13")
        add(runtime.packages(), "var/runtime")
        for name, program in zip(_COMMANDS, programs, strict=True):
            image.add(program, f"bin/{name}")
        for library in _libraries(compiled):
            image.add(library, str(library).lstrip("/"))
        bootstrap = tarfile.TarInfo("var/runtime/bootstrap")
        bootstrap.mode, bootstrap.size = 0o755, len(_BOOTSTRAP)
        image.addfile(bootstrap, io.BytesIO(_BOOTSTRAP))
        for folder in ("tmp", "var/task", "opt"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777
            image.addfile(made)
    return written.getvalue()


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "__pycache__")
    inner = entry.name.removeprefix("var/lang/lib/python3.13/").split("/")
    unneeded = entry.name.startswith("var/lang") and (inner[0] in left_out or inner[0].startswith("config-"))
    service = entry.name.removeprefix("var/runtime/botocore/data/").split("/")
    other = len(service) > 1 and service[0] not in ("dynamodb", "secretsmanager") and "botocore/data/" in entry.name
    return None if unneeded or other or inner[-1] == "__pycache__" else entry


def _libraries(compiled: list[Path]) -> set[Path]:
    """Return the shared libraries that these files need, according to this machine's linker."""
    listed = subprocess.run(["ldd", *map(str, compiled)], capture_output=True, text=True).stdout
    words = (word for line in listed.splitlines() if line.startswith("\t") for word in line.split())
    return {Path(word) for word in words if word.startswith("/") and "/libpython3" not in word}
