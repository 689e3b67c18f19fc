"""Keeps how a program does, for whoever watches it from another thread."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oracle.state import health
from oracle.state.vitals import Vitals


class Watch:
    """Written by the program's rounds, and read at any time: to read it takes no lock, and asks
    neither a node nor the state."""

    def __init__(self, program: str, clock: Callable[[], float] = time.time):
        self.program = program
        self.clock = clock
        self.vitals: Vitals | None = None  # None until a round ended
        self.on_round: Callable[[float, bool], None] = lambda _seconds, _succeeded: None
        self._began_at: float | None = None  # the round that goes on
        self._failing_since: float | None = None  # the first round of those that failed since
        self._why: str | None = None  # the last one failed

    @contextmanager
    def round(self) -> Iterator[None]:
        """Notes how long a round takes, and whether it fails."""
        began, self._began_at = time.monotonic(), self.clock()
        try:
            yield
        except Exception as error:
            self._failing_since = self._failing_since or self._began_at
            self._why = str(error) or type(error).__name__
            raise
        else:
            self._failing_since = self._why = None
        finally:
            self._began_at = None
            self.on_round(time.monotonic() - began, self._why is None)

    @property
    def is_well(self) -> bool:
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Lists why the program is not well now, each with what to do about it."""
        now, vitals = self.clock(), self.vitals
        since = self._failing_since or self._began_at  # None between two rounds
        unended = None if since is None else health.unended(since, self._why, now)
        found = [] if unended is None else [unended]
        if vitals is None:
            return found or ["It is starting, and no round has ended yet: give it a minute."]
        return [*found, *health.reasons(vitals, now)]
