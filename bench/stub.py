"""A loopback server with keep-alive: `stub.py FILE [CERTIFICATE]`. It returns the file's responses in turn.

Requests to Secrets Manager get the file's secrets. With a certificate it uses TLS.
"""

import json
import socket
import ssl
import sys
from itertools import cycle
from pathlib import Path
from threading import Thread
from typing import Any


def main() -> None:
    """Print the port, and serve until killed."""
    script = json.loads(Path(sys.argv[1]).read_text())
    answers = [_response(*answer) for answer in script["answers"]]
    secrets = {name: _response(200, {}, body) for name, body in script["secrets"].items()}
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(target=_serve, args=(connection, context, cycle(answers), secrets), daemon=True).start()


def _response(status: int, headers: dict[str, str], body: str) -> bytes:
    kept = {name: value for name, value in headers.items() if name in ("x-amz-crc32", "content-type", "date")}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in kept.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", body]).encode()


def _serve(
    plain: socket.socket, context: ssl.SSLContext | None, answers: "cycle[bytes]", secrets: dict[str, bytes]
) -> None:
    try:
        connection = plain if context is None else context.wrap_socket(plain, server_side=True)
        _answer(connection, answers, secrets)
    except OSError:
        # The client has closed the connection.
        plain.close()


def _answer(connection: socket.socket, answers: "cycle[bytes]", secrets: dict[str, bytes]) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            received = connection.recv(65536)
            if not received:
                return
            buffer += received
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        headers: dict[str, Any] = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        length = int(headers[b"content-length"])
        while len(buffer) < length:
            buffer += connection.recv(65536)
        body, buffer = buffer[:length], buffer[length:]
        secret = b"secretsmanager" in headers[b"x-amz-target"]
        connection.sendall(secrets[json.loads(body)["SecretId"]] if secret else next(answers))


if __name__ == "__main__":
    main()
