"""Everything goes wrong at once, by seed: nothing is lost, and nobody honest is slashed.

`EXACTUM_CHAOS_SEED` and `EXACTUM_CHAOS_SECONDS` repeat a run, as far as anvil does the same again.
"""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, stage
from tests.chaos.verdict import faults

SEED = int(os.environ.get("EXACTUM_CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("EXACTUM_CHAOS_SECONDS", "180"))
HOUR = 3600.0


def test_nothing_is_lost_whatever_goes_wrong(tmp_path: Path) -> None:
    chaos(tmp_path, SEED, SECONDS)


@pytest.mark.long
def test_nothing_is_lost_in_an_hour(tmp_path: Path) -> None:
    until, seed = time.monotonic() + HOUR, SEED
    while time.monotonic() < until:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        chaos(folder, seed, SECONDS)


def chaos(folder: Path, seed: int, seconds: float) -> None:
    """Plays for some seconds, lets all end, and looks at what is left."""
    with stage(folder, seed) as played:
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                played.play()
            played.end()
            found = list(faults(played, folder))
        except BaseException:
            _tell(played)
            raise
        events = Counter(type(each).__name__ for each in played.world.events())
        print(f"{played.round} rounds: {dict(events)}")
        if found:
            _tell(played)
        assert found == [] and events["RequestSettled"] > 0


def _tell(played: Stage) -> None:
    """Says what was done, what went wrong, and what the programs said of it."""
    print(f"EXACTUM_CHAOS_SEED={played.seed}", *played.log, sep="\n")
    print(*(line for line in played.lines if line["log_level"] != "info"), sep="\n")
