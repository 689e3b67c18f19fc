"""One program for each state, at a time."""

from pathlib import Path

import pytest

from oracle.errors import ConfigError
from oracle.state.database import CHALLENGER, WORKER
from oracle.state.store import Store
from tests.chains import address


def opened(folder: Path, program: str = WORKER, holds: bool = False) -> Store:
    whose = (1, address("dead"), address("operator"))
    return Store(f"sqlite:///{folder}/state.db", *whose, program=program, holds=holds)


def test_one_program_alone_holds_a_state(tmp_path: Path) -> None:
    first = opened(tmp_path, holds=True)

    with pytest.raises(ConfigError, match="Another program works with this state"):
        opened(tmp_path, holds=True)

    opened(tmp_path).close()  # whoever looks holds nothing
    first.close()
    opened(tmp_path, holds=True).close()


def test_a_state_is_of_one_kind_of_program(tmp_path: Path) -> None:
    """Each would take away the duties that the other finds."""
    opened(tmp_path).close()

    with pytest.raises(ConfigError, match="belongs to the worker of account"):
        opened(tmp_path, program=CHALLENGER)
