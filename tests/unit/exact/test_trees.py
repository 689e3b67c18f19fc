"""Trees: the walk, every comparison of ONNX, every aggregate, and the classifiers' special cases,
against onnxruntime."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.errors import ModelRefused
from oracle.exact.kernels.trees import ENDLESS, depths
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from oracle.exact.ops.trees import (
    ABOVE,
    BELOW,
    FEATURE,
    LEAF,
    MISSING,
    THRESHOLD,
    WIDTH,
    check_walks,
)
from oracle.exact.primitive import Outside
from oracle.exact.program import Op
from oracle.exact.run import run
from oracle.tensor import canonical
from tests.oracles import fast, node_of, plain, same
from tests.unit.exact.files import classifier, file, ml_node, regressor, stumps, tensor

MODES = ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"]
X = np.array(
    [[-1], [1], [0], [np.nan], [np.inf], [-np.inf], [2.0**-149], [-(2.0**-149)]], np.float32
)
# As bits, since no float keeps its sign and payload: NaNs too, and −0, which lowering never writes.
THRESHOLDS = np.array(
    [
        *(0, 0x80000000, 1, 0x80000001, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 71362),
        *(0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF),
    ],
    np.uint32,
)


def opinions(model: bytes, x: np.ndarray = X) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ours (having checked that fast = plain) and onnxruntime's."""
    program = lower(model)
    ours = run(program, [x])
    assert all(map(same, ours, run(program, [x], plain=True)))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(ours), session.run(None, {"x": x})


def agree(model: bytes, x: np.ndarray = X) -> None:
    for ours, theirs in zip(*opinions(model, x), strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 1.5, -np.inf, np.inf, 3.4028235e38, -3.4028235e38])
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_every_comparison_takes_onnxruntimes_path(mode, missing, threshold):
    nodes = stumps(f"BRANCH_{mode}", missing=missing, threshold=threshold)
    agree(file([regressor(**nodes)], [tensor("x", [len(X), 1])], ["y"]))


@pytest.mark.parametrize("mode", MODES)
def test_every_comparison_is_defined_when_the_threshold_is_nan(mode):
    nodes = stumps(f"BRANCH_{mode}", threshold=float("nan"))
    agree(file([regressor(**nodes)], [tensor("x", [len(X), 1])], ["y"]))


@pytest.mark.parametrize("base", [None, [0.5, -1.0]])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
def test_every_aggregate_and_transform_agrees_with_onnxruntime(aggregate, base, transform):
    changes = {"aggregate_function": aggregate, "post_transform": transform}
    if base:
        changes["base_values"] = base
    agree(file([regressor(**changes)], [tensor("x", [len(X), 1])], ["y"]))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("base", [None, [0.25]])
@pytest.mark.parametrize("low", [0.2, -0.2])
def test_two_classes_and_one_score_agree_with_onnxruntime(low, base, transform):
    changes = {"post_transform": transform} | ({"base_values": base} if base else {})
    model = classifier([0, 0], [low, 0.9], **changes)
    agree(file([model], [tensor("x", [len(X), 1])], ["label", "y"]))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
def test_two_classes_of_opposite_scores_agree_with_onnxruntime(transform):
    changes = {"post_transform": transform, "classlabels_int64s": [0, 1]}
    model = classifier([0, 1] * 2, [0.8, -0.8, -0.3, 0.3], **changes)
    agree(file([model], [tensor("x", [len(X), 1])], ["label", "y"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"classlabels_int64s": [3, 5]},
        {"classlabels_int64s": [0, 1], "base_values": [0.1, -0.1]},
        {"classlabels_int64s": [0, 1], "base_values": [0.0, 0.0]},
        {"classlabels_int64s": [0, 1], "class_weights": [0.8, 0.2, 0.3, 0.7]},
    ],
)
def test_two_classes_are_refused_where_onnxruntime_contradicts_itself(changes):
    changes = {"class_weights": [0.8, -0.8, -0.3, 0.3]} | changes
    model = classifier([0, 1] * 2, changes["class_weights"], **changes)
    with pytest.raises(ModelRefused, match="no agreed meaning"):
        lower(file([model], [tensor("x", [1, 1])], ["label", "y"]))


@pytest.mark.parametrize("low", [0.2, -0.2])
def test_two_classes_and_one_score_have_one_base_value_at_most(low):
    model = classifier([0, 0], [low, 0.9], base_values=[0.25, 0.0])
    with pytest.raises(ModelRefused, match="2 base values for 1 scores"):
        lower(file([model], [tensor("x", [1, 1])], ["label", "y"]))


@pytest.mark.parametrize(
    ("transform", "scores"),
    [("NONE", [-2, 2]), ("LOGISTIC", [0.1192029, 0.8807971]), ("SOFTMAX", [1, 1])],
)
def test_a_transform_of_one_target_is_that_of_several(transform, scores):
    targets = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0]}
    stump = {name: value[:3] for name, value in stumps().items()} | targets
    made = regressor(**stump, target_weights=[-2.0, 2.0], n_targets=1, post_transform=transform)
    (found,) = run(lower(file([made], [tensor("x", [2, 1])], ["y"])), [np.float32([[-1], [1]])])
    np.testing.assert_allclose(found[:, 0], scores, rtol=1e-6)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("base", [None, [0.1, 0.2, 0.9]])
def test_three_classes_agree_with_onnxruntime(base, transform):
    changes = {"post_transform": transform, "classlabels_int64s": [7, -1, 2**40]}
    if base:
        changes["base_values"] = base
    model = classifier([0, 1, 2] * 2, [0.8, -0.2, 0, -0.3, 0.7, 0.1], **changes)
    agree(file([model], [tensor("x", [len(X), 1])], ["label", "y"]))


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_trees_read_integers_as_float32(dtype):
    x = np.array([[-5], [0], [1], [2**24 + 1]], dtype)
    code = 7 if dtype is np.int64 else 6
    (ours,) = run(lower(file([regressor()], [tensor("x", [4, 1], code)], ["y"])), [x])
    wanted = lower(file([regressor()], [tensor("x", [4, 1])], ["y"]))
    assert same(ours, run(wanted, [x.astype(np.float32)])[0])


def test_the_exact_sum_is_rounded_once_with_its_base_value():
    weights = [2.0**24, 0, 0, 0, 1.0, 0, 0, 0]
    model = regressor(target_weights=weights, base_values=[2.0**-40, 0.0])
    (y,) = run(lower(file([model], [tensor("x", [1, 1])], ["y"])), [np.zeros((1, 1), np.float32)])
    assert y[0, 0] == 2.0**24 + 2


def test_one_tree_of_one_leaf_is_a_constant():
    one = {name: value[:1] for name, value in stumps("LEAF").items()}
    targets = {
        "target_treeids": [0],
        "target_nodeids": [0],
        "target_ids": [0],
        "target_weights": [4.0],
    }
    agree(file([regressor(**one, **targets, n_targets=1)], [tensor("x", [len(X), 1])], ["y"]))


@given(st.data())
def test_tree_walk_agrees_with_the_plain_kernel(data):
    """Random forests in the primitive's own form, and rows with every kind of number."""
    inner = data.draw(st.integers(0, 6))
    leaves = inner + 1
    nodes = np.zeros((inner + leaves, WIDTH), np.int32)
    for at in range(inner):
        onward = st.integers(at + 1, inner + leaves - 1)
        nodes[at, [BELOW, ABOVE, MISSING]] = [data.draw(onward) for _ in range(3)]
        nodes[at, FEATURE] = data.draw(st.integers(0, 2))
        nodes[at, THRESHOLD] = data.draw(st.sampled_from(THRESHOLDS.view(np.int32)))
    for leaf in range(leaves):
        nodes[inner + leaf, [BELOW, ABOVE, MISSING]] = inner + leaf
        nodes[inner + leaf, LEAF] = leaf
    roots = np.array(data.draw(st.lists(st.integers(0, len(nodes) - 1), max_size=4)), np.int32)
    values = st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-40, 2.0])
    x = canonical(np.array([[data.draw(values) for _ in range(3)] for _ in range(3)], np.float32))
    arrays = [x, nodes, roots]
    assert same(plain(Op.TREE_WALK, arrays, inner), fast(Op.TREE_WALK, arrays, inner, known=(1, 2)))


def test_a_walk_ends_at_what_leads_to_itself_below_wherever_else_it_leads():
    """So the referee judges it: whoever went on would be convicted of it."""
    nodes = forest([[1, 2, 1], [1, 2, 2], [3, 4, 3], [3, 3, 3], [4, 4, 4]])
    nodes[:, LEAF] = [0, 10, 0, 30, 40]
    nodes[:3, THRESHOLD] = np.array([0.5, -1, 9], np.float32).view(np.int32)
    x = np.array([[0.0], [np.nan], [1.0], [10.0]], np.float32)
    arrays = [x, nodes, np.zeros(1, np.int32)]
    before = nodes.copy()

    wanted = np.array([[10], [10], [30], [40]], np.int32)
    assert same(plain(Op.TREE_WALK, arrays, 2), wanted)
    assert same(fast(Op.TREE_WALK, arrays, 2, known=(1, 2)), wanted)
    assert same(nodes, before)


@pytest.mark.parametrize("threshold", THRESHOLDS.view(np.int32).tolist())
def test_what_is_not_greater_than_a_threshold_goes_below(threshold):
    nodes = np.zeros((4, WIDTH), np.int32)
    nodes[:, [BELOW, ABOVE, MISSING]] = [[1, 2, 3], [1] * 3, [2] * 3, [3] * 3]
    nodes[:, LEAF] = [0, BELOW, ABOVE, MISSING]
    nodes[0, THRESHOLD] = threshold
    t = np.int32(threshold).view(np.float32)
    wanted = np.where(np.isnan(X), MISSING, np.where(t < X, ABOVE, BELOW)).astype(np.int32)

    arrays = [X, nodes, np.zeros(1, np.int32)]

    assert same(plain(Op.TREE_WALK, arrays, 1), wanted)
    assert same(fast(Op.TREE_WALK, arrays, 1, known=(1, 2)), wanted)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer_agrees_with_onnxruntime(norm):
    x = np.array([[1, -2, 3], [-1, -2, -3], [0, 0, 0], [0, -5, 0], [1e-30, 0, 0]], np.float32)
    model = ml_node("Normalizer", ["x"], ["y"], norm=norm)
    program = lower(file([model], [tensor("x", [5, 3])], ["y"]))
    (ours,) = run(program, [x])
    session = onnxruntime.InferenceSession(
        file([model], [tensor("x", [5, 3])], [tensor("y", [5, 3])]),
        providers=["CPUExecutionProvider"],
    )
    rows = 4 if norm == "L2" else 5  # 1e-60 is no float32: there onnxruntime and we give 1e-30
    np.testing.assert_allclose(ours[:rows], session.run(None, {"x": x})[0][:rows], rtol=1e-6)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("rows", [1, 3])
def test_linear_classifier_agrees_with_onnxruntime(rows, transform):
    labels = [3, 5] if rows == 1 else [3, 5, 7]
    model = ml_node(
        "LinearClassifier",
        ["x"],
        ["label", "y"],
        coefficients=[1.5, -1.0, 0.5][:rows],
        intercepts=[0.25, 0.0, 0.0][:rows],
        classlabels_ints=labels,
        post_transform=transform,
    )
    finite = X[np.isfinite(X[:, 0])]
    agree(file([model], [tensor("x", [len(finite), 1])], ["label", "y"]), finite)


@pytest.mark.parametrize("column", [FEATURE, BELOW, ABOVE, MISSING])
@pytest.mark.parametrize("place", [-1, 3])
def test_a_walk_that_would_leave_its_nodes_or_features_is_refused(column, place):
    nodes = np.zeros((3, WIDTH), np.int32)
    nodes[:, [BELOW, ABOVE, MISSING]] = [[1, 2, 2], [1, 1, 1], [2, 2, 2]]
    nodes[0, column] = place
    operands = [np.zeros((1, 3), np.float32), nodes, np.zeros(1, np.int32)]
    with pytest.raises(IndexError):
        fast(Op.TREE_WALK, operands, 2, known=(1, 2))


# What may be no tree


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (1, 8), (1,)),
        ((1, 3), (8,), (1,)),
        ((1, 3), (1, 7), (1,)),
        ((1, 3), (1, 8), (1, 1)),
        ((1, 3), (1, 8), ()),
    ],
)
def test_operands_of_other_ranks_are_refused_as_the_referee_refuses_them(shapes):
    dtypes = np.float32, np.int32, np.int32
    operands = [np.zeros(*each) for each in zip(shapes, dtypes, strict=True)]
    with pytest.raises(Outside, match="shapes"):
        node_of(Op.TREE_WALK, operands, 1)


def forest(ways: Sequence[Sequence[int]]) -> np.ndarray:
    """A table whose nodes go on so."""
    nodes = np.zeros((len(ways), WIDTH), np.int32)
    nodes[:, [BELOW, ABOVE, MISSING]] = ways
    return nodes


def are_trees(nodes: np.ndarray, roots: Sequence[int], steps: int) -> bool:
    tables = [np.zeros((1, 1), np.float32), nodes, np.array(roots, np.int32)]
    walked = node_of(Op.TREE_WALK, tables, (steps,))
    try:
        check_walks(walked, *tables[1:])
    except Outside:
        return False
    return True


@given(st.data())
def test_check_walks_takes_what_ends_in_time_whichever_way_it_goes(data):
    """Against a walk step by step along all ways at once."""
    count = data.draw(st.integers(1, 7))
    place = st.integers(0, count - 1)
    ways = data.draw(st.lists(st.tuples(place, place, place), min_size=count, max_size=count))
    roots = data.draw(st.lists(place, max_size=4))
    steps = data.draw(st.integers(-1, count + 1))
    at = {root for root in roots if ways[root][0] != root}
    for _ in range(max(steps, 0)):
        at = {way for node in at for way in ways[node] if ways[way][0] != way}

    assert are_trees(forest(ways), roots, steps) is (not at)


def circle(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two layers, each of whose nodes goes on to three of the other one, for ever."""
    half = count // 2
    onward = np.arange(half)[:, None] + np.arange(3)
    ways = np.concatenate([half + onward % half, onward[::-1] % half])
    return ways, np.arange(count)


def chain(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each node goes on to the next ones, and each is a root."""
    return np.minimum(np.arange(count)[:, None] + [1, 2, 1], count - 1), np.arange(count)


def far_chain(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with each successor before its node, and roots from the nearest to its leaf."""
    return np.maximum(np.arange(count)[:, None] - [1, 2, 1], 0), np.arange(count)


SHAPES = [(circle, False), (chain, True), (far_chain, True)]


@pytest.mark.parametrize(("shape", "ends"), SHAPES)
def test_check_walks_looks_at_each_node_a_few_times_whatever_the_forest(shape, ends):
    class Counted(np.ndarray):
        looks = 0

        def __getitem__(self, key):
            type(self).looks += 1
            return super().__getitem__(key)

    ways, roots = shape(1000)
    nodes = forest(ways).view(np.uint32).view(Counted)

    found = depths.py_func(nodes, roots.astype(np.uint32))

    assert bool(found.max() < ENDLESS) is ends
    assert Counted.looks <= 2 * (1 + 2 * 3) * len(nodes)


def test_check_walks_ends_for_the_largest_forest():
    """Whoever read such a file was at it for days."""
    ways, roots = circle(Limits().elements // WIDTH)
    assert not are_trees(forest(ways), roots, len(ways))


@pytest.mark.parametrize("steps", [-(1 << 255), (1 << 255) - 1])
def test_steps_that_no_register_holds_are_steps(steps):
    nodes, roots = forest([[0, 0, 0]]), np.zeros(1, np.int32)
    x = np.zeros((0, 1), np.float32)
    assert are_trees(nodes, roots, steps)
    assert fast(Op.TREE_WALK, [x, nodes, roots], steps, known=(1, 2)).shape == (0, 1)
