"""The local server that the functions in containers use."""

from tests.http.conftest import server

__all__ = ["server"]
