"""Trees behind columns that were scaled in float64, at each edge of each threshold: against float64
itself, and against onnxruntime on the file."""

from math import inf, nan

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.forest import A_LEAF, Branch
from oracle.exact.lowering.graph import lower
from oracle.exact.lowering.scaled import STEPS, Step, before
from oracle.exact.primitive import Outside
from oracle.exact.run import run
from oracle.tensor import Array
from tests.unit.exact.files import ml_node, node, proto, tensor

COMPARED = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
}
CHAINS: list[tuple[Step, ...]] = [
    (("Sub", 0.1), ("Div", 3.7)),
    (("Mul", 1 / 3), ("Add", -1e9)),
    (("Div", 1e-30), ("Mul", 1e300), ("Mul", 1e-300)),
    (("Mul", 1e-320), ("Add", 1.0)),
    (("Add", 1e17), ("Sub", 1e17)),
]
EDGES = [0.0, 2.0**-149, 2.0**-126, 0.1, 1.0, 3.4028234663852886e38, inf]
THRESHOLDS = [*EDGES, *(-edge for edge in EDGES), 0.3, -0.027, 1e300, -1e9, 16.0, 1e-310]


def scaled(steps: tuple[Step, ...], x: Array) -> Array:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        for op, constant in steps:
            wide = STEPS[op](wide, constant)
    return wide


def around(number: float) -> Array:
    """The float32 beside a number, those beside these, and each edge."""
    with np.errstate(over="ignore"):
        near = np.array([number, *EDGES, *(-edge for edge in EDGES)], np.float32)
        return np.concatenate([near, *(np.nextafter(near, np.float32(to)) for to in (-inf, inf))])


@pytest.mark.parametrize("mode", COMPARED)
@pytest.mark.parametrize("steps", CHAINS)
def test_before_moves_thresholds_to_what_was_scaled(steps, mode):
    leaf = Branch(A_LEAF)
    branches = [Branch(mode, 0, threshold, 1, 1) for threshold in THRESHOLDS]
    moved = before([*branches, leaf], (steps,))
    assert moved[-1] == leaf
    for branch, threshold in zip(moved, THRESHOLDS, strict=False):
        x = np.append(around(branch.threshold), np.float32([0.3, -7.0, 1e9]))
        wanted = COMPARED[mode](scaled(steps, x), threshold)
        assert COMPARED[mode](x.astype(np.float64), branch.threshold).tolist() == wanted.tolist()


def test_before_leaves_a_threshold_nan_and_refuses_equality():
    assert np.isnan(before([Branch("BRANCH_LEQ", 0, nan, 0, 0)], (CHAINS[0],))[0].threshold)
    with pytest.raises(Outside, match="computed by BRANCH_EQ"):
        before([Branch("BRANCH_EQ", 0, 1.0, 0, 0)], (CHAINS[0],))


def tree(mode: str, thresholds: list[float]) -> dict[str, object]:
    """One tree a column and threshold; the sum of its leaves says which way every one went."""
    count = len(thresholds)
    return {
        "nodes_treeids": [at for at in range(2 * count) for _ in range(3)],
        "nodes_nodeids": [0, 1, 2] * 2 * count,
        "nodes_featureids": [f for f in range(2) for _ in range(3 * count)],
        "nodes_modes": [mode, "LEAF", "LEAF"] * 2 * count,
        "nodes_values": [v for t in thresholds * 2 for v in (t, 0.0, 0.0)],
        "nodes_truenodeids": [1, 0, 0] * 2 * count,
        "nodes_falsenodeids": [2, 0, 0] * 2 * count,
        "target_treeids": [at for at in range(2 * count) for _ in range(2)],
        "target_nodeids": [1, 2] * 2 * count,
        "target_ids": [0] * 4 * count,
        "target_weights": [w for at in range(2 * count) for w in (2.0**at, 0.0)],
        "n_targets": 1,
    }


def piped(mode: str, factor: float = 0.25, joined: bool = True) -> bytes:
    """Two columns, one shifted and divided and one multiplied, joined before trees."""
    doubles = {"mean": [0.1], "deviation": [3.7], "factor": [factor]}
    nodes = [
        node("Split", ["x", "halves"], ["first", "second"], axis=1),
        node("Sub", ["first", "mean"], ["centred"]),
        node("Div", ["centred", "deviation"], ["standard"]),
        node("Mul", ["factor", "second"], ["multiplied"]),
        node("Concat", ["standard", "multiplied"] if joined else ["standard"] * 2, ["z"], axis=1),
        ml_node("TreeEnsembleRegressor", ["z"], ["y"], **tree(mode, [-0.5, 0.3, 1.25])),
    ]
    made = proto(nodes, [tensor("x", [None, 2], TensorProto.DOUBLE)], ["y"], opset=17)
    made.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.DOUBLE, [1], value) for name, value in doubles.items()
    )
    made.graph.initializer.append(helper.make_tensor("halves", TensorProto.INT64, [2], [1, 1]))
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("mode", COMPARED)
def test_trees_behind_a_scaler_in_float64_are_those_of_onnxruntime(mode):
    near = [(t * 3.7 + 0.1, t * 4) for t in (-0.5, float(np.float32(0.3)), 1.25)]
    pairs = [[around(number)[[0, 15, 30]] for number in pair] for pair in near]
    x = np.concatenate([*(np.stack(pair, 1) for pair in pairs), np.float32([[nan, inf]])])
    data = piped(mode)
    wanted = onnxruntime.InferenceSession(data).run(None, {"x": x.astype(np.float64)})[0]
    (ours,) = run(lower(data, {"x.0": len(x)}), [x])
    assert ours.tolist() == wanted.tolist()
    assert len(set(ours.ravel().tolist())) > 3


@pytest.mark.parametrize("factor", [-0.25, 0.0, nan])
def test_what_does_not_keep_the_order_is_refused(factor):
    with pytest.raises(ModelRefused, match="float64 that was computed"):
        lower(piped("BRANCH_LEQ", factor), {"x.0": 1})


@pytest.mark.parametrize(
    ("op", "inputs", "constant"),
    [
        ("Sub", ["c", "x"], [[0.1]]),  # which turns the order round
        ("Div", ["c", "x"], [[0.1]]),
        ("Sub", ["x", "c"], [[0.1], [0.2]]),  # another number in each row
        ("Div", ["x", "x"], [[0.1]]),
    ],
)
def test_what_is_no_step_of_a_column_is_refused(op, inputs, constant):
    trees = ml_node("TreeEnsembleRegressor", ["z"], ["y"], **tree("BRANCH_LEQ", [0.3]))
    made = proto(
        [node(op, inputs, ["z"]), trees], [tensor("x", [2, 2], TensorProto.DOUBLE)], ["y"], opset=17
    )
    c = np.array(constant)
    made.graph.initializer.append(helper.make_tensor("c", TensorProto.DOUBLE, c.shape, c.ravel()))
    with pytest.raises(ModelRefused, match="float64 that was computed"):
        lower(made.SerializeToString())


def test_a_number_for_each_column_is_a_step():
    """Of the same file as above, so that it is refused for nothing else."""
    trees = ml_node("TreeEnsembleRegressor", ["z"], ["y"], **tree("BRANCH_LEQ", [0.3]))
    x = tensor("x", [2, 2], TensorProto.DOUBLE)
    made = proto([node("Sub", ["x", "c"], ["z"]), trees], [x], ["y"], opset=17)
    c = helper.make_tensor("c", TensorProto.DOUBLE, [1, 2], [0.1, 0.2])
    made.graph.initializer.append(c)
    assert lower(made.SerializeToString()).nodes


def test_columns_of_other_rows_are_not_joined():
    """What was taken from a row's column would be what was taken from another's."""
    trees = ml_node("TreeEnsembleRegressor", ["z"], ["y"], **tree("BRANCH_LEQ", [0.3]))
    nodes = [
        *(node("Sub", ["x", name], [f"less {name}"]) for name in "cd"),
        node("Concat", ["less c", "less d"], ["z"], axis=0),
        trees,
    ]
    made = proto(nodes, [tensor("x", [1, 2], TensorProto.DOUBLE)], ["y"], opset=17)
    made.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.DOUBLE, [1], [value])
        for name, value in (("c", 0.1), ("d", 0.2))
    )
    with pytest.raises(ModelRefused, match="float64 that was computed"):
        lower(made.SerializeToString())
