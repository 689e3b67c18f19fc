"""Runs of models that tests make up."""

from collections.abc import Sequence
from concurrent.futures import Future

from oracle.inference.executor import Ran


def together(runs: Sequence["Future[Ran]"]) -> "Future[list[Ran | None]]":
    """All outputs once they are there, but of what failed."""
    found: Future[list[Ran | None]] = Future()

    def look(_: object) -> None:
        if all(each.done() for each in runs) and not found.done():
            found.set_result([None if each.exception() else each.result() for each in runs])

    for each in runs:
        each.add_done_callback(look)
    return found
