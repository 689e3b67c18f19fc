"""The API in front of a real service that works by itself, on a devnet."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

from fastapi import FastAPI

from oracle.exact.program_file import Dictionary
from oracle.inference.answers import Inference
from oracle.serve.app import create_app
from oracle.serve.guard import GuardLimits
from oracle.worker.signing import SigningLimits
from tests.chains import World
from tests.integration import workers
from tests.integration.workers import Worker

PLENTY = GuardLimits(rate=10**6, at_once=100)


@contextmanager
def served(
    world: World,
    folder: Path,
    answers: Inference | None = None,
    limits: GuardLimits = PLENTY,
    signing: SigningLimits | None = None,
    known: Dictionary | None = None,
    patience: float = 20.0,
    **options: Any,
) -> Iterator[tuple[FastAPI, Worker]]:
    worker = workers.hire(
        world, folder, answers=answers, signing=signing or SigningLimits(), **options
    )
    worker.clock[0] = time.time()
    stop, service = Flag(), worker.service
    assert service.signing is not None
    service.tick()
    app = create_app(service.signing, lambda _: known, limits, patience)
    thread = Thread(target=service.run, args=(stop, 0.2))
    thread.start()
    try:
        yield app, worker
    finally:
        stop.set()
        service.bell.ring()
        thread.join()
        worker.store.close()
