from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
