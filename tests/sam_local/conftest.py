"""The local server that the functions in containers use."""

from tests.server.conftest import server

__all__ = ["server"]
