"""Traces: one run has one root, and what is opened against it is what the run computed."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import merkle
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.proofs.trace import (
    Divergence,
    RunOpening,
    Trace,
    first_difference,
    trace,
    trace_root,
)
from oracle.exact.run import Runner
from oracle.merkle import LEAF, Run
from oracle.tensor import to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part
from tests import openings
from tests.openings import verify_run, verify_value, verify_values
from tests.unit.exact.files import file, node, tensor

X = np.linspace(-2, 2, 70, dtype=np.float32)
SHAPES = [(), (1,), (31,), (32,), (33,), (5, 13), (0, 3), (300,), (2**11,)]


@cache
def program_of(count: int) -> Program:
    """A chain of `count` nodes on 70 numbers, the last of which makes one of them."""
    names = ["x", *(f"v{at}" for at in range(count))]
    ops = [node("Exp" if at % 2 else "Neg", [names[at]], [names[at + 1]]) for at in range(count)]
    ops[-1] = node("ReduceSum", [names[count - 1]], [names[count]], keepdims=0)
    return lower(file(ops, [tensor("x", [70])], [names[-1]]))


@cache
def traced(count: int) -> Trace:
    return trace(Runner(program_of(count)), [X])


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@st.composite
def opened_runs(draw: st.DrawFn) -> tuple[Trace, RunOpening]:
    found = traced(draw(st.integers(1, 9)))
    value = draw(st.integers(0, len(found.roots) - 1))
    leaves = merkle.leaf_count(found.values[value].nbytes)
    first = draw(st.integers(0, leaves - 1))
    return found, found.open_run(value, first, draw(st.integers(1, leaves - first)))


@given(opened_runs())
def test_an_opened_run_verifies_and_holds_what_was_computed(drawn):
    found, opening = drawn
    assert verify_run(found.program, found.root, opening)
    data = to_bytes(found.values[opening.value])
    claimed = b"".join(opening.run.leaves)
    assert claimed.startswith(data[opening.run.first * LEAF :][: len(claimed)])


@given(opened_runs(), st.integers(0, 2**20))
def test_a_flipped_bit_in_a_leaf_fails(drawn, bit):
    found, opening = drawn
    at = bit % len(opening.run.leaves)
    leaves = list(opening.run.leaves)
    leaves[at] = flipped(leaves[at], bit)
    run = replace(opening.run, leaves=tuple(leaves))
    assert not verify_run(found.program, found.root, replace(opening, run=run))


@given(opened_runs(), st.integers(0, 2**20))
def test_a_flipped_bit_in_a_sibling_fails(drawn, bit):
    found, opening = drawn
    beside = [*opening.run.siblings, *opening.siblings]
    if not beside:
        return
    at = bit % len(beside)
    beside[at] = flipped(beside[at], bit)
    inside = len(opening.run.siblings)
    run = replace(opening.run, siblings=tuple(beside[:inside]))
    changed = RunOpening(opening.value, run, tuple(beside[inside:]))
    assert not verify_run(found.program, found.root, changed)


@given(opened_runs(), st.integers(-3, 12), st.integers(-3, 12))
def test_another_place_fails(drawn, value, first):
    found, opening = drawn
    moved = replace(opening, value=value, run=replace(opening.run, first=first))
    same = (value, first) == (opening.value, opening.run.first)
    assert verify_run(found.program, found.root, moved) == same


@given(opened_runs(), st.booleans())
def test_more_or_fewer_siblings_fail(drawn, more):
    found, opening = drawn
    siblings = opening.run.siblings
    changed = (*siblings, bytes(32)) if more else siblings[:-1]
    if changed == siblings:
        return
    run = replace(opening.run, siblings=changed)
    assert not verify_run(found.program, found.root, replace(opening, run=run))
    longer = (*opening.siblings, bytes(32))
    assert not verify_run(found.program, found.root, replace(opening, siblings=longer))


@given(opened_runs())
def test_a_run_without_leaves_fails(drawn):
    found, opening = drawn
    run = Run(opening.run.first, (), opening.run.siblings)
    assert not verify_run(found.program, found.root, replace(opening, run=run))


def test_padding_that_is_not_zero_fails_though_the_root_commits_to_it():
    found = traced(3)
    leaves = list(merkle.leaves_of(to_bytes(found.values[0])))
    leaves[-1] = leaves[-1][:-1] + b"\1"
    roots = [openings.root(leaves), *found.roots[1:]]
    root = trace_root(found.program.root, roots)
    siblings = found.open_value(0).siblings
    padded = RunOpening(0, openings.open_run(leaves, len(leaves) - 1, 1), siblings)
    assert merkle.verify_run(roots[0], found.values[0].nbytes, padded.run)
    assert not verify_run(found.program, root, padded)
    first = RunOpening(0, openings.open_run(leaves, 0, 1), siblings)
    assert verify_run(found.program, root, first)


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 2**12))
def test_an_opened_value_root_verifies_and_no_other(count, value, bit):
    found = traced(count)
    opening = found.open_value(value % count)
    assert verify_value(found.program, found.root, opening)
    wrong = replace(opening, root=flipped(opening.root, bit))
    assert not verify_value(found.program, found.root, wrong)
    assert not verify_value(found.program, flipped(found.root, bit), opening)


@given(st.integers(1, 9), st.data())
def test_opened_nodes_of_the_value_tree_verify_and_no_others(count, data):
    found = traced(count)
    height = data.draw(st.integers(0, merkle.depth_of(count)))
    width = -(-count // (1 << height))
    first = data.draw(st.integers(0, width - 1))
    nodes = found.open_values(height, first, data.draw(st.integers(1, width - first)))
    assert verify_values(found.program, found.root, nodes)
    wrong = data.draw(st.sampled_from(["height", "first"]))
    moved = replace(nodes, **{wrong: getattr(nodes, wrong) + data.draw(st.sampled_from([-1, 1]))})
    assert not verify_values(found.program, found.root, moved)
    hashes = (flipped(nodes.hashes[0], data.draw(st.integers(0, 255))), *nodes.hashes[1:])
    assert not verify_values(found.program, found.root, replace(nodes, hashes=hashes))


def test_a_trace_root_is_bound_to_its_program():
    assert trace_root(bytes(32), traced(3).roots) != traced(3).root
    opening = traced(3).open_value(0)
    assert not verify_value(program_of(4), traced(3).root, opening)


@given(st.sampled_from(SHAPES), st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]))
def test_every_run_of_a_tensor_verifies_scalars_and_empty_ones_too(shape, dtype):
    array = (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)
    leaves, root = merkle.leaves_of(to_bytes(array)), merkle.tensor_root(array)
    for first in range(0, len(leaves), 3):
        for count in range(1, len(leaves) - first + 1, 5):
            run = openings.open_run(leaves, first, count)
            assert merkle.verify_run(root, array.nbytes, run)
            assert merkle.run_padding_is_zero(array.nbytes, run)


def test_a_run_of_all_leaves_needs_no_siblings_but_padding():
    leaves = merkle.leaves_of(bytes(LEAF * 8))
    assert openings.open_run(leaves, 0, 8).siblings == ()


def test_values_are_those_of_the_run():
    found = traced(6)
    (expected,) = Runner(program_of(6)).run([X])
    output = found.program.outputs[0]
    assert found.values[output.index].tobytes() == expected.tobytes()
    plain = trace(Runner(program_of(6), plain=True), [X])
    assert plain.root == found.root


def test_first_divergence_names_node_element_and_both_values():
    ours = traced(6)
    values = [np.array(value) for value in ours.values]
    values[2][41] = np.nextafter(values[2][41], np.float32(9))
    values[3][7] = 0
    theirs = Trace(ours.program, values)
    found = ours.first_divergence(theirs)
    assert found == Divergence(2, 41, ours.values[2][41].item(), values[2][41].item())
    assert first_difference(ours.roots, theirs.roots) == 2
    opening = ours.open_run(2, 41 * 4 // LEAF, 1)
    assert verify_run(ours.program, ours.root, opening)
    assert not verify_run(ours.program, theirs.root, opening)


def test_first_divergence_is_none_between_equal_traces():
    ours = traced(4)
    assert ours.first_divergence(Trace(ours.program, ours.values)) is None


@pytest.mark.parametrize("count", [1, 5])
def test_a_trace_that_holds_its_values_opens_the_same(count):
    lean = traced(count)
    whole = Trace(lean.program, [np.array(value) for value in lean.values])

    assert lean.root == whole.root
    for value in range(count):
        assert lean.open_run(value, 0, 1) == whole.open_run(value, 0, 1)
        assert (lean.values[value] == whole.values[value]).all()


def test_open_parts_answers_many_in_one_pass(monkeypatch):
    found = traced(6)
    parts = [
        *(Part(VALUE_TREE, 0, 1, 3), Part(VALUE_TREE, 2, 0, 2), Part(4, LEAVES, 1, 2)),
        *(Part(0, 1, 0, 2), Part(4, 0, 2, 1), Part(5, LEAVES, 0, 1)),
    ]
    wanted = [traced(6).open_part(part) for part in parts]
    passes = counted(monkeypatch)

    assert trace(Runner(found.program), [X]).open_parts(parts) == wanted
    assert passes == [None]


def test_open_parts_computes_no_more_than_it_needs_once_the_roots_are_known(monkeypatch):
    roots: list[bytes] = []
    whole = trace(Runner(program_of(6)), [X], roots)
    part = Part(2, LEAVES, 0, 3)
    wanted = whole.open_part(part)
    assert len(roots) == 6
    passes = counted(monkeypatch)

    assert trace(Runner(program_of(6)), [X], roots).open_part(part) == wanted
    assert passes == [{2}]


def counted(monkeypatch) -> list[Any]:
    """What is wanted of each run from now on."""
    passes: list[object] = []
    each = Runner.each

    def counting(self, inputs, wanted=None):
        passes.append(wanted)
        return each(self, inputs, wanted)

    monkeypatch.setattr(Runner, "each", counting)
    return passes


def test_hash_until_runs_no_further(monkeypatch):
    hashed = []
    root = merkle.tensor_root
    monkeypatch.setattr(merkle, "tensor_root", lambda value: hashed.append(1) or root(value))
    found = trace(Runner(program_of(6)), [X])

    assert found.known_roots(3) == list(traced(6).roots[:3])
    assert len(hashed) == 3
    assert found.tree.node(1, 0) == traced(6).tree.node(1, 0)
    assert len(hashed) == 3
    assert found.root == traced(6).root
    assert len(hashed) == 6


def test_a_value_is_looked_at_with_its_operands_by_one_run(monkeypatch):
    passes = counted(monkeypatch)
    values = trace(Runner(program_of(6)), [X]).values

    assert values[4].shape == values[3].shape == values[4].shape
    assert passes == [{3, 4}]
    assert values[0].shape == (70,)
    assert len(passes) == 2
