"""A loopback server with keep-alive that returns the responses in its argument (JSON) in turn, for any request."""

import json
import socket
import sys
from itertools import cycle
from threading import Thread
from typing import Any


def main() -> None:
    """Print the port, and serve until killed."""
    answers = [_response(*answer) for answer in json.loads(sys.argv[1])]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(target=_serve, args=(connection, cycle(answers)), daemon=True).start()


def _response(status: int, headers: dict[str, str], body: str) -> bytes:
    kept = {name: value for name, value in headers.items() if name.lower() in ("x-amz-crc32", "content-type", "date")}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in kept.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", body]).encode()


def _serve(connection: socket.socket, answers: Any) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            received = connection.recv(65536)
            if not received:
                return
            buffer += received
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(buffer) < length:
            buffer += connection.recv(65536)
        buffer = buffer[length:]
        connection.sendall(next(answers))


if __name__ == "__main__":
    main()
