"""Tree ensembles: each tree a walk to a leaf, every leaf a row of a table of weights.

TREE_WALK gives each row's leaf in each tree, GATHER that leaf's weights, REDUCE_SUM the exact sum.
Base values are one more tree of a single leaf, so that they are in the same sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.classes import classes, labelled
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.forest import A_LEAF, MEMBER, MODES, Branch, Forest, laid_out, sets
from oracle.exact.lowering.linear import rows
from oracle.exact.lowering.scaled import before
from oracle.exact.lowering.source import Lowering, Source, tensor_array
from oracle.exact.lowering.transcendental import post_transform, two_scores
from oracle.exact.ops.trees import ABOVE, BELOW, LEAF, MISSING, WIDTH
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array, canonical
from oracle.types import DType


@dataclass(frozen=True, slots=True)
class _Trees:
    """A forest, and for each leaf, by tree id and node id, its row in the table of weights."""

    forest: Forest
    leaves: dict[tuple[int, int], int]


def _regressor(b: Builder, node: Source) -> list[Operand]:
    x = _rows(b, node)
    targets = node.integer("n_targets")
    base = _base(b, node, targets)
    trees = _forest(node, x.type.shape[1], b.limits.elements)
    aggregate = node.text("aggregate_function", "SUM")
    weights, given = _weights(b, node, "target", trees, targets)
    if aggregate == "SUM":
        scores = _aggregated(b, Op.REDUCE_SUM, x, trees.forest, weights, base)
    else:
        op = {"AVERAGE": Op.REDUCE_MEAN, "MIN": Op.REDUCE_MIN, "MAX": Op.REDUCE_MAX}.get(aggregate)
        if op is None:
            raise Outside(f"aggregate_function {aggregate} is unknown", "fix the file")
        if op is not Op.REDUCE_MEAN and not given.all():
            raise Outside(
                f"with {aggregate}, a leaf without a weight has no meaning",
                "give every leaf a weight for every target",
            )
        scores = _aggregated(b, op, x, trees.forest, weights, np.zeros(0, np.float32))
        if base.any():
            scores = b.emit(Op.ADD, (scores, b.constant(base)))
    return [post_transform(b, node.text("post_transform", "NONE"), scores)]


def _classifier(b: Builder, node: Source) -> list[Operand]:
    """Emits label and scores. Cases of two classes are as in onnxruntime."""
    x = _rows(b, node)
    labels = classes(node, "classlabels_int64s")
    transform = node.text("post_transform", "NONE")
    ids = set(node.integers("class_ids"))
    trees = _forest(node, x.type.shape[1], b.limits.elements)
    if len(labels) < 2:
        raise Outside("a classifier of one class", "give it two classes or more")
    if len(labels) == 2 and ids != {0, 1}:
        return _one_column(b, node, x, trees, labels, transform, ids)
    base = _base(b, node, len(labels))
    weights, _ = _weights(b, node, "class", trees, len(labels))
    if len(labels) == 2:
        _check_opposite(weights, base, labels)
    scores = _aggregated(b, Op.REDUCE_SUM, x, trees.forest, weights, base)
    winner = b.emit(Op.ARG_MAX, (scores,), 0)
    return [labelled(b, winner, labels), post_transform(b, transform, scores)]


def _check_opposite(weights: Array, base: Array, labels: tuple[str, ...] | tuple[int, ...]) -> None:
    """Refuses two classes with weights each, unless the weights are opposite, there are no base
    values, and integer labels are 0 and 1.

    Else results by onnxruntime have no agreed meaning: it takes the second class where its score is
    above zero, gives 0 and 1 whatever the integer labels are, and base values, zeros too, make it
    exchange the scores.
    """
    opposite = not (weights[:, 0] != -weights[:, 1]).any() and not base.size
    if not opposite or labels not in ((0, 1), (str(labels[0]), str(labels[1]))):
        raise Outside(
            "two classes with weights for both that are not opposite, or labels other than 0 and 1,"
            " which has no agreed meaning",
            "give weights for class id 0 alone, as scikit-learn's converter does",
        )


def _one_column(
    b: Builder,
    node: Source,
    x: Operand,
    trees: _Trees,
    labels: tuple[str, ...] | tuple[int, ...],
    transform: str,
    ids: set[int],
) -> list[Operand]:
    """Emits label and scores for two classes with one score s. Where no weight is negative, s is a
    probability, and the second class wins above a half; else s is a margin, and it wins above 0."""
    if ids != {0}:
        raise Outside(
            f"two classes with weights for class ids {sorted(ids)}, which has no agreed meaning",
            "give weights for class id 0 alone, as scikit-learn's converter does",
        )
    base = _base(b, node, 1)
    weights, _ = _weights(b, node, "class", trees, 1)
    s = _aggregated(b, Op.REDUCE_SUM, x, trees.forest, weights, base)
    margin = bool((weights < 0).any())
    wins = b.emit(Op.LESS, (b.scalar(0 if margin else 0.5), s))
    label = labelled(b, cast(b, b.reshape(wins, wins.type.shape[:1]), DType.INT64), labels)
    return [label, two_scores(b, s, transform, margin)]


def _rows(b: Builder, node: Source) -> Operand:
    """Reads the features as float32 [N, F]."""
    return rows(b, *node.exactly(1))


def _base(b: Builder, node: Source, count: int) -> Array:
    base = _rounded(_numbers(node, "base_values", b.limits.elements), "base values")
    if base.size not in (0, count):
        raise Outside(
            f"it has {base.size} base values for {count} scores", "give none, or one each"
        )
    return base


def _aggregated(
    b: Builder, op: Op, x: Operand, forest: Forest, weights: Array, base: Array
) -> Operand:
    """Rounds leaf weights [leaves, C] and emits [N, C]. What is aggregated is laid out [C, N,
    trees], so that the terms of a sum are neighbours."""
    nodes, roots, weights = forest.nodes, forest.roots, _rounded(weights, "weights")
    if base.size:
        last = np.zeros((1, WIDTH), np.int32)
        last[0, [BELOW, ABOVE, MISSING]] = len(nodes)
        last[0, LEAF] = len(weights)
        nodes, roots = np.concatenate([nodes, last]), np.append(roots, np.int32(len(nodes)))
        weights = np.concatenate([weights, base[None]])
    n, trees, count = x.type.shape[0], len(roots), weights.shape[1]
    walked = b.emit(Op.TREE_WALK, (x, b.constant(nodes), b.constant(roots)), forest.steps)
    table = b.constant(weights.T.reshape(count, -1, 1))
    picked = b.emit(Op.GATHER, (table, b.reshape(walked, (n * trees,))))
    totals = b.emit(op, (b.reshape(picked, (count * n, trees)),))
    return b.transpose(b.reshape(totals, (count, n)), (1, 0))


def _weights(
    b: Builder, node: Source, prefix: str, forest: _Trees, count: int
) -> tuple[Array, Array]:
    """Reads leaf weights [leaves, count] as float64, zero where the file gives none, and says where
    it gives one."""
    trees, nodes = node.integers(f"{prefix}_treeids"), node.integers(f"{prefix}_nodeids")
    ids = node.integers(f"{prefix}_ids")
    values = _numbers(node, f"{prefix}_weights", b.limits.elements)
    if not len(trees) == len(nodes) == len(ids) == values.size:
        raise Outside(
            f"its {prefix} attributes have lengths {len(trees)}, {len(nodes)}, {len(ids)} and "
            f"{values.size}",
            "fix the file",
        )
    if count < 1 or len(forest.leaves) * count > b.limits.elements:
        raise Outside(f"{len(forest.leaves)} leaves by {count} {prefix} ids", "use a smaller model")
    weights = np.zeros((len(forest.leaves), count))
    given = np.zeros(weights.shape, np.bool_)
    for tree, number, id_, value in zip(trees, nodes, ids, values, strict=True):
        leaf = forest.leaves.get((tree, number))
        if leaf is None:
            raise Outside(f"a weight for node {number} of tree {tree}, no leaf", "fix the file")
        if not 0 <= id_ < count:
            raise Outside(f"{prefix} id {id_} is not below {count}", "fix the file")
        # Of one target skl2onnx says a weight once for each class of the forest that it was made
        # from, and onnxruntime takes one; of several onnxruntime adds them up.
        again = count == 1 and prefix == "target" and weights[leaf, id_] == value
        if given[leaf, id_] and not again:
            raise Outside(f"two weights for one leaf and {prefix} id {id_}", "fix the file")
        weights[leaf, id_], given[leaf, id_] = value, True
    return weights, given


def _forest(node: Source, features: int, limit: int) -> _Trees:
    branches, keys = _branches(node, features, limit)
    names = [f"node {number} of tree {tree}" for tree, number in keys]
    forest = laid_out(branches, names, _roots(branches, keys))
    return _Trees(forest, {keys[place]: row for place, row in forest.leaves.items()})


def _branches(
    node: Source, features: int, limit: int
) -> tuple[list[Branch], list[tuple[int, int]]]:
    trees, numbers = node.integers("nodes_treeids"), node.integers("nodes_nodeids")
    modes = node.texts("nodes_modes")
    columns: dict[str, Sequence[int]] = {
        name: node.integers(f"nodes_{name}")
        for name in ("featureids", "truenodeids", "falsenodeids")
    }
    missing = node.integers("nodes_missing_value_tracks_true", ()) or (0,) * len(modes)
    values = _numbers(node, "nodes_values", limit)
    _numbers(node, "nodes_hitrates", limit)  # how often a branch is taken; changes no result
    lengths = {len(trees), len(numbers), len(modes), values.size, len(missing)}
    lengths |= {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise Outside(f"its nodes attributes have lengths {sorted(lengths)}", "fix the file")
    keys = list(zip(trees, numbers, strict=True))
    places = {key: place for place, key in enumerate(keys)}
    if not keys or len(places) != len(keys):
        raise Outside("it has no nodes, or two with one id", "fix the file")
    branches = []
    for place, (tree, _) in enumerate(keys):
        mode, feature = modes[place], columns["featureids"][place]
        if mode not in (*MODES, A_LEAF):
            raise Outside(f"mode {mode!r} is unknown", "fix the file")
        if mode == A_LEAF:
            branches.append(Branch(mode))
            continue
        then = places.get((tree, columns["truenodeids"][place]))
        other = places.get((tree, columns["falsenodeids"][place]))
        if then is None or other is None:
            raise Outside(
                f"a child of node {keys[place][1]} of tree {tree} is not there", "fix the file"
            )
        if not 0 <= feature < features:
            raise Outside(f"feature {feature} of {features}", "fix the file, or the input's shape")
        branches.append(
            Branch(mode, feature, float(values[place]), then, other, bool(missing[place]))
        )
    return before(branches, node.scaling), keys


def _numbers(node: Source, name: str, limit: int) -> Array:
    """Reads a list of float32, or the tensor of float64 that may stand for it, as float64."""
    tensor = f"{name}_as_tensor"
    listed = node.reals(name)
    if not node.has(tensor):
        return _widened(listed)
    if listed.size:
        raise Outside(f"it has both {name} and {tensor}", "remove one")
    return _floats(node, tensor, limit)


def _floats(node: Source, name: str, limit: int) -> Array:
    """Reads a tensor of floats as float64, which holds them all."""
    array = tensor_array(node.tensor(name), limit)
    if array.dtype.kind != "f":
        raise Outside(f"its {name} are {array.dtype}", "use float32 or float64")
    return _widened(array.reshape(-1))


def _widened(array: Array) -> Array:
    with np.errstate(invalid="ignore"):  # NaNs that signal
        return array.astype(np.float64)


def _rounded(array: Array, what: str) -> Array:
    """Rounds float64 to float32, once. Raises Outside where that gives an infinity."""
    with np.errstate(all="ignore"):
        rounded = array.astype(np.float32)
    if (np.isinf(rounded) & np.isfinite(array)).any():
        raise Outside(f"its {what} are beyond float32", "scale the targets that it learns")
    return canonical(rounded)


def _roots(branches: Sequence[Branch], keys: Sequence[tuple[int, int]]) -> list[int]:
    """Gives each tree's root, the one node that is no child, in the order of the trees' first
    nodes. Raises Outside where a tree has none or two."""
    children = {child for branch in branches for child in branch.children}
    roots: dict[int, int] = {}
    for place, (tree, _) in enumerate(keys):
        if place not in children:
            if tree in roots:
                raise Outside(f"tree {tree} has two roots", "fix the file")
            roots[tree] = place
    for tree, _ in keys:
        if tree not in roots:
            raise Outside(f"tree {tree} is a cycle", "fix the file")
    order = dict.fromkeys(tree for tree, _ in keys)
    return [roots[tree] for tree in order]


def _ensemble(b: Builder, node: Source) -> list[Operand]:
    """Lowers TreeEnsemble, where inner nodes and leaves have lists of their own."""
    x = _rows(b, node)
    targets = node.integer("n_targets")
    branches, leaves = _listed(node, x.type.shape[1], b.limits.elements)
    count = len(branches) - len(leaves)
    roots = node.integers("tree_roots")
    if not all(0 <= root < count for root in roots):
        raise Outside(f"roots {roots} of {count} nodes", "fix the file")
    names = [f"node {place}" for place in range(count)] + [f"leaf {leaf}" for leaf in leaves]
    forest = laid_out(branches, names, _by_first_node(roots, branches))
    given = _floats(node, "leaf_weights", b.limits.elements)
    ids = node.integers("leaf_targetids")
    if given.size != len(ids) or not all(0 <= id_ < targets for id_ in ids):
        raise Outside(f"{given.size} leaf weights for targets {ids}", "fix the file")
    if len(forest.leaves) * targets > b.limits.elements:
        raise Outside(f"{len(forest.leaves)} leaves by {targets} targets", "use a smaller model")
    weights = np.zeros((len(forest.leaves), targets))
    for place, row in forest.leaves.items():
        leaf = leaves[place - count]
        weights[row, ids[leaf]] = given[leaf]
    kind = node.integer("aggregate_function", 1)
    op = {0: Op.REDUCE_MEAN, 1: Op.REDUCE_SUM, 2: Op.REDUCE_MIN, 3: Op.REDUCE_MAX}.get(kind)
    transform = node.integer("post_transform", 0)
    if op is None or not 0 <= transform < len(_TRANSFORMS):
        raise Outside(f"aggregate {kind}, post_transform {transform}", "fix the file")
    if op in (Op.REDUCE_MIN, Op.REDUCE_MAX) and targets > 1:
        raise Outside("the least or most of several targets has no meaning", "use SUM")
    scores = _aggregated(b, op, x, forest, weights, np.zeros(0, np.float32))
    return [post_transform(b, _TRANSFORMS[transform], scores)]


_MODES = (*MODES, MEMBER)
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def _by_first_node(roots: Sequence[int], branches: Sequence[Branch]) -> list[int]:
    """Sorts trees by the first node of the list that is in each, and in none before."""
    seen: set[int] = set()
    firsts = []
    for root in roots:
        first, stack = root, [root]
        while stack:
            place = stack.pop()
            if place not in seen:
                seen.add(place)
                first = min(first, place)
                stack += branches[place].children
        firsts.append((first, root))
    return [root for _, root in sorted(firsts)]


def _listed(node: Source, features: int, limit: int) -> tuple[list[Branch], list[int]]:
    """Reads inner nodes, and behind them a leaf for each way that leads to one; and of each of
    these which leaf of the file it is."""
    splits = _floats(node, "nodes_splits", limit)
    modes = tensor_array(node.tensor("nodes_modes"), limit).reshape(-1).tolist()
    feature = node.integers("nodes_featureids")
    ways = [_way(node, way) for way in ("true", "false")]
    missing = node.integers("nodes_missing_value_tracks_true", ()) or (0,) * len(modes)
    if node.has("nodes_hitrates"):
        node.tensor("nodes_hitrates")  # how often a branch is taken; changes no result
    count = len(modes)
    if {splits.size, len(feature), len(missing), *map(len, ways)} != {count} or not count:
        raise Outside("its nodes attributes have no or different lengths", "fix the file")
    if any(mode not in range(len(_MODES)) for mode in modes):
        raise Outside("an unknown mode", "use comparisons and set membership")
    if any(not 0 <= f < features for f in feature):
        raise Outside(f"features {max(feature)} of {features}", "fix the file")
    members = _members(node, modes, limit)
    leaf_count = len(node.integers("leaf_targetids"))
    branches: list[Branch] = []
    leaves: list[int] = []
    for at in range(count):
        children = []
        for way in ways:
            target, is_leaf = way[at]
            if not 0 <= target < (leaf_count if is_leaf else count):
                raise Outside(f"a child of node {at} is not there", "fix the file")
            children.append(count + len(leaves) if is_leaf else target)
            leaves += [target] if is_leaf else []
        mode, split, (then, other) = _MODES[modes[at]], float(splits[at]), children
        set_ = members.get(at, ())
        branches.append(Branch(mode, feature[at], split, then, other, bool(missing[at]), set_))
    return before(branches, node.scaling) + [Branch(A_LEAF)] * len(leaves), leaves


def _members(node: Source, modes: Sequence[int], limit: int) -> dict[int, tuple[float, ...]]:
    """Gives the set of each node that asks for membership."""
    given: list[float] = []
    if node.has("membership_values"):
        given = _floats(node, "membership_values", limit).tolist()
    asking = [at for at, mode in enumerate(modes) if _MODES[mode] == MEMBER]
    return dict(zip(asking, sets(given, len(asking)), strict=True))


def _way(node: Source, way: str) -> list[tuple[int, int]]:
    """Gives for each node the place that it leads to, and whether that is a leaf."""
    places, leafs = node.integers(f"nodes_{way}nodeids"), node.integers(f"nodes_{way}leafs")
    if len(places) != len(leafs):
        raise Outside(f"nodes_{way}nodeids and nodes_{way}leafs differ in length", "fix the file")
    return list(zip(places, leafs, strict=True))


ONNX_ML: dict[str, Lowering] = {
    "TreeEnsemble": _ensemble,
    "TreeEnsembleRegressor": _regressor,
    "TreeEnsembleClassifier": _classifier,
}
