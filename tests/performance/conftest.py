"""The engine's fixtures: only it bills as DynamoDB does."""

from tests.engine.conftest import engine, running_engine

__all__ = ["engine", "running_engine"]
