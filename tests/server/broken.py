"""The local server, whose relay host fails."""

from typing import NoReturn

from tools.local import serve
from tools.tunnel.relay_host import RelayHost


class Broken(RelayHost):
    async def run(self, *_: object) -> NoReturn:
        raise RuntimeError("broken")


if __name__ == "__main__":
    serve.relay.RelayHost = Broken  # type: ignore[misc]
    serve.main()
