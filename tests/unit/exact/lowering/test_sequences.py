"""Lists of tensors, against onnxruntime, and what is refused of them."""

import numpy as np
import pytest
from onnx import NodeProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from tests.unit.exact.agreement import agree
from tests.unit.exact.files import file, node, tensor

X = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}
GIVEN = [tensor("x", [2, 3, 4])]


def model(*nodes, outputs=("y",), **constants) -> bytes:
    return file(list(nodes), GIVEN, list(outputs), **constants)


def number(value: int) -> np.ndarray:
    return np.array(value, np.int64)


SPLIT = node("SplitToSequence", ["x"], ["s"], axis=2)
SQUARE = node("Mul", ["x", "x"], ["z"])
PAIR = node("SequenceConstruct", ["x", "z"], ["s"])


@pytest.mark.parametrize("at", [0, 3, -1, -4])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_tensor_is_split_and_one_of_the_parts_taken(at, keepdims):
    split = node("SplitToSequence", ["x"], ["s"], axis=-1, keepdims=keepdims)
    take = node("SequenceAt", ["s", "at"], ["y"])
    agree(model(split, take, at=number(at)), X)


@pytest.mark.parametrize("sizes", [number(3), np.array([1, 0, 3]), np.array([4])])
def test_a_tensor_is_split_into_parts_of_given_sizes(sizes):
    split = node("SplitToSequence", ["x", "sizes"], ["s"], axis=2)
    take = node("SequenceAt", ["s", "at"], ["y"])
    agree(model(split, take, at=number(-1), sizes=sizes), X)


@pytest.mark.parametrize(("axis", "new_axis"), [(0, 0), (-1, 0), (0, 1), (3, 1), (-1, 1)])
def test_a_list_is_joined(axis, new_axis):
    join = node("ConcatFromSequence", ["s"], ["y"], axis=axis, new_axis=new_axis)
    agree(model(SQUARE, PAIR, join), X)


@pytest.mark.parametrize("at", [None, 0, 1, -1, -2])
def test_a_tensor_is_put_into_a_list(at):
    place = [] if at is None else ["at"]
    put = node("SequenceInsert", ["s", "x", *place], ["t"])
    join = node("ConcatFromSequence", ["t"], ["y"], axis=0)
    constants = {} if at is None else {"at": number(at)}
    agree(model(SQUARE, PAIR, put, join, **constants), X)


@pytest.mark.parametrize("at", [None, 0, 2, -1, -3])
def test_a_tensor_is_taken_out_of_a_list(at):
    place = [] if at is None else ["at"]
    parts = node("SplitToSequence", ["x"], ["s"], axis=1)
    erase = node("SequenceErase", ["s", *place], ["t"])
    nodes = [parts, erase, node("ConcatFromSequence", ["t"], ["y"], axis=1)]
    constants = {} if at is None else {"at": number(at)}
    agree(model(*nodes, **constants), X)


def test_a_list_begins_empty_and_has_a_length():
    nodes = [
        node("SequenceEmpty", [], ["e"]),
        node("SequenceInsert", ["e", "x"], ["s"]),
        node("SequenceLength", ["s"], ["n"]),
        node("Cast", ["n"], ["f"], to=1),
        node("Mul", ["x", "f"], ["y"]),
    ]
    agree(model(*nodes), X)


def grown(*turn: NodeProto, turns: str = "three") -> bytes:
    """A Loop that carries a list and a tensor, and joins the list at its end."""
    nodes = [*turn, node("Identity", ["going"], ["on"]), node("Neg", ["z"], ["w"])]
    s = helper.make_tensor_sequence_value_info
    given = [tensor("i", [], 7), tensor("going", [], 9), s("s", 1, None), tensor("z", [2, 3, 4])]
    left = [tensor("on", [], 9), s("t", 1, None), tensor("w", [2, 3, 4]), tensor("z2", [2, 3, 4])]
    nodes.append(node("Mul", ["z", "z"], ["z2"]))
    body = helper.make_graph(nodes, "body", given, left)
    whole = [
        node("SequenceEmpty", [], ["e"]),
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "limit"], ["some"]),
        node(
            "Loop",
            [turns, "some" if turns == "" else "yes", "e", "x"],
            ["l", "last", "all"],
            body=body,
        ),
        node("ConcatFromSequence", ["l"], ["joined"], axis=0),
        node("Concat", ["joined", "last"], ["y"], axis=0),
    ]
    limit = np.array(0, np.float32)
    return model(*whole, outputs=("y", "all"), three=number(3), limit=limit, yes=np.array(True))


def test_a_loop_carries_a_list():
    agree(grown(node("SequenceInsert", ["s", "z"], ["t"])), X)
    first = node("SequenceInsert", ["s", "z", "i0"], ["t"])
    agree(grown(node("Sub", ["i", "i"], ["i0"]), first), X)


@pytest.mark.parametrize(
    ("turn", "turns", "why"),
    [
        ([node("SequenceInsert", ["s", "z"], ["t"])], "", "it carries a list of tensors"),
        (
            [node("NonZero", ["z"], ["q"]), node("SequenceInsert", ["s", "q"], ["t"])],
            "three",
            "(NonZero)",
        ),
        ([node("Neg", ["z"], ["t"])], "three", "a list becomes a tensor"),
    ],
)
def test_a_loop_with_a_list_is_refused_for_one_reason(turn, turns, why):
    with pytest.raises(ModelRefused) as refused:
        lower(grown(*turn, turns=turns))
    assert why in str(refused.value) and len(refused.value.reasons) == 1


@pytest.mark.parametrize(
    ("nodes", "outputs", "why"),
    [
        ([SPLIT], ["s"], "'s' is a list of tensors; take the tensors out of it before"),
        ([SPLIT, node("Neg", ["s"], ["y"])], ["y"], "'s' is a list of tensors"),
        ([SPLIT, node("SequenceConstruct", ["x", "s"], ["t"])], ["t"], "'s' is a list of tensors"),
        ([node("SequenceAt", ["x", "at"], ["y"])], ["y"], "no list of tensors"),
        ([SPLIT, node("SequenceAt", ["s", "at"], ["y"])], ["y"], "a list of 4 is (9,)"),
        ([SPLIT, node("SequenceErase", ["s", "at"], ["t"])], ["t"], "a list of 4 is (9,)"),
        ([SPLIT, node("SequenceInsert", ["s", "x", "at"], ["t"])], ["t"], "a list of 4 is (9,)"),
        ([node("SplitToSequence", ["x", "two"], ["s"])], ["s"], "splits 2 into (2, 2)"),
        (
            [node("SequenceEmpty", [], ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=0)],
            ["y"],
            "no inputs",
        ),
    ],
)
def test_lower_refuses_what_is_no_list_or_beside_it(nodes, outputs, why):
    with pytest.raises(ModelRefused) as refused:
        lower(model(*nodes, outputs=outputs, at=number(9), two=np.array([2, 2])))
    assert why in str(refused.value)
