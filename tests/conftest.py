"""Fixtures that all tests share, and no sockets where none are needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import chains
from tests.chains import World

UNIT = Path(__file__).parent / "unit"
LOOPBACK = ["127.0.0.1"]

# An exact oracle takes its time, and a busy machine is no failure.
settings.register_profile("exactum", deadline=None)
settings.load_profile("exactum")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests open no socket, the others reach this machine alone; a mark of the test's own
    (`enable_socket`, `allow_hosts`) goes first."""
    for item in items:
        if any(map(item.get_closest_marker, ("enable_socket", "allow_hosts"))):
            continue
        is_unit = UNIT in item.path.parents
        item.add_marker(
            pytest.mark.disable_socket if is_unit else pytest.mark.allow_hosts(LOOPBACK)
        )


@pytest.fixture(scope="session")
def embedded_world() -> Iterator[World]:
    with chains.embedded() as world:
        yield world


@pytest.fixture(scope="session")
def anvil_world() -> Iterator[World]:
    with chains.anvil() as world:
        yield world


@pytest.fixture
def embedded(embedded_world: World) -> Iterator[World]:
    """The embedded chain with the contracts, as new."""
    with chains.undone(embedded_world.chain):
        yield embedded_world


@pytest.fixture
def anvil(anvil_world: World) -> Iterator[World]:
    """An anvil with the contracts, as new."""
    with chains.undone(anvil_world.chain):
        yield anvil_world


@pytest.fixture(params=["embedded", "anvil"])
def world(request: pytest.FixtureRequest) -> World:
    """Either."""
    return request.getfixturevalue(request.param)
