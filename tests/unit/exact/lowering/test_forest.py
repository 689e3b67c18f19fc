"""Forests as files have them: shared nodes, sets of categories, float64 thresholds and missing
values, against the file's own meaning, node by node in float64, and against onnxruntime."""

from math import inf, isnan, nan

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from oracle.errors import ModelRefused
from oracle.exact.lowering.forest import A_LEAF, MEMBER, MODES, Branch, laid_out, sets
from oracle.exact.lowering.graph import lower
from oracle.exact.ops.trees import ABOVE, BELOW, LEAF, MISSING
from oracle.exact.program import Op
from oracle.exact.proofs.inspect import unprovable
from oracle.exact.run import run
from oracle.inference.onnxruntime import SecondOpinion
from oracle.tensor import Array, canonical
from tests.oracles import fast, plain, same
from tests.unit.exact.agreement import agree
from tests.unit.exact.files import classifier, file, ml_node, node, regressor, stumps, tensor

# At every edge of float32, and beside it where only float64 is.
EDGES = [0.0, 2.0**-149, 2.0**-126, 0.1, 1.0, 2.0, 3.0, 3.4028234663852886e38, inf]
NUMBERS = [sign * edge for edge in EDGES for sign in (1, -1)]
BESIDE = [np.nextafter(number, to) for number in NUMBERS for to in (-inf, inf)]
THRESHOLDS = [*NUMBERS, *map(float, BESIDE), 0.1 + 1e-9, 1e300, -1e300, 1e-300, nan]
X = canonical(np.array([*NUMBERS, nan, 0.3, 1.5, -7.0, 1e-40], np.float32))

HOLDS = {
    "BRANCH_LEQ": lambda x, branch: x <= branch.threshold,
    "BRANCH_LT": lambda x, branch: x < branch.threshold,
    "BRANCH_GTE": lambda x, branch: x >= branch.threshold,
    "BRANCH_GT": lambda x, branch: x > branch.threshold,
    "BRANCH_EQ": lambda x, branch: x == branch.threshold,
    "BRANCH_NEQ": lambda x, branch: x != branch.threshold,
    MEMBER: lambda x, branch: x in branch.members,
}


def leaf_of(branches: list[Branch], at: int, row: Array) -> int:
    """The leaf of the file that a row comes to."""
    while branches[at].mode != A_LEAF:
        branch = branches[at]
        x = float(row[branch.feature])
        holds = HOLDS[branch.mode](x, branch) or (isnan(x) and branch.missing_is_true)
        at = branch.then if holds else branch.other
    return at


def walked(branches: list[Branch], roots: list[int], x: Array) -> None:
    """Checks that every walk of the table, plain and fast, ends where the file says."""
    names = [f"node {place}" for place in range(len(branches))]
    forest = laid_out(branches, names, roots)
    places = np.arange(len(forest.nodes))
    inner = forest.nodes[forest.nodes[:, BELOW] != places]
    assert (
        inner[:, [BELOW, ABOVE, MISSING]] > places[forest.nodes[:, BELOW] != places][:, None]
    ).all()
    wanted = [[forest.leaves[leaf_of(branches, root, row)] for root in roots] for row in x]
    arrays = [x, forest.nodes, forest.roots]
    assert plain(Op.TREE_WALK, arrays, forest.steps).tolist() == wanted
    assert fast(Op.TREE_WALK, arrays, forest.steps, known=(1, 2)).tolist() == wanted
    after = np.zeros(len(places), int)
    for at in reversed(np.flatnonzero(forest.nodes[:, BELOW] != places)):
        after[at] = 1 + after[forest.nodes[at, [BELOW, ABOVE, MISSING]]].max()
    assert forest.steps >= after[forest.roots].max()
    assert len(set(forest.nodes[:, LEAF][forest.nodes[:, BELOW] == places])) == len(forest.leaves)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("mode", MODES)
def test_laid_out_compares_float32_as_float64_does(mode, threshold, missing):
    branches = [Branch(mode, 0, threshold, 1, 2, missing), Branch(A_LEAF), Branch(A_LEAF)]
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
        beside = [near, np.nextafter(near, np.float32(-inf)), np.nextafter(near, np.float32(inf))]
    walked(branches, [0], canonical(np.append(X, beside).astype(np.float32))[:, None])


@pytest.mark.parametrize("seed", range(20))
def test_laid_out_keeps_the_walks_of_any_graph_without_cycles(seed):
    """Nodes lead to any behind them, so most are shared, and chains of equalities are common."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        inner, leaves = rng.integers(1, 9), rng.integers(1, 4)
        branches = grown(rng, int(inner), int(leaves))
        roots = [0, *rng.integers(0, len(branches), rng.integers(3)).tolist()]
        reached = set(roots)
        for at, branch in enumerate(branches):
            reached |= set(branch.children) if at in reached else set()
        roots += sorted(set(range(len(branches))) - reached)
        walked(branches, roots, np.stack([X, rng.permutation(X)], 1))


def grown(rng: np.random.Generator, inner: int, leaves: int) -> list[Branch]:
    often = int(rng.integers(inner, inner + leaves))
    branches = []
    for at in range(inner):
        then, other = rng.integers(at + 1, inner + leaves, 2).tolist()
        branches.append(
            Branch(
                "BRANCH_EQ" if rng.random() < 0.8 else str(rng.choice([*MODES, MEMBER])),
                int(rng.random() < 0.2),
                float(rng.choice(THRESHOLDS)),
                often if rng.random() < 0.8 else then,
                at + 1 if rng.random() < 0.8 else other,
                bool(rng.random() < 0.3),
                tuple(rng.choice(THRESHOLDS[:-1], rng.integers(6)).tolist()),
            )
        )
    return branches + [Branch(A_LEAF)] * leaves


def test_laid_out_writes_a_shared_node_once():
    """A ladder of 40 nodes that all lead to the next by both ways has 2⁴⁰ paths."""
    ladder = [Branch("BRANCH_LEQ", 0, float(at), at + 1, at + 1) for at in range(40)]
    forest = laid_out([*ladder, Branch(A_LEAF)], ["node"] * 41, [0])
    assert (len(forest.nodes), forest.steps) == (41, 40)


@pytest.mark.parametrize("categories", [2, 3, 33, 1000])
def test_laid_out_makes_a_chain_of_equalities_a_search(categories):
    places = np.random.default_rng(0).permutation(categories)
    branches = [
        Branch("BRANCH_EQ", 0, float(2 * category), categories, at + 1)
        for at, category in enumerate(places)
    ]
    branches[-1] = Branch("BRANCH_EQ", 0, branches[-1].threshold, categories, categories + 1)
    branches += [Branch(A_LEAF), Branch(A_LEAF)]
    forest = laid_out(branches, [""] * len(branches), [0])
    assert forest.steps <= np.ceil(np.log2(2 * categories + 1))
    x = np.append(np.arange(-1, 2 * categories + 1), [np.nan, 0.5, np.inf]).astype(np.float32)
    walked(branches, [0], x[:, None])


@pytest.mark.parametrize(
    ("members", "count", "wanted"),
    [
        ([], 0, []),
        ([1.0], 1, [(1.0,)]),
        ([1.0, nan], 1, [(1.0,)]),
        ([1.0, 2.0, nan, 3.0], 2, [(1.0, 2.0), (3.0,)]),
        ([1.0, 2.0, nan, 3.0, nan], 2, [(1.0, 2.0), (3.0,)]),
    ],
)
def test_sets_are_split_at_nan(members, count, wanted):
    assert list(sets(members, count)) == wanted


# Files


def chain(*missing: int, feature: int = 0, categories: tuple[float, ...] = (1.0, 3.0, 9.0)):
    """x in a set of three: leaf 4 (weight 5), else leaf 3 (weight 7), as onnxmltools writes it."""
    return ml_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        nodes_treeids=[0] * 5,
        nodes_nodeids=[0, 1, 2, 3, 4],
        nodes_featureids=[feature] * 3 + [0] * 2,
        nodes_values=[*categories, 0.0, 0.0],
        nodes_modes=["BRANCH_EQ"] * 3 + ["LEAF"] * 2,
        nodes_truenodeids=[4, 4, 4, 0, 0],
        nodes_falsenodeids=[1, 2, 3, 0, 0],
        nodes_missing_value_tracks_true=[*missing, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[3, 4],
        target_ids=[0, 0],
        target_weights=[7.0, 5.0],
        n_targets=1,
    )


def column(array: Array) -> dict[str, Array]:
    return {"x": array.astype(np.float32)[:, None]}


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("categories", [(1.0, 3.0, 9.0), (40.0, 3.0, -2.0), (0.5, 1e9, 0.0)])
def test_a_split_by_categories_agrees_with_onnxruntime(categories, missing):
    x = column(np.append(X, [*categories, 9, 40, 41]))
    data = file(
        [chain(*[missing] * 3, categories=categories)], [tensor("x", [len(x["x"]), 1])], ["y"]
    )
    agree(data, x)


def newer(**changes):
    """A TreeEnsemble of two sets, of which the second follows the first where x is in neither."""
    members = helper.make_tensor("m", 1, [6], [1.0, 3.0, nan, 9.0, 12.0, 70.0])
    attributes = {
        "n_targets": 1,
        "tree_roots": [0],
        "nodes_featureids": [0, 0],
        "nodes_splits": helper.make_tensor("s", 1, [2], [0.0, 0.0]),
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [2], [6, 6]),
        "nodes_truenodeids": [0, 1],
        "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2],
        "nodes_falseleafs": [0, 1],
        "nodes_missing_value_tracks_true": [0, 1],
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": helper.make_tensor("w", 1, [3], [1.0, 2.0, 4.0]),
        "membership_values": members,
    }
    return ml_node("TreeEnsemble", ["x"], ["y"], **attributes | changes)


@pytest.mark.parametrize("roots", [[0], [0, 0], [1, 0]])
def test_sets_and_shared_trees_of_the_newer_op_agree_with_onnxruntime(roots):
    x = column(np.append(X, [9, 12, 70, 71]))
    model = newer(tree_roots=roots)
    agree(file([model], [tensor("x", [len(x["x"]), 1])], ["y"], ml_opset=5), x)


def refused(model, **options) -> str:
    with pytest.raises(ModelRefused) as error:
        lower(file([model], [tensor("x", [1, 1])], ["y"], **options))
    return str(error.value)


def test_a_set_is_refused_when_it_is_none():
    floats = helper.make_tensor
    assert "1 sets of members for 2" in refused(
        newer(membership_values=floats("m", 1, [1], [1.0])), ml_opset=5
    )
    assert "is empty" in refused(
        newer(membership_values=floats("m", 1, [2], [1.0, nan])), ml_opset=5
    )
    integers = floats("m", TensorProto.INT64, [1], [1])
    assert "membership_values are int64" in refused(newer(membership_values=integers), ml_opset=5)


def test_a_cycle_is_refused_by_the_name_of_a_node():
    model = regressor(nodes_modes=["BRANCH_EQ"] * 2 + ["LEAF"] + stumps()["nodes_modes"][3:])
    for attribute in model.attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[:] = [1, 1, 0, 1, 0, 0]
        if attribute.name == "nodes_falsenodeids":
            attribute.ints[:] = [2, 2, 0, 2, 0, 0]
    assert "a cycle of nodes leads to node 1 of tree 0" in refused(model)


def test_a_large_set_can_be_proven():
    categories = np.arange(2000, dtype=np.float32)
    model = newer(
        nodes_featureids=[0],
        nodes_splits=helper.make_tensor("s", 1, [1], [0.0]),
        nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [1], [6]),
        nodes_truenodeids=[0],
        nodes_trueleafs=[1],
        nodes_falsenodeids=[1],
        nodes_falseleafs=[1],
        nodes_missing_value_tracks_true=[0],
        leaf_targetids=[0, 0],
        leaf_weights=helper.make_tensor("w", 1, [2], [1.0, 2.0]),
        membership_values=helper.make_tensor("m", 1, [2000], (2 * categories).tolist()),
    )
    data = file([model], [tensor("x", [1, 1])], ["y"], ml_opset=5)
    assert unprovable(lower(data), data) == []


# float64


def doubles(values) -> TensorProto:
    return helper.make_tensor("t", TensorProto.DOUBLE, [len(values)], values)


def wide(thresholds=(0.1, 1.0), weights=(0.1, 2.0, 3.0, 4.0, 5.0, -6.0, -7.0, 8.0), **changes):
    """The regressor of two stumps, with float64 in tensors."""
    values = [thresholds[0], 0.0, 0.0, thresholds[1], 0.0, 0.0]
    model = regressor(
        nodes_values_as_tensor=doubles(values),
        target_weights_as_tensor=doubles(weights),
        nodes_hitrates_as_tensor=doubles([1.0] * 6),
        base_values_as_tensor=doubles([0.1, -0.25]),
        **changes,
    )
    for name in ("nodes_values", "target_weights"):
        model.attribute.remove(next(a for a in model.attribute if a.name == name))
    return model


def file_of(model, rows: int, **options) -> bytes:
    return file([model], [tensor("x", [rows, 1], TensorProto.DOUBLE)], ["y"], **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("threshold", [0.1, 1.0, 1e-300, 3.5e38, -1e300])
def test_a_model_of_float64_takes_float32_and_gives_what_onnxruntime_does(mode, threshold):
    beside = [np.nextafter(np.float32(0.1), np.float32(to)) for to in (-inf, 0.1, inf)]
    x = canonical(np.append(X, beside).astype(np.float32))[:, None]
    data = file_of(wide((threshold, 1.0), nodes_modes=[mode, "LEAF", "LEAF"] * 2), len(x))

    program = lower(data)
    (ours,) = run(program, [x])

    assert [str(t.dtype.name) for t in program.signature.inputs] == ["FLOAT"]
    assert same(ours, run(program, [x], plain=True)[0])
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(ours, session.run(None, {"x": x.astype(np.float64)})[0], rtol=1e-6)


def test_a_second_opinion_is_had_on_a_model_of_float64():
    x = np.array([[0.1], [5.0]], np.float32)
    older = file_of(wide(), 2)
    weights = helper.make_tensor("w", TensorProto.DOUBLE, [3], [0.1, 2.0, 4.0])
    split = {"nodes_splits": doubles([0.1, 1.0]), "membership_values": doubles([1.0])}
    modes = helper.make_tensor("m", TensorProto.UINT8, [2], [0, 6])
    newest = newer(leaf_weights=weights, nodes_modes=modes, **split)
    for data in (older, file_of(newest, 2, ml_opset=5)):
        program = lower(data)
        outputs = run(program, [x])
        SecondOpinion(data, program.signature).check([x], outputs)


def test_float64_passes_what_moves_it_and_is_refused_by_what_computes():
    def lowered(*nodes, outputs=("y",), ml_opset=3, **constants):
        inputs = [tensor("x", [2, 1], TensorProto.DOUBLE), tensor("f", [2, 1])]
        return lower(file(nodes, inputs, outputs, ml_opset=ml_opset, **constants))

    moved = [
        node("Transpose", ["x"], ["t"]),
        node("Transpose", ["t"], ["back"]),
        node("Cast", ["f"], ["wide"], to=TensorProto.DOUBLE),
        node("Concat", ["back", "wide"], ["both"], axis=1),
        node("Gather", ["both", "i"], ["z"], axis=1),
    ]
    place = {"i": np.array([0])}
    x, f = np.float32([[0.1], [2.0]]), np.float32([[7.0], [8.0]])
    told = tensor("z", [2, 1], TensorProto.DOUBLE)
    assert same(run(lowered(*moved, outputs=[told], **place), [x, f])[0], x)
    trees = regressor()
    trees.input[0] = "z"
    wanted = lower(file([regressor()], [tensor("x", [2, 1])], ["y"]))
    assert same(run(lowered(*moved, trees, **place), [x, f])[0], run(wanted, [x])[0])

    def why(*nodes, **constants) -> str:
        with pytest.raises(ModelRefused) as error:
            lowered(*nodes, ml_opset=5, **constants)
        return str(error.value)

    floor = node("Floor", ["s"], ["y"])
    assert "(Floor): it jumps where" in why(node("Add", ["x", "x"], ["s"]), floor)
    assert "dtypes: double, float; " in why(node("Concat", ["x", "f"], ["y"], axis=0))
    split = newer(
        nodes_splits=doubles([0.1, 1.0]),
        leaf_weights=doubles([0.1, 2.0, 4.0]),
        membership_values=doubles([1.0, nan, 2.0]),
    )
    split.output[0] = "z"
    trees = newer()
    trees.input[0] = "z"
    assert "(TreeEnsemble): it jumps where" in why(split, trees)
    cast = node("Cast", ["z"], ["y"], to=TensorProto.INT64)
    assert "casts a float64 that was computed" in why(split, cast)
    cast = node("Cast", ["z"], ["w"], to=TensorProto.FLOAT)
    trees.input[0] = "w"
    assert lowered(split, cast, trees, ml_opset=5)


def test_float64_is_refused_where_rounding_it_would_change_more():
    assert "weights are beyond float32" in refused(wide(weights=[1e39] + [0.0] * 7))
    assert "base values are beyond" in refused(
        regressor(base_values_as_tensor=doubles([1e300, 0.0]))
    )
    assert "both nodes_values and" in refused(regressor(nodes_values_as_tensor=doubles([0.0] * 6)))


def test_the_sign_of_a_float64_weight_says_what_a_score_means():
    """A weight of −1e−60 is 0 as float32; the score is a margin all the same."""
    model = classifier([0, 0], [0.0, 0.0], class_weights_as_tensor=doubles([-1e-60, 0.25]))
    model.attribute.remove(next(a for a in model.attribute if a.name == "class_weights"))
    data = file([model], [tensor("x", [1, 1])], ["label", "y"])
    (label, _) = run(lower(data), [np.float32([[5.0]])])
    assert label.tolist() == [5]  # 0.25 is above 0, and not above a half


def test_lower_takes_a_weight_that_is_said_twice_once():
    """As skl2onnx writes the number of each leaf, once for each class of the forest."""
    twice = {
        "target_treeids": [0] * 4 + [1] * 4,
        "target_nodeids": [1, 1, 2, 2] * 2,
        "target_ids": [0] * 8,
        "target_weights": [1.0, 1.0, 3.0, 3.0, 5.0, 5.0, -7.0, -7.0],
        "n_targets": 1,
    }
    model = file([regressor(**twice)], [tensor("x", [4, 1])], ["y"])
    x = np.array([[-1], [0], [0.5], [2]], np.float32)
    (ours,) = run(lower(model), [x])
    assert ours.tolist() == [[6], [6], [8], [-4]]
    assert ours.tolist() == onnxruntime.InferenceSession(model).run(None, {"x": x})[0].tolist()
