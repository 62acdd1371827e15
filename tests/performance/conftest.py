"""Fixtures of the engine, which reports consumed capacity as DynamoDB does."""

from tests.engine.conftest import engine, running_engine

__all__ = ["engine", "running_engine"]
