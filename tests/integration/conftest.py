from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import chains, courts
from tests.chains import World
from tests.integration import workers
from tests.integration.workers import Hire, Worker


@pytest.fixture
def hire(tmp_path: Path) -> Iterator[Hire]:
    hired: list[Worker] = []

    def hiring(*arguments: object, **options: Any) -> Worker:
        hired.append(workers.hire(arguments[0], tmp_path, *arguments[1:], **options))  # type: ignore[arg-type]
        return hired[-1]

    yield hiring
    for worker in hired:
        worker.store.close()


@pytest.fixture(scope="session")
def court_world() -> Iterator[World]:
    with courts.court() as world:
        yield world


@pytest.fixture
def court(court_world: World) -> Iterator[World]:
    """A chain with Disputes and the referee, as new."""
    with chains.undone(court_world.chain):
        yield court_world
