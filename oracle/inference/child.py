"""The child process that models run in: jobs in by one pipe, answers out by another.

What it sends is never unpickled: a model that took this process over must not thereby get the
parent, which holds keys.
"""

import os
import resource
import select
import sys
import threading
import traceback
from enum import IntEnum
from multiprocessing.connection import Connection

import orjson
from numba.core import event

from oracle import errors
from oracle.errors import InferenceFailed, ModelRefused, OracleError, Reason
from oracle.exact.pages import keep_pages
from oracle.inference.engine import Engines, Job, do
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
        try:
            assert isinstance(job, Job)
            with preparation:
                engine = engines.of(job)
            _send(answers, Outcome.OUTPUT, do(engine, job))
        except OracleError as error:
            _send(answers, Outcome.ERROR, packed(error))
        except MemoryError:
            _send(answers, Outcome.OUT_OF_MEMORY, b"")
            return
        # A hostile file finds the exceptions that nobody thought of; they are the file's failure.
        except Exception as error:
            sys.stderr.write(visible_lines(traceback.format_exc()) + "\n")
            failed = InferenceFailed(f"The inference failed: {type(error).__name__}: {error}.")
            _send(answers, Outcome.ERROR, packed(failed))


def packed(error: OracleError) -> bytes:
    """Writes the error with its values as JSON."""
    fields = {"type": type(error).__name__, "message": str(error), "values": vars(error)}
    return orjson.dumps(fields, default=str)


def unpacked(data: bytes) -> OracleError:
    """Reads the error that was packed. Gives InferenceFailed where `data` holds none."""
    try:
        fields = orjson.loads(data)
        kind, message, values = fields["type"], str(fields["message"]), fields["values"]
        if kind == "ModelRefused":
            return ModelRefused([Reason(**reason) for reason in values["reasons"]])
        found = getattr(errors, kind)
        if not issubclass(found, OracleError):
            raise TypeError(kind)
        error: OracleError = found.__new__(found, message)
        for name, value in values.items():
            setattr(error, name, tuple(value) if isinstance(value, list) else value)
    except (ValueError, KeyError, TypeError, AttributeError):
        return InferenceFailed("The child process gave an answer that cannot be read.")
    return error


def _send(answers: "Connection[object, object]", outcome: Outcome, data: bytes) -> None:
    answers.send_bytes(bytes([outcome]) + data)


def _end_with_parent(jobs: int) -> None:
    """Ends this process when the parent is gone. The parent alone holds the other end of `jobs`,
    and it may be killed while this process computes."""
    poll = select.poll()
    poll.register(jobs, 0)  # hang-up is always told
    poll.poll()
    os._exit(0)


def main() -> None:
    jobs, answers, memory_limit, keep = map(int, sys.argv[1:])
    # RLIMIT_AS would count what libraries reserve and never touch.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_pages()
    threading.Thread(target=_end_with_parent, args=(jobs,), daemon=True).start()
    serve(Connection(jobs, writable=False), Connection(answers, readable=False), keep)


if __name__ == "__main__":
    main()
