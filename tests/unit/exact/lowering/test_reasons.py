"""Every reason to refuse a file is named at once: none hides what comes behind it."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from tests.unit.exact.files import file, ml_node, node, proto, tensor

X = tensor("x", [2, 2])


def refusals(data: bytes, **options: Any) -> list[tuple[str, str]]:
    """The op of each reason, and why."""
    with pytest.raises(ModelRefused) as refused:
        lower(data, **options)
    return [(reason.op, reason.why) for reason in refused.value.reasons]


def ops(data: bytes, **options: Any) -> list[str]:
    return [op for op, _ in refusals(data, **options)]


def branch(*nodes: NodeProto, inputs: tuple[str, ...] = (), output: str = "r") -> onnx.GraphProto:
    infos = [tensor(name, None) for name in inputs]
    return helper.make_graph(nodes, "branch", infos, [tensor(output, None)])


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (tensor("t", [2], TensorProto.STRING), "input 't' is of string"),
        (tensor("t", [2], TensorProto.COMPLEX64), "input 't' is of complex64"),
        (tensor("t", [2, "length"]), "dim 'length' of input 't' is not frozen"),
        (tensor("t", None), "input 't' has no shape"),
    ],
)
def test_an_input_hides_no_op(info: onnx.ValueInfoProto, why: str) -> None:
    nodes = [node("Identity", ["t"], ["u"]), node("Bernoulli", ["x"], ["y"])]
    assert refusals(file(nodes, [X, info], ["y"]))[0] == ("", why)
    assert ops(file(nodes, [X, info], ["y"])) == ["", "Bernoulli"]


def test_an_initializer_hides_no_op() -> None:
    made = proto([node("Add", ["x", "w"], ["a"]), node("Bernoulli", ["a"], ["y"])], [X], ["y"])
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    found = refusals(made.SerializeToString())
    assert found[0] == ("", "it has sparse initializers")
    assert [op for op, _ in found] == ["", "Bernoulli"]


def test_a_refused_op_hides_nothing_of_what_reads_it() -> None:
    """Neither dtypes nor attributes nor shapes, as far as ONNX says what the op gives."""
    nodes = [
        node("Bernoulli", ["x"], ["a"]),
        node("Softmax", ["a"], ["b"], axis=5),
        node("MatMul", ["a", "w"], ["c"]),
        node("Cast", ["a"], ["d"], to=TensorProto.COMPLEX64),
        node("Relu", ["a"], ["fine"]),
    ]
    data = file(nodes, [X], ["b", "c", "d", "fine"], w=np.ones((3, 2), np.float32))
    assert ops(data) == ["Bernoulli", "Softmax", "MatMul", "Cast"]


def test_a_refused_op_hides_no_float64_that_jumps() -> None:
    double = tensor("a", [2], TensorProto.DOUBLE)
    made = proto([node("Unheard", ["x"], ["a"]), node("Floor", ["a"], ["y"])], [X], ["y"])
    made.graph.value_info.append(double)
    first, second = refusals(made.SerializeToString())
    assert first[0] == "Unheard"
    assert second[0] == "Floor" and "a float64 that was computed" in second[1]


def test_an_input_of_strings_hides_no_op_that_computes_with_them() -> None:
    nodes = [node("Identity", ["t"], ["u"]), node("Equal", ["u", "u"], ["y"])]
    found = refusals(file(nodes, [tensor("t", [2], TensorProto.STRING)], ["y"]))
    assert found[1:] == [("Equal", "it computes with strings")]


def test_a_refused_op_hides_no_branch_or_body_or_function() -> None:
    inside = branch(node("Bernoulli", ["x"], ["r"]))
    chooses = helper.make_node(
        "If", ["choice"], ["y"], name="if", then_branch=inside, else_branch=inside
    )
    choice = node("Unheard", ["x"], ["choice"])
    assert ops(file([choice, chooses], [X], ["y"])) == ["Unheard", "Bernoulli"]

    body = branch(node("Bernoulli", ["at"], ["r"]), inputs=("at",))
    scans = node("Scan", ["choice"], ["y"], body=body, num_scan_inputs=1)
    assert ops(file([choice, scans], [X], ["y"])) == ["Unheard", "Bernoulli"]

    made = proto([choice, node("Own", ["choice"], ["y"], domain="own")], [X], ["y"])
    opsets = [helper.make_opsetid("", 21)]
    inner = [node("Bernoulli", ["v"], ["w"])]
    made.functions.append(helper.make_function("own", "Own", ["v"], ["w"], inner, opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    assert ops(made.SerializeToString()) == ["Unheard", "Bernoulli"]


def test_a_refused_op_hides_no_output() -> None:
    stated = tensor("y", [2, 2], TensorProto.INT64)
    found = refusals(
        file([node("Bernoulli", ["x"], ["z"]), node("Relu", ["x"], ["y"])], [X], ["z", stated])
    )
    assert [op for op, _ in found] == ["Bernoulli", ""] and "is said to be int64" in found[1][1]


def test_what_a_refused_op_would_give_is_no_reason_by_itself() -> None:
    """Not where a constant was to come of it, or a list, or a shape that nobody knows."""
    shape = np.array([4], np.int64)
    nodes = [
        node("Unheard", ["k"], ["shape"]),  # of a constant: so what it gives is one
        node("Reshape", ["x", "shape"], ["a"]),
        node("SequenceMap", ["x"], ["list"], body=branch(node("Relu", ["x"], ["r"]))),
        node("ConcatFromSequence", ["list"], ["b"], axis=0),
        node("Unheard", ["x"], ["far"]),
        node("Softmax", ["far"], ["c"], axis=5),
    ]
    found = ops(file(nodes, [X], ["a", "b", "c"], k=shape))
    assert found == ["Unheard", "SequenceMap"]


def test_a_reason_is_named_once() -> None:
    inside = branch(node("Bernoulli", ["x"], ["r"]))
    choice = node("Unheard", ["x"], ["choice"])
    chooses = [
        helper.make_node("If", ["choice"], [name], then_branch=inside, else_branch=inside)
        for name in "yz"
    ]
    assert ops(file([choice, *chooses], [X], ["y", "z"])) == ["Unheard", "Bernoulli"]


def test_onnx_is_asked_about_no_op_of_another_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of trees that skl2onnx writes its own code ends the process."""
    asked, infer = [], shape_inference.infer_shapes

    def recording(model: onnx.ModelProto, **options: bool) -> onnx.ModelProto:
        asked.append([each.op_type for each in model.graph.node])
        return infer(model, **options)

    monkeypatch.setattr(shape_inference, "infer_shapes", recording)
    nodes = [ml_node("Normalizer", ["x"], ["a"], norm="L2"), node("Unheard", ["a"], ["y"])]
    assert ops(file(nodes, [X], ["y"])) == ["Unheard"]
    assert asked == [["Unheard"]]


def test_onnx_is_not_asked_about_more_nodes_than_a_file_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(model: onnx.ModelProto, **_: bool) -> onnx.ModelProto:
        raise AssertionError(f"asked about {len(model.graph.node)} nodes")

    monkeypatch.setattr(shape_inference, "infer_shapes", asked)
    odd = tensor("z", [2], TensorProto.COMPLEX64)
    nodes = [node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"])]
    found = refusals(file(nodes, [X, odd], ["y"]), limits=Limits(nodes=1))
    assert [op for op, _ in found] == ["", ""] and "more than 1 nodes" in found[1][1]


def test_reasons_are_found_without_the_weights() -> None:
    """What ONNX infers of a refused file takes no copy of them."""
    weights = np.ones((2, 5000), np.float32)
    nodes = [
        node("Unheard", ["x"], ["far"]),
        node("Bernoulli", ["x"], ["a"]),
        node("MatMul", ["a", "w"], ["b"]),
        node("Bernoulli", ["b"], ["c"]),
        node("Softmax", ["c"], ["y"], axis=5),
    ]
    assert ops(file(nodes, [X], ["y", "far"], w=weights))[-1] == "Softmax"


def test_an_op_of_the_other_domain_is_looked_at_behind_a_refused_op() -> None:
    nodes = [
        node("Bernoulli", ["x"], ["a"]),
        ml_node("Normalizer", ["a"], ["y"], norm="L9"),
    ]
    assert ops(file(nodes, [X], ["y"])) == ["Bernoulli", "Normalizer"]
