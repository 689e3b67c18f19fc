"""Scan and Loop, written out: against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
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


def scanning(body: GraphProto, x: np.ndarray = X, **attributes: Any) -> bytes:
    made: NodeProto = node(
        "Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1, **attributes
    )
    inputs = [tensor("start", [4]), tensor("x", x.shape)]
    return file([made], inputs, [tensor("last", [4]), tensor("y", None)], w=WEIGHTS)


def reasons(data: bytes, **options: Any) -> str:
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


BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64


def counting(condition: str = "go") -> GraphProto:
    """s' = s · 2 + turn, as long as turn < 3 or, with `condition` = "less", s' is small."""
    nodes = [
        node("Cast", ["turn"], ["number"], to=TensorProto.FLOAT),
        node("Mul", ["s", "two"], ["doubled"]),
        node("Add", ["doubled", "number"], ["next"]),
        node("Less", ["turn", "three"], ["go"]),
        node("ReduceMax", ["next"], ["largest"], keepdims=0),
        node("Less", ["largest", "two"], ["less"]),
        node("Identity", ["next"], ["out"]),
    ]
    for made in nodes:
        made.name = made.output[0]
    given = {"two": np.float32(2), "three": np.int64(3)}
    tensors = [numpy_helper.from_array(np.array(array), name) for name, array in given.items()]
    ins = [tensor("turn", [], INT64), tensor("unread", [], BOOL), tensor("s", [4])]
    outs = [tensor(condition, [], BOOL), tensor("next", [4]), tensor("out", [4])]
    return helper.make_graph(nodes, "body", ins, outs, tensors)


def looping(
    turns: int | None,
    going: bool | None,
    body: GraphProto,
    outputs: tuple[str, ...] = ("last", "y"),
) -> bytes:
    """None leaves an input out."""
    given = {"turns": np.int64(turns or 0), "going": np.array(bool(going))}
    names = ["turns" if turns is not None else "", "going" if going is not None else "", "start"]
    made = node("Loop", names, outputs, body=body)
    infos = [tensor("last", [4]), tensor("y", None)][: len(outputs)]
    return file([made], [tensor("start", [4])], infos, **given)


@pytest.mark.parametrize(
    ("turns", "going"), [(2, True), (9, True), (2, None), (None, True), (1 << 62, True)]
)
def test_loop_agrees(turns, going):
    (last, rows) = agree(looping(turns, going, counting()), {"start": START})
    assert len(rows) == (2 if turns == 2 else 4)
    assert last.tolist() == rows[-1].tolist()


@pytest.mark.parametrize(("turns", "going"), [(0, True), (5, False)])
def test_a_loop_without_turns_gives_its_states(turns, going):
    body = counting()
    del body.output[2]
    (last,) = agree(looping(turns, going, body, ("last",)), {"start": START})
    assert last.tolist() == START.tolist()
    assert "takes no turn" in reasons(looping(turns, going, counting()))


def growing(least: float = 0.0) -> GraphProto:
    """s' = s · 2 + turn, as long as the largest of s' is below 50 and above `least`; `step` is
    added, which comes from around it."""
    nodes = [
        node("Cast", ["turn"], ["number"], to=TensorProto.FLOAT),
        node("Add", ["s", "s"], ["doubled"]),
        node("Add", ["doubled", "number"], ["moved"]),
        node("Add", ["moved", "step"], ["next"]),
        node("ReduceMax", ["next"], ["largest"], keepdims=0),
        node("Less", ["largest", "limit"], ["small"]),
        node("Greater", ["largest", "least"], ["large"]),
        node("And", ["small", "large"], ["go"]),
    ]
    for made in nodes:
        made.name = made.output[0]
    given = {"limit": np.float32(50), "least": np.float32(least)}
    tensors = [numpy_helper.from_array(np.array(array), name) for name, array in given.items()]
    ins = [tensor("turn", [], INT64), tensor("unread", [], BOOL), tensor("s", [4])]
    outs = [tensor("go", [], BOOL), tensor("next", [4])]
    return helper.make_graph(nodes, "body", ins, outs, tensors)


def bounded(body: GraphProto, most: int = 9) -> bytes:
    """Takes min(n, most) turns while `g` and the body's own condition hold."""
    made = [
        node("Min", ["n", "most"], ["turns"]),
        node("Relu", ["k"], ["step"]),
        node("Loop", ["turns", "g", "start"], ["last"], body=body),
    ]
    inputs = [tensor("n", [], INT64), tensor("g", [], BOOL), tensor("k", [4]), tensor("start", [4])]
    return file(made, inputs, [tensor("last", [4])], most=np.int64(most))


@pytest.mark.parametrize("turns", [-3, 0, 1, 4, 9, 12])
@pytest.mark.parametrize("going", [True, False])
@pytest.mark.parametrize("least", [0, 60])
def test_a_loop_that_only_a_run_ends_agrees(turns, going, least):
    given = {"n": np.array(turns), "g": np.array(going), "k": np.abs(START) + 1, "start": START}
    (last,) = agree(bounded(growing(least)), given, slow=turns == 4)
    assert (last.tolist() == START.tolist()) == (turns <= 0 or not going)


@pytest.mark.parametrize("seed", range(6))
def test_a_loop_with_a_constant_number_of_turns_ends_when_its_condition_says_so(seed):
    made = node("Loop", ["turns", "", "start"], ["last"], body=growing())
    inputs = [tensor("step", [4]), tensor("start", [4])]
    data = file([made], inputs, [tensor("last", [4])], turns=np.int64(8))
    rng = np.random.default_rng(seed)
    steps = (rng.random((2, 4)) * 10 ** rng.uniform(-1, 2)).astype(np.float32)
    agree(data, {"step": steps[0], "start": steps[1]}, slow=False)


def test_what_comes_after_the_end_leaves_no_trace():
    """The states of turns that are not taken grow beyond float32; those that are kept do not."""
    given = {"n": np.array(200), "g": np.array(True), "k": START, "start": START}
    (last,) = agree(bounded(growing(), 200), given, slow=False)
    assert np.isfinite(last).all()


def test_lower_refuses_a_loop_that_a_run_ends_and_nothing_bounds():
    body = growing()
    made = node("Loop", ["n", "", "start"], ["last"], body=body)
    inputs = [tensor("n", [], INT64), tensor("step", [4]), tensor("start", [4])]
    assert "take the Min of that number and a constant" in reasons(file([made], inputs, ["last"]))
    for name, given in (("", {}), ("turns", {"turns": np.int64(1 << 62)})):
        made = node("Loop", [name, "", "start"], ["last"], body=body)
        data = file([made], inputs[1:], ["last"], **given)
        assert "a constant greatest number of turns" in reasons(data)


def test_lower_refuses_what_each_turn_gives_where_a_run_ends_the_loop():
    assert "how many it takes depends" in reasons(looping(9, True, counting("less")))
    agree(looping(1, True, counting("less")), {"start": START})  # one turn is one turn


def test_lower_refuses_a_state_that_grows_where_a_run_ends_the_loop():
    nodes = [
        node("Concat", ["s", "start"], ["next"], axis=0),
        node("ReduceMax", ["next"], ["largest"], keepdims=0),
        node("Less", ["largest", "limit"], ["go"]),
    ]
    limit = numpy_helper.from_array(np.array(1, np.float32), "limit")
    ins = [tensor("turn", [], INT64), tensor("unread", [], BOOL), tensor("s", None)]
    outs = [tensor("go", [], BOOL), tensor("next", None)]
    body = helper.make_graph(nodes, "body", ins, outs, [limit])
    assert "chooses between float[12] and float[8]" in reasons(looping(9, True, body, ("last",)))


def test_lower_refuses_a_loop_without_end():
    still = helper.make_graph(
        [],
        "body",
        [tensor("turn", [], INT64), tensor("go", [], BOOL), tensor("s", [4])],
        [tensor("go", [], BOOL), tensor("s", [4])],
    )
    endless = looping(None, True, still, ("last",))
    assert "more than 100 turns" in reasons(endless, limits=Limits(nodes=100))


def test_lower_refuses_a_loop_whose_body_does_not_fit():
    body = counting()
    del body.input[2]
    assert "other inputs or outputs" in reasons(looping(2, True, body))
