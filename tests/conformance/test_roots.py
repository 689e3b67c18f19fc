"""A lowering that gives another program is seen, whether or not its results differ."""

import math

import pytest

from oracle.exact.lowering.graph import TABLES
from oracle.exact.program import Op
from scripts import roots
from tests.conformance.cases import cases, program

GELU = "test_gelu_default_1"


def gelu_in_another_order(b, node):
    """Emits x · (½ · (1 + erf)) in place of (½ · x) · (1 + erf)."""
    (x,) = node.exactly(1)
    bend = b.emit(Op.ERF, (b.emit(Op.MUL, (x, b.scalar(math.sqrt(0.5)))),))
    half = b.emit(Op.MUL, (b.emit(Op.ADD, (bend, b.scalar(1))), b.scalar(0.5)))
    return [b.emit(Op.MUL, (x, half))]


def test_root_of_a_case_is_not_the_committed_one_where_an_op_is_rounded_in_another_order(
    monkeypatch,
):
    committed = roots.committed(roots.ROOTS)[GELU]
    assert program(cases()[GELU]).root.hex() == committed
    monkeypatch.setitem(TABLES[""], "Gelu", gelu_in_another_order)
    assert program(cases()[GELU]).root.hex() != committed


def test_roots_hold_every_case_that_passes():
    assert set(roots.PASSING.read_text().split()) <= set(roots.committed(roots.ROOTS))


def test_changes_names_the_model_and_both_roots():
    known, found = {"a": "1" * 64, "b": "2" * 64}, {"a": "3" * 64, "b": "2" * 64}
    assert roots.changes(known, found) == [f"a: committed {'1' * 16}, found {'3' * 16}"]


@pytest.mark.parametrize("known, found", [({"a": "1" * 64}, {}), ({}, {"a": "1" * 64})])
def test_changes_names_what_came_and_what_went(known, found):
    (line,) = roots.changes(known, found)
    assert line.startswith("a: committed ") and "none" in line
