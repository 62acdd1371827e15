import pytest

from tests.quectel import World, succeeded


@pytest.fixture
def world(registry: None) -> World:
    return World()


@pytest.fixture
def bound(world: World) -> None:
    succeeded(world.ask())
