"""If with a condition that only a run knows: both branches run, and onnxruntime's is chosen."""

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op
from oracle.exact.run import run
from tests.unit.exact.agreement import agree, numbers
from tests.unit.exact.files import file, ml_node, node, tensor

BOOL, FLOAT, INT64, STRING = (
    TensorProto.BOOL,
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.STRING,
)
X, C = tensor("x", [2, 3]), tensor("c", [], BOOL)


def branch(nodes: list[NodeProto], *outputs: str, **constants: np.ndarray) -> GraphProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    infos = [tensor(name, None) for name in outputs]
    return helper.make_graph(nodes, "branch", [], infos, tensors)


def one(op: str, x: str = "x", name: str = "y0", **attributes: object) -> GraphProto:
    return branch([node(op, [x], [name], **attributes)], name)


def either(then: GraphProto, other: GraphProto, outputs: tuple[str, ...] = ("y",)) -> NodeProto:
    return node("If", ["c"], outputs, then_branch=then, else_branch=other)


def reasons(data: bytes) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(data)
    return str(refused.value)


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_if_takes_the_branch_that_its_input_says(condition, shape):
    data = file([either(one("Neg"), one("Exp"))], [X, tensor("c", shape, BOOL)], ["y"])
    given = {"x": numbers(2, 3), "c": np.full(shape, condition)}
    if len(shape) < 2:  # onnxruntime wants one axis or none
        agree(data, given)
    wanted = -given["x"] if condition else np.exp(given["x"])
    np.testing.assert_allclose(run(lower(data), list(given.values()))[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch_that_is_not_taken_leaves_no_trace(sign):
    """Its logarithm of a negative number is NaN, its quotient by zero would kill onnxruntime, and
    its index lies beyond the end."""
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Less", ["zero", "sum"], ["c"]),
        node("Cast", ["sum"], ["whole"], to=INT64),
    ]
    risky = [
        node("Log", ["x"], ["log"]),
        node("Div", ["whole", "whole"], ["one"]),
        node("Gather", ["log", "one"], ["row"]),
        node("Expand", ["row", "shape"], ["y0"]),
    ]
    for at, made in enumerate([*nodes, *risky]):
        made.name = f"node {at}"
    then = branch(risky, "y0", shape=np.array([2, 3]))
    data = file([*nodes, either(then, one("Abs"))], [X], ["y"], zero=np.float32(0))
    agree(data, {"x": sign * np.abs(numbers(2, 3)) * 2})


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_ifs_in_ifs_see_what_is_around_them(first, second):
    inner = node("If", ["d"], ["in"], then_branch=one("Neg", "z"), else_branch=one("Exp", "z"))
    scaled = node("Mul", ["in", "factor"], ["y0"])
    then = branch([inner, scaled], "y0", factor=np.float32(3))
    nodes = [node("Abs", ["x"], ["z"]), either(then, one("Identity", "z"))]
    data = file(nodes, [X, C, tensor("d", [], BOOL)], ["y"])
    agree(data, {"x": numbers(2, 3), "c": np.array(first), "d": np.array(second)})


def test_outputs_that_both_branches_give_alike_are_not_chosen():
    same = node("Identity", ["z"], ["w"])
    then = branch([node("Neg", ["x"], ["a"]), same], "a", "w")
    other = branch([node("Exp", ["x"], ["b"]), same], "b", "w")
    made = [node("Abs", ["x"], ["z"]), either(then, other, ("y", "same"))]
    data = file(made, [X, C], ["y", "same"])
    agree(data, {"x": numbers(2, 3), "c": np.array(True)})
    assert [found.op for found in lower(data).nodes].count(Op.WHERE) == 1


def test_labels_are_chosen_where_both_branches_have_one_list():
    def labelled(sign: float, labels: list[str]) -> GraphProto:
        coefficients = {"coefficients": [-sign, sign], "intercepts": [0.0, 0.0]}
        made = ml_node(
            "LinearClassifier", ["x"], ["l", "s"], **coefficients, classlabels_strings=labels
        )
        return branch([made], "l", "s")

    def model(other: list[str]) -> bytes:
        made = either(labelled(1.0, ["no", "yes"]), labelled(-1.0, other), ("label", "scores"))
        outputs = [tensor("label", [2], STRING), tensor("scores", None)]
        return file([made], [tensor("x", [2, 1]), C], outputs)

    program = lower(model(["no", "yes"]))
    assert program.labels == ("no", "yes")
    x = np.array([[1], [-1]], np.float32)
    assert [run(program, [x, np.array(c)])[0].tolist() for c in (True, False)] == [[1, 0], [0, 1]]
    assert "strings of different lists" in reasons(model(["no", "maybe"]))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (one("Cast", to=INT64), "chooses between float[2,3] and int64[2,3]"),
        (one("Flatten", axis=0), "chooses between float[2,3] and float[1,6]"),
        (one("Unheard"), "the op Unheard is outside the law"),
        (branch([], "x", "x"), "else_branch has other inputs or outputs"),
    ],
)
def test_lower_refuses_branches_that_cannot_both_run(other, why):
    assert why in reasons(file([either(one("Neg"), other)], [X, C], ["y"]))


@pytest.mark.parametrize("info", [tensor("c", [2], BOOL), tensor("c", [], FLOAT)])
def test_lower_refuses_a_condition_that_is_not_one_bool(info):
    why = reasons(file([either(one("Neg"), one("Exp"))], [X, info], ["y"]))
    assert "its condition is" in why and "make it one bool" in why
