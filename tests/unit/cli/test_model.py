"""What is refused before it is published."""

from pathlib import Path

import numpy as np

from oracle.cli.model import _too_late
from oracle.cli.session import Session
from oracle.config import Settings
from oracle.exact.lowering.graph import lower
from tests import chains, courts
from tests.unit.exact.files import file, node, tensor


def test_publish_refuses_what_takes_more_demands_than_there_is_time_for(tmp_path: Path) -> None:
    """Two of this one: for the values' roots, and for a leaf."""
    weights = np.ones((4, 4), np.float32)
    program = lower(
        file([node("MatMul", ["x", "w"], ["y"])], [tensor("x", [1, 4])], ["y"], w=weights)
    )

    once = courts.REVEAL + courts.REACTION
    for extension, reasons in ((once, 1), (once + courts.REVEAL, 0)):
        by = courts.parameters(extension_limit=extension)
        with chains.embedded(by) as world:
            session = Session(Settings(home=tmp_path), world.chain, world.deployment)
            found = _too_late(program, session)
        assert len(found) == reasons
        assert all(
            "take 2 demands to prove, one after another, and 1" in each.why for each in found
        )
