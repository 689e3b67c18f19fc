"""Slices, pads, gathers, TopK, shapes, Einsum: as onnxruntime has them."""

import numpy as np
import pytest
from onnx import helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op
from oracle.exact.run import run
from tests.unit.exact.agreement import agree, check, integers, model, numbers, refusal
from tests.unit.exact.files import file, node, tensor

X = {"x": numbers(3, 4, 5)}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((0, 1), (2, 4), (0, 2), (1, 2)),
        ((-1,), (-99,), (2,), (-1,)),
        ((3,), (0,), (1,), (-2,)),
        ((-3,), (2**62,), (-1,), (1,)),
    ],
)
def test_slice_agrees(starts, ends, axes, steps):
    bounds = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes), "t": ints(*steps)}
    program = check("Slice", X, bounds)
    assert {node.op for node in program.nodes} == {Op.GATHER}
    if set(steps) == {1}:
        check("Slice", X, opset=9, starts=list(starts), ends=list(ends), axes=list(axes))


def test_split_agrees_in_every_opset():
    check("Split", X, {"s": ints(1, 3)}, outputs=2, axis=1)
    check("Split", X, outputs=2, opset=11, axis=2, split=[2, 3])
    check("Split", X, outputs=2, opset=13, axis=1)
    check("Split", X, outputs=2, axis=2, num_outputs=2)  # 3 and 2
    assert "splits 5 into" in refusal("Split", X, {"s": ints(1, 3)}, outputs=2, axis=2)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_agrees(mode):
    check("Pad", X, {"p": ints(1, 0, 2, 0, 2, 1)}, mode=mode)
    if mode == "constant":
        extra = {"p": ints(1, -1, 2, 0), "v": np.float32(7), "a": ints(0, 2)}
        check("Pad", X, extra)
        check("Pad", X, opset=10, pads=[0, 1, 0, 2, 0, 0], value=3.0)


@pytest.mark.parametrize(
    ("mode", "padded"),
    [
        ("constant", [2, 3, 4, 5, 0, 0]),
        ("edge", [2, 3, 4, 5, 5, 5]),
        ("reflect", [2, 3, 4, 5, 4, 3]),
        ("wrap", [2, 3, 4, 5, 1, 2]),
    ],
)
def test_pad_with_a_negative_end_continues_the_whole_axis(mode, padded):
    x = np.arange(1, 6, dtype=np.float32)
    data = model("Pad", {"x": x}, {"p": ints(-1, 2)}, mode=mode)
    assert run(lower(data), [x])[0].tolist() == padded


@pytest.mark.parametrize("known", [True, False])
def test_gathers_agree_with_constant_and_other_indices(known):
    def split(**indices):
        return ({**X}, indices) if known else ({**X, **indices}, {})

    check("GatherElements", *split(i=integers(2, 4, 6, low=-5, high=5)), axis=2)
    check("GatherND", *split(i=integers(2, 3, 2, low=-3, high=3)))
    check("GatherND", *split(i=integers(3, 2, 1, low=-4, high=4)), batch_dims=1)
    check("Gather", *split(i=integers(2, 2, low=-4, high=4)), axis=1)


def test_squeeze_and_unsqueeze_agree():
    x = {"x": numbers(1, 3, 1, 2)}
    check("Squeeze", x)
    check("Squeeze", x, {"a": ints(-2)})
    check("Squeeze", x, opset=11, axes=[0, 2])
    assert "squeezes axes (1,)" in refusal("Squeeze", x, {"a": ints(1)})
    check("Unsqueeze", x, {"a": ints(0, -1)})
    check("Unsqueeze", x, opset=11, axes=[1])
    assert "give each axis once" in refusal("Unsqueeze", x, {"a": ints(1, -5)})


def test_resize_is_refused_in_modes_that_nobody_knows():
    x, scale = {"x": numbers(1, 1, 3, 4)}, {"s": np.float32([1, 1, 2, 2])}
    for options in ({"mode": "area"}, {"mode": "nearest", "nearest_mode": "middle"}):
        assert "is not covered" in refusal("Resize", x, scale, order=["x", "", "s"], **options)


@pytest.mark.parametrize("sizes", [(5, 1, 2), (2, 7, 5), (1, 4, 10)])
def test_center_crop_pad_agrees(sizes):
    check("CenterCropPad", X, {"s": ints(*sizes)})


def test_shape_may_be_of_some_axes():
    check("Shape", X)
    check("Shape", X, start=1)
    check("Shape", X, start=-2, end=-1)
    check("Shape", X, opset=13)


def test_reverse_sequence_agrees_and_is_refused_where_its_lengths_do_not_fit():
    check("ReverseSequence", X, {"n": ints(1, 3, 0, 2)})
    check("ReverseSequence", X, {"n": ints(1, 4, 2)}, time_axis=1, batch_axis=0)
    for lengths, axes in (
        (ints(1, 3), {}),
        (ints(1, 1, 1, 1, 1), {"time_axis": 0, "batch_axis": 2}),
        (ints(1, 1, 1, 1), {"time_axis": 1, "batch_axis": 1}),
    ):
        assert "fix the file" in refusal("ReverseSequence", X, {"n": lengths}, **axes)
    assert "fix sequence_lens" in refusal("ReverseSequence", X, {"n": ints(1, 4, 0, 2)})
    assert "fix sequence_lens" in refusal("ReverseSequence", X, {"n": ints(-1, 3, 0, 2)})


def test_depth_and_space_agree():
    x = {"x": numbers(2, 8, 4, 6)}
    check("DepthToSpace", x, blocksize=2, mode="DCR")
    check("DepthToSpace", x, blocksize=2, mode="CRD")
    check("SpaceToDepth", x, blocksize=2)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-9, -1, 0, 2, 9])
def test_trilu_agrees(upper, k):
    check("Trilu", X, {"k": np.array(k)}, upper=upper)


def test_one_hot_agrees():
    values = {"d": np.array(4), "v": np.float32([2, 5])}
    check("OneHot", {"i": integers(2, 3, low=-4, high=6)}, values, axis=1)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k_agrees(largest, axis):
    check("TopK", X, {"k": ints(2)}, outputs=2, axis=axis, largest=largest)
    x = {"x": integers(3, 4, 5, low=0, high=3)}
    check("TopK", x, {"k": ints(3)}, outputs=2, axis=axis, largest=largest)


def test_top_k_takes_k_from_an_attribute_in_older_opsets():
    check("TopK", X, outputs=2, opset=9, axis=1, k=2)


@pytest.mark.parametrize("axis", [0, 1])
def test_zeros_of_either_sign_are_equal_for_orders_as_for_onnxruntime(axis):
    x = {"x": np.random.default_rng(0).choice(np.float32([0, -0.0]), (9, 7))}
    for op in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            check(op, x, axis=axis, select_last_index=last)
    for largest in (0, 1):
        check("TopK", x, {"k": ints(5)}, outputs=2, axis=axis, largest=largest)


def test_shapes_are_refused_when_they_depend_on_inputs():
    assert "depends on the model's inputs" in refusal("NonZero", X)
    inputs = {**X, "c": np.array([True, False])}
    assert "depends on the model's inputs" in refusal("Compress", inputs, axis=0)
    assert "depend on the model's inputs" in refusal("Expand", {**X, "s": ints(2, 1, 1, 1)})


def test_stretching_agrees():
    x = {"x": numbers(1, 3, 1)}
    check("Expand", x, {"s": ints(2, 2, 1, 4)})
    check("Expand", x, {"s": ints(1)})
    check("Tile", X, {"r": ints(2, 1, 3)})
    check("Tile", X, {"r": ints(1, 2, 1)})


@pytest.mark.parametrize(
    "bounds", [(1, 9, 3), (9, 1, -2), (0, 0, 1), (np.float32(0.5), np.float32(3), np.float32(0.75))]
)
def test_range_is_folded(bounds):
    from oracle.exact.lowering.graph import lower
    from oracle.exact.run import run
    from tests.unit.exact.files import file, node, tensor

    start, limit, delta = map(np.asarray, bounds)
    nodes = [
        node("Range", ["s", "l", "d"], ["r"]),
        node("Cast", ["r"], ["f"], to=1),
        node("Concat", ["x", "f"], ["y"], axis=0),
    ]
    data = file(nodes, [tensor("x", [1])], ["y"], s=start, l=limit, d=delta)
    (out,) = run(lower(data), [np.zeros(1, np.float32)])
    assert out[1:].tolist() == np.arange(*bounds).tolist()


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)]),
        ("ij,jk", [(3, 4), (4, 5)]),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("ii->i", [(4, 4)]),
        ("ii", [(4, 4)]),
        ("ij->ji", [(3, 4)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ij,j,k->ik", [(3, 4), (4,), (5,)]),
        ("bij,bij->b", [(2, 3, 4), (2, 3, 4)]),
        ("ij->", [(3, 4)]),
        ("abc,cd->abd", [(2, 3, 4), (4, 5)]),
    ],
)
def test_einsum_agrees(equation, shapes):
    inputs = {f"x{at}": numbers(*shape, seed=at) for at, shape in enumerate(shapes)}
    check("Einsum", inputs, equation=equation)


@pytest.mark.parametrize(
    "equation", ["ij,jk->il", "i,jk->ik", "ij,jk,kl->il", "ij->iij", "i?,jk->i"]
)
def test_einsum_is_refused_when_it_has_no_meaning(equation):
    assert "equation" in refusal(
        "Einsum", {"a": numbers(3, 4), "b": numbers(4, 5)}, equation=equation
    )


@pytest.mark.parametrize(
    ("op", "constants", "options"),
    [
        ("Tile", {"r": ints(0, 2**60, 1)}, {}),
        ("Expand", {"s": ints(0, 2**60, 1)}, {}),
        ("Pad", {"p": ints(0, 0, 2**60, 0, 0, 0)}, {"mode": "edge"}),
        ("Split", {}, {"num_outputs": 2**62}),
        ("OneHot", {"d": np.array(2**60), "v": np.array([0, 1], np.float32)}, {}),
        ("Resize", {"s": np.array([1, 1e30, 1], np.float32)}, {"order": ["x", "", "s"]}),
        ("Resize", {"s": np.array([1, np.nan, 1], np.float32)}, {"order": ["x", "", "s"]}),
        ("Slice", {"s": ints(0), "e": ints(1), "a": ints(0), "t": ints(0)}, {}),
        ("Trilu", {"k": ints(1, 2)}, {}),
        ("TopK", {"k": ints(9)}, {}),
    ],
)
def test_parameters_that_ask_for_too_much_or_nothing_are_refused(op, constants, options):
    assert op in refusal(op, X, constants, **options)


@pytest.mark.parametrize("options", [{}, {"sorted": 0}, {"axis": 0}, {"axis": -1, "sorted": 0}])
def test_unique_of_a_constant_is_found_while_lowering(options):
    """As tf2onnx writes sums by segments that are given."""
    ids = np.int64([[3, 1, 3, 1], [0, 1, 0, 1], [3, 1, 3, 1]])
    names = ["each", "first", "place", "count"]
    nodes = [
        node("Unique", ["ids"], names, **options),
        *(helper.make_node("Cast", [name], [f"f{name}"], to=1) for name in names),
        *(helper.make_node("ReduceSum", [f"f{name}"], [f"s{name}"], keepdims=0) for name in names),
        *(helper.make_node("Mul", ["x", f"s{name}"], [f"y{name}"]) for name in names),
    ]
    outputs = [*(f"f{name}" for name in names), *(f"y{name}" for name in names)]
    agree(file(nodes, [tensor("x", [2])], outputs, ids=ids), {"x": np.float32([1, 2])})


def test_unique_of_a_constant_with_nan_is_refused():
    made = file(
        [node("Unique", ["c"], ["u"]), node("Add", ["x", "u"], ["y"])],
        [tensor("x", [1])],
        ["y"],
        c=np.float32([np.nan, np.nan]),
    )
    with pytest.raises(ModelRefused, match="whether a NaN equals a NaN"):
        lower(made)
