import io
import sys
import time
from subprocess import PIPE

from oracle.inference.process import start
from tests.unit.inference import talking_child


class Slow(io.StringIO):
    """A terminal that takes its time, as one far away does."""

    def write(self, text: str) -> int:
        time.sleep(0.001)
        return super().write(text)


def test_start_shows_all_that_a_child_says_though_nobody_waits_for_it(monkeypatch):
    """The last lines of a traceback are those that tell why."""
    monkeypatch.setattr(sys, "stderr", terminal := Slow())

    with start(talking_child.__name__, (), stdout=PIPE) as process:
        process.wait()

    end = time.monotonic() + 20
    while terminal.getvalue().count("\n") < talking_child.LINES and time.monotonic() < end:
        time.sleep(0.01)
    lines = terminal.getvalue().splitlines()
    assert lines == [f"line {number}" for number in range(talking_child.LINES)]
