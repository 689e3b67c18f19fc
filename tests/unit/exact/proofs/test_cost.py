"""The price of a trace is a sum over nodes, follows shapes alone, and counts the bytes hashed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import merkle
from oracle.exact.intervals import HARD_ARGUMENTS
from oracle.exact.limits import Limits
from oracle.exact.lowering.builder import Builder
from oracle.exact.ops import functions, transcendental
from oracle.exact.program import Op, Program
from oracle.exact.proofs.cost import (
    MARGIN,
    Calibration,
    TraceWork,
    Unit,
    calibrate,
    trace_work,
)
from oracle.exact.proofs.trace import trace
from oracle.exact.run import Runner
from oracle.tensor import decode
from oracle.types import DType, TensorType
from tests.parity import programs
from tests.unit.exact.programs import Run, runs

SECONDS = Calibration({unit: float(1 + at) for at, unit in enumerate(Unit)})


def chain(op: Op, count: int, elements: int) -> Program:
    """`count` nodes of one operand, one behind the other."""
    builder = Builder([TensorType("x", DType.FLOAT, (elements,))], Limits())
    value = builder.input(0)
    for _ in range(count):
        value = builder.emit(op, [value])
    return builder.program(["y"], [value])


@given(runs())
def test_trace_work_counts_exactly_the_leaves_that_a_pass_hashes(run: Run):
    hashed = 0
    digests = merkle._digests

    def counting(data: bytes, length: int) -> bytes:
        nonlocal hashed
        hashed += len(data) if length == merkle.LEAF else 0
        return digests(data, length)

    inputs = decode(run.payload, run.program.signature.inputs)
    assert run.program.root, "which hashes the constants"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(merkle, "_digests", counting)
        trace(Runner(run.program), inputs).root  # noqa: B018
    assert trace_work(run.program).usual[Unit.HASHED] == hashed


@given(runs())
def test_trace_work_is_the_sum_of_its_nodes(run: Run):
    whole = trace_work(run.program)
    alone = [trace_work(replace(run.program, nodes=(node,))) for node in run.program.nodes]
    for unit in Unit:
        assert whole.usual.get(unit, 0) == sum(each.usual.get(unit, 0) for each in alone)
        assert whole.hard.get(unit, 0) <= sum(each.hard.get(unit, 0) for each in alone)


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_a_primitive_costs_more_than_the_hashing_of_its_value(op: Op):
    rng = np.random.default_rng(op)
    made = (programs.MAKERS[op.family](rng, op)[0] for _ in range(100))
    program = next(each for each in made if each.nodes[-1].output.elements)
    work = trace_work(replace(program, nodes=program.nodes[-1:]))
    assert set(work.usual) - {Unit.NODE, Unit.LEVEL, Unit.HASHED}


@pytest.mark.parametrize("op", [Op.EXP, Op.SIN, Op.NEG])
def test_seconds_grow_with_every_node_and_every_element(op: Op):
    def seconds(count: int, elements: int) -> float:
        return trace_work(chain(op, count, elements)).seconds(SECONDS)

    assert seconds(1, 100) < seconds(2, 100) < seconds(2, 1000) < seconds(3, 1000)


@pytest.mark.parametrize("op", [Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH, Op.ERF, Op.LOG1P, Op.ATAN])
def test_hard_arguments_are_worked_out_once_for_all_nodes(op: Op):
    work = trace_work(chain(op, 3, 2 * HARD_ARGUMENTS))
    assert work.hard[Unit.RULE] == HARD_ARGUMENTS


@pytest.mark.parametrize("op", [Op.SIN, Op.COS])
def test_any_angle_may_be_hard(op: Op):
    assert trace_work(chain(op, 3, 2 * HARD_ARGUMENTS)).hard[Unit.RULE] == 6 * HARD_ARGUMENTS


@given(st.floats(0, 1e9))
def test_seconds_take_what_is_hard_for_no_longer_than_the_run_took(run: float):
    work = TraceWork({Unit.NODE: 2}, {Unit.TERM: 100})
    usual, hard = 2 * SECONDS.seconds[Unit.NODE], 100 * SECONDS.seconds[Unit.TERM]
    assert work.seconds(SECONDS) == usual + hard
    assert work.seconds(SECONDS, run) == pytest.approx(usual + min(hard, MARGIN * run))


def test_what_cannot_be_told_apart_is_one_pass_over_each_element():
    work = trace_work(chain(Op.NEG, 1, 1000))
    assert dict(work.usual) == {
        Unit.NODE: 1,
        Unit.LEVEL: 1 + merkle.depth_of(merkle.leaf_count(4000)),
        Unit.HASHED: 128 * merkle.leaf_count(4000),
        Unit.ELEMENT: 1000,
    }


@pytest.mark.long
def test_calibrate_measures_every_unit():
    assert set(calibrate().seconds) == {*Unit}


@pytest.mark.parametrize("op", [Op.EXP, Op.LOG, Op.SIGMOID, Op.TANH, Op.ERF, Op.LOG1P, Op.ATAN])
def test_a_hard_argument_costs_its_rule_once_a_process(op: Op):
    """Of 2^20 numbers few are hard; in the next run of the same ones none is worked out."""
    rule = {**transcendental._REMEMBERED, **functions._REMEMBERED}[op]
    x = np.abs(np.random.default_rng(0).standard_normal(1 << 20, np.float32))
    runner = Runner(chain(op, 1, x.size))
    rule.cache_clear()  # type: ignore[attr-defined]
    runner.run([x])
    found = rule.cache_info().misses  # type: ignore[attr-defined]
    runner.run([x])
    assert rule.cache_info().misses == found < 64  # type: ignore[attr-defined]
