"""Ends the rest of a program between two rounds."""

from threading import Event as Flag


class Bell:
    """May be rung by any thread, and by a signal's handler."""

    def __init__(self) -> None:
        self._is_rung = Flag()
        self._is_called = Flag()

    def ring(self) -> None:
        """Asks for what may be done between two rounds."""
        self._is_rung.set()

    def call(self) -> None:
        """Asks for a round, at once."""
        self._is_called.set()
        self._is_rung.set()

    def wait(self, seconds: float) -> bool:
        """Waits until it is rung, and says whether it was, after it was last waited for."""
        is_rung = self._is_rung.wait(seconds)
        self._is_rung.clear()
        return is_rung

    @property
    def is_called(self) -> bool:
        """Whether a round was asked for since the last one began."""
        return self._is_called.is_set()

    def begin(self) -> None:
        """Is told when a round begins: whoever calls from now on asks for another."""
        self._is_called.clear()
