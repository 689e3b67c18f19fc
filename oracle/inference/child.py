"""The child process that models run in: jobs in by one pipe, answers out by another.

What it sends is never unpickled: a model that took this process over must not thereby get the
parent, which holds keys.
"""

import sys
import traceback
from enum import IntEnum
from multiprocessing.connection import Connection

from numba.core import event

from oracle.errors import InferenceFailed, OracleError
from oracle.exact.pages import keep_pages
from oracle.inference.engine import Engines, Job, do
from oracle.inference.failures import encoded, text
from oracle.inference.process import confine
from oracle.visible import visible_lines


class Outcome(IntEnum):
    """The first byte of a message."""

    READY = 0
    OUTPUT = 1
    ERROR = 2
    OUT_OF_MEMORY = 3  # and the child ends
    PREPARING = 4
    RUNNING = 5


class Preparation(event.Listener):  # type: ignore[misc, unused-ignore]
    """Tells the parent when time goes into what is done once, and is no inference's: a model is
    loaded, or a kernel compiled, in whatever order and depth."""

    def __init__(self, answers: "Connection[object, object]"):
        self._answers = answers
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            _send(self._answers, Outcome.PREPARING, b"")
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            _send(self._answers, Outcome.RUNNING, b"")

    def on_start(self, _: object) -> None:
        self.__enter__()

    def on_end(self, _: object) -> None:
        self.__exit__()


def serve(
    jobs: "Connection[object, object]", answers: "Connection[object, object]", keep: int
) -> None:
    """Answers jobs until the parent closes the pipe."""
    engines = Engines(keep)
    preparation = Preparation(answers)
    # Which is held from the look into the cache until what was compiled is kept there.
    event.register("numba:compiler_lock", preparation)
    _send(answers, Outcome.READY, b"")
    while True:
        try:
            job = jobs.recv()
        except EOFError:
            return
        assert isinstance(job, Job)
        try:
            outcome, data = _answer(job, engines, preparation)
        except MemoryError:
            _send(answers, Outcome.OUT_OF_MEMORY, b"")
            return
        _send(answers, outcome, data)


def _answer(job: Job, engines: Engines, preparation: Preparation) -> tuple[Outcome, bytes]:
    """Does the job, and gives what the parent can read, whatever comes out of it. Raises
    MemoryError alone."""
    try:
        with preparation:
            engine = engines.of(job)
        return Outcome.OUTPUT, do(engine, job)
    except OracleError as error:
        return Outcome.ERROR, encoded(error)
    except MemoryError:
        raise
    # A hostile file finds the exceptions that nobody thought of; they are the file's failure.
    except Exception as error:
        sys.stderr.write(visible_lines(traceback.format_exc()) + "\n")
        why = f"The inference failed: {type(error).__name__}: {text(error)}."
        return Outcome.ERROR, encoded(InferenceFailed(why))


def _send(answers: "Connection[object, object]", outcome: Outcome, data: bytes) -> None:
    answers.send_bytes(bytes([outcome]) + data)


def main() -> None:
    jobs, answers, memory_limit, keep = map(int, sys.argv[1:])
    confine(memory_limit, lifeline=jobs)
    keep_pages()
    serve(Connection(jobs, writable=False), Connection(answers, readable=False), keep)


if __name__ == "__main__":
    main()
