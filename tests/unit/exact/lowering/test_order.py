"""Nodes that stand before what they read are lowered behind it, as onnxruntime runs them."""

from itertools import permutations

import numpy as np
import pytest
from onnx import TensorProto, helper

from oracle.exact.lowering.graph import lower
from oracle.exact.lowering.order import ordered
from tests.unit.exact.agreement import agree
from tests.unit.exact.files import file, node, tensor

X = [tensor("x", [2])]
CHAIN = [
    node("Neg", ["x"], ["a"]),
    node("Add", ["a", "x"], ["b"]),
    node("Mul", ["b", "a"], ["y"]),
]


def test_ordered_keeps_an_order_that_is_right():
    two = [node("Neg", ["x"], ["a"]), node("Abs", ["x"], ["b"]), node("Add", ["b", "a"], ["y"])]
    assert list(ordered(two)) == two


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_lower_gives_one_program_in_whatever_order_nodes_are(order):
    model = file([CHAIN[place] for place in order], X, ["y"])
    assert lower(model).root == lower(file(CHAIN, X, ["y"])).root
    agree(model, {"x": np.array([1.5, -2], np.float32)})


def test_ordered_puts_a_node_behind_what_its_branches_read():
    def branch(op):
        inner = [helper.make_node(op, ["late"], ["out"])]
        infos = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])]
        return helper.make_graph(inner, op, [], infos)

    choice = node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs"))
    model = file([choice, node("Exp", ["x"], ["late"])], X, ["y"], c=np.array(True))
    agree(model, {"x": np.array([1, 2], np.float32)})


def test_ordered_knows_the_names_that_a_branch_has_for_itself():
    def branch(op):
        inner = [helper.make_node(op, ["x"], ["own"]), helper.make_node("Exp", ["own"], ["out"])]
        infos = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])]
        return helper.make_graph(inner, op, [], infos)

    choice = node("If", ["c"], ["a"], then_branch=branch("Neg"), else_branch=branch("Abs"))
    after = node("Relu", ["a"], ["own"])
    assert list(ordered([choice, after])) == [choice, after]


def test_ordered_ends_where_nodes_read_each_other():
    ring = [node("Neg", ["b"], ["a"]), node("Abs", ["a"], ["b"])]
    assert len(list(ordered(ring))) == 2


def test_ordered_takes_a_chain_of_any_length_from_its_end():
    nodes = [helper.make_node("Neg", [f"v{at}"], [f"v{at + 1}"]) for at in range(5000)]
    assert list(ordered(nodes[::-1])) == nodes
