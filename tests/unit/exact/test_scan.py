"""Scan, written out: against onnxruntime."""

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, helper, numpy_helper

from oracle.errors import ModelRefused
from oracle.exact.builder import Limits
from oracle.exact.lower import lower
from oracle.exact.program import Program
from tests.unit.exact.agreement import agree
from tests.unit.exact.files import file, node, tensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype(np.float32)
START = RNG.standard_normal(4).astype(np.float32)
WEIGHTS = RNG.standard_normal((4, 20)).astype(np.float32)


def running(**initializers: np.ndarray) -> GraphProto:
    """s' = s · 2 + row; the row's product with `w`, from around it or its own."""
    nodes = [
        node("Mul", ["s", "two"], ["doubled"]),
        node("Add", ["doubled", "row"], ["next"]),
        node("MatMul", ["next", "w"], ["out"]),
    ]
    given = {"two": np.array(2, np.float32)} | initializers
    tensors = [numpy_helper.from_array(array, name) for name, array in given.items()]
    ins, outs = [tensor("s", [4]), tensor("row", [4])], [tensor("next", [4]), tensor("out", [20])]
    return helper.make_graph(nodes, "body", ins, outs, tensors)


def scanning(body: GraphProto, x: np.ndarray = X, **attributes: object) -> bytes:
    made: NodeProto = node(
        "Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1, **attributes
    )
    inputs = [tensor("start", [4]), tensor("x", x.shape)]
    return file([made], inputs, [tensor("last", [4]), tensor("y", None)], w=WEIGHTS)


def reasons(data: bytes, **options: object) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(data, **options)
    return str(refused.value)


@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("out_backward", [0, 1])
@pytest.mark.parametrize("out_axis", [0, 1, -1])
def test_scan_agrees_in_every_direction(backward, out_backward, out_axis):
    directions = {"scan_input_directions": [backward], "scan_output_directions": [out_backward]}
    data = scanning(running(), **directions, scan_output_axes=[out_axis])
    agree(data, {"start": START, "x": X})


@pytest.mark.parametrize("axis", [1, -1])
def test_scan_agrees_along_another_axis(axis):
    x = np.ascontiguousarray(X.T)
    agree(scanning(running(), x, scan_input_axes=[axis]), {"start": START, "x": x})


def constants_of(program: Program) -> int:
    return sum(constant.array.nbytes for constant in program.constants)


def test_weights_of_a_body_and_around_it_are_kept_once():
    for body in (running(), running(w=WEIGHTS)):
        data = scanning(body)
        agree(data, {"start": START, "x": X})
        assert constants_of(lower(data)) < 2 * WEIGHTS.nbytes


def test_lower_refuses_a_scan_whose_body_does_not_fit():
    body = running()
    del body.input[1]
    assert "other inputs or outputs" in reasons(scanning(body))
    assert "num_scan_inputs' is missing" in reasons(
        file([node("Scan", ["x"], ["y"], body=relu())], [tensor("x", [2])], ["y"])
    )
    assert "directions are (2,)" in reasons(scanning(running(), scan_input_directions=[2]))
    assert "strange are not known" in reasons(scanning(running(), strange=1))


def relu() -> GraphProto:
    return helper.make_graph(
        [node("Relu", ["r"], ["o"])], "body", [tensor("r", [])], [tensor("o", [])]
    )


def test_lower_refuses_a_body_for_its_own_reasons_and_once():
    body = running()
    body.node[0].op_type = "Unheard"
    assert reasons(scanning(body)).count("Unheard") == 2  # the node's op, and the sentence's


def test_lower_counts_the_nodes_of_every_turn():
    many = helper.make_graph(
        [node("Identity", ["r"], ["o"])], "body", [tensor("r", [])], [tensor("o", [])]
    )
    made = node("Scan", ["x"], ["y"], body=many, num_scan_inputs=1)
    data = file([made], [tensor("x", [200])], ["y"])
    assert "more than 100 nodes" in reasons(data, limits=Limits(nodes=100))
