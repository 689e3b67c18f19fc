"""Scatters, element by element and by rows: as onnxruntime has them."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, Program
from oracle.exact.proofs.inspect import unprovable
from oracle.exact.run import run
from tests.unit.exact.agreement import agree, check, integers, model, numbers, refusal
from tests.unit.exact.files import file, node, tensor

X = {"x": numbers(3, 4, 5)}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("reduction", ["none", "add", "max", "min"])
def test_scatters_agree_with_constant_and_other_indices(known, reduction):
    def split(indices, updates):
        if known:
            return {**X, "u": updates}, {"i": indices}
        return {**X, "i": indices, "u": updates}, {}

    order = ["x", "i", "u"]
    places = np.argsort(numbers(3, 2, 5), axis=1).astype(np.int64)
    inputs, constants = split(places, numbers(3, 2, 5, seed=1))
    check("ScatterElements", inputs, constants, order=order, axis=1, reduction=reduction)
    inputs, constants = split(ints(2, 0).reshape(2, 1), numbers(2, 4, 5, seed=1))
    program = check("ScatterND", inputs, constants, order=order, reduction=reduction)
    assert (Op.SCATTER in {n.op for n in program.nodes}) == (not known or reduction != "none")
    refused = refusal("ScatterND", inputs, constants, order=order, reduction="mul")
    assert "reduction 'mul'" in refused


def test_scatters_of_nothing_leave_their_data():
    none = {"i": np.zeros((0, 2, 5), np.int64), "u": numbers(0, 2, 5)}
    check("ScatterElements", X, none)
    check("ScatterND", X, {"i": np.zeros((0, 1), np.int64), "u": numbers(0, 4, 5)})


def stretching(
    dims: Sequence[int],
    index: np.ndarray,
    to: Sequence[int],
    axis: int,
    reduction: str,
    *before: NodeProto,
) -> tuple[bytes, dict[str, np.ndarray]]:
    """A ScatterElements whose index `i` was made `j` by an Expand, or by the nodes given."""
    made = before or (node("Expand", ["i", "to"], ["j"]),)
    scatter = node("ScatterElements", ["x", "j", "u"], ["y"], axis=axis, reduction=reduction)
    code = TensorProto.INT32 if index.dtype == np.int32 else TensorProto.INT64
    infos = [tensor("x", dims), tensor("i", index.shape, code), tensor("u", to)]
    data = file([*made, scatter], infos, ["y"], to=ints(*to))
    return data, {"x": numbers(*dims), "i": index, "u": numbers(*to, seed=1)}


def scattered(program: Program) -> tuple[int, ...]:
    """The updates' shape of the one SCATTER."""
    (found,) = (made for made in program.nodes if made.op is Op.SCATTER)
    return found.operands[2].type.shape


@pytest.mark.parametrize("reduction", ["none", "add", "max", "min"])
def test_an_index_that_was_stretched_scatters_rows(reduction):
    index = integers(9, 1, low=-6, high=6)
    if reduction == "none":
        index = np.random.default_rng(0).permutation(6)[:4].reshape(4, 1)
    data, given = stretching((6, 64), index, (len(index), 64), 0, reduction)
    agree(data, given)
    program = lower(data)
    assert scattered(program) == (len(index), 64)
    assert [made.op for made in program.nodes] == [Op.TRANSPOSE, Op.SCATTER]  # a copy of the index


def test_edges_of_a_graph_are_added_up_provably():
    """Also where all that the edges bring nearly fills a transaction."""
    index, wide = integers(60, 1, low=0, high=20), (60, 512)
    stretch = [node("Expand", ["i", "to"], ["j"]), node("Relu", ["v"], ["u"])]
    scatter = node("ScatterElements", ["x", "j", "u"], ["y"], axis=0, reduction="add")
    inputs = [tensor("i", index.shape, TensorProto.INT64), tensor("v", wide)]
    data = file([*stretch, scatter], inputs, ["y"], to=ints(*wide), x=numbers(20, 512))
    agree(data, {"i": index, "v": numbers(*wide, seed=1)}, slow=False)
    assert unprovable(lower(data)) == []


@pytest.mark.parametrize("seed", range(12))
def test_scatters_of_stretched_indices_agree_in_any_shape(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(2, 5))
    dims = rng.integers(1, 6, rank).tolist()
    axis = int(rng.integers(rank))
    to = [*dims[:axis], int(rng.integers(1, 9)), *dims[axis + 1 :]]
    stretched = [at != axis and rng.random() < 0.6 for at in range(rank)]
    shape = [1 if wide else size for size, wide in zip(to, stretched, strict=True)]
    index = rng.integers(-dims[axis], dims[axis], shape)
    data, given = stretching(dims, index, to, axis, "add")
    agree(data, given)
    width = np.prod([size for size, wide in zip(to, stretched, strict=True) if wide])
    assert scattered(lower(data))[1] == width


def test_an_index_is_followed_through_what_moves_it():
    tiled = node("Tile", ["i", "times"], ["wide"])
    wide = [
        tiled,
        node("Cast", ["wide"], ["cast"], to=TensorProto.INT64),
        node("Transpose", ["cast"], ["j"], perm=[1, 0]),
    ]
    index = integers(7, 1, low=0, high=4, dtype=np.int32)
    data, given = stretching((5, 4), index, (5, 7), 1, "add", *wide)
    made = file_with(data, times=ints(1, 5))
    agree(made, given)
    assert scattered(lower(made)) == (7, 5)


def file_with(data: bytes, **constants: np.ndarray) -> bytes:
    made = ModelProto.FromString(data)
    made.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    return bytes(made.SerializeToString())


def test_an_index_that_covers_a_part_of_a_row_scatters_elements():
    data, given = stretching((6, 8), integers(3, 1, low=0, high=6), (3, 5), 0, "add")
    agree(data, given)
    assert scattered(lower(data)) == (15, 1)


def test_a_constant_index_scatters_rows_where_it_is_alike_along_an_axis():
    index = np.repeat(integers(4, 1, low=0, high=3), 5, axis=1)
    updates = {"x": numbers(3, 5), "u": numbers(4, 5, seed=1)}
    for places, width in ((index, 5), (index + (np.arange(5) == 4), 1)):
        program = check(
            "ScatterElements", updates, {"i": places % 3}, order=["x", "i", "u"], reduction="add"
        )
        assert scattered(program)[1] == width


@pytest.mark.parametrize("axis", [1, 2, -2])
@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("known", [True, False, None])
def test_tensor_scatter_writes_behind_each_samples_place(axis, mode, known):
    cache, places = numbers(2, 4, 5, 3), ints(1, 3) if mode == "circular" else ints(2, 0)
    shape = [2, 4, 5, 3]
    shape[axis] = 2
    update = numbers(*shape, seed=1)
    inputs = {"x": cache, "u": update} | ({"i": places} if known is False else {})
    data = model(
        "TensorScatter", inputs, {"i": places} if known else {}, opset=24, axis=axis, mode=mode
    )
    wanted = np.moveaxis(cache.copy(), axis, 1)
    for sample, begin in enumerate(places if known is not None else (0, 0)):
        for step in range(2):
            at = (begin + step) % wanted.shape[1]
            wanted[sample, at] = np.moveaxis(update, axis, 1)[sample, step]
    (ours,) = run(lower(data), list(inputs.values()))
    assert np.moveaxis(ours, axis, 1).tolist() == wanted.tolist()


def test_tensor_scatter_is_refused_where_it_does_not_fit():
    cache = {"x": numbers(2, 4, 5)}
    for shape in ((2, 4, 6), (2, 5, 5), (1, 2, 5), (2, 2)):
        why = refusal("TensorScatter", {**cache, "u": numbers(*shape)}, opset=24)
        assert "of a cache" in why
    assert "of a cache" in refusal("TensorScatter", {**cache, "u": cache["x"]}, opset=24, axis=0)
    wrong = refusal("TensorScatter", {**cache, "u": cache["x"]}, opset=24, mode="both")
    assert "use linear or circular" in wrong
