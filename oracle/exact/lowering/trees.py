"""Tree ensembles: every comparison becomes x ≤ t, every leaf a row of a table of weights.

TREE_WALK gives each row's leaf in each tree, GATHER that leaf's weights, REDUCE_SUM the exact sum.
Base values are one more tree of a single leaf, so that they are in the same sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.classes import classes, labelled
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.linear import rows
from oracle.exact.lowering.source import Lowering, Source, tensor_array
from oracle.exact.lowering.transcendental import post_transform, two_scores
from oracle.exact.ops.trees import ABOVE, BELOW, FEATURE, LEAF, MISSING, THRESHOLD, WIDTH
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.tensor import Array, canonical
from oracle.types import DType

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")


@dataclass(frozen=True, slots=True)
class _Branch:
    """A node as the file has it. Children are places in the list of nodes, −1 in a leaf."""

    mode: str
    feature: int
    threshold: float
    then: int
    other: int
    missing_is_true: bool


@dataclass(frozen=True, slots=True)
class _Forest:
    """Nodes and roots for TREE_WALK. `steps` is the longest walk. `leaves` maps (tree id, node id)
    to a row of the table of weights."""

    nodes: Array
    roots: Array
    steps: int
    leaves: dict[tuple[int, int], int]


def _regressor(b: Builder, node: Source) -> list[Operand]:
    x = rows(b, node.exactly(1)[0])
    targets = node.integer("n_targets")
    base = _base(node, targets)
    forest = _forest(node, x.type.shape[1])
    aggregate = node.text("aggregate_function", "SUM")
    weights, given = _weights(b, node, "target", forest, targets)
    if aggregate == "SUM":
        scores = _aggregated(b, Op.REDUCE_SUM, x, forest, weights, base)
    else:
        op = {"AVERAGE": Op.REDUCE_MEAN, "MIN": Op.REDUCE_MIN, "MAX": Op.REDUCE_MAX}.get(aggregate)
        if op is None:
            raise Outside(f"aggregate_function {aggregate} is unknown", "fix the file")
        if op is not Op.REDUCE_MEAN and not given.all():
            raise Outside(
                f"with {aggregate}, a leaf without a weight has no meaning",
                "give every leaf a weight for every target",
            )
        scores = _aggregated(b, op, x, forest, weights, np.zeros(0, np.float32))
        if base.any():
            scores = b.emit(Op.ADD, (scores, b.constant(base)))
    return [post_transform(b, node.text("post_transform", "NONE"), scores)]


def _classifier(b: Builder, node: Source) -> list[Operand]:
    """Emits label and scores. Cases of two classes are as in onnxruntime."""
    x = rows(b, node.exactly(1)[0])
    labels = classes(node, "classlabels_int64s")
    transform = node.text("post_transform", "NONE")
    ids = set(node.integers("class_ids"))
    forest = _forest(node, x.type.shape[1])
    if len(labels) < 2:
        raise Outside("a classifier of one class", "give it two classes or more")
    if len(labels) == 2 and ids != {0, 1}:
        return _one_column(b, node, x, forest, labels, transform, ids)
    base = _base(node, len(labels))
    weights, _ = _weights(b, node, "class", forest, len(labels))
    if len(labels) == 2:
        _check_opposite(weights, base, labels)
    scores = _aggregated(b, Op.REDUCE_SUM, x, forest, weights, base)
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
    forest: _Forest,
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
    base = _base(node, 1)
    weights, _ = _weights(b, node, "class", forest, 1)
    s = _aggregated(b, Op.REDUCE_SUM, x, forest, weights, base)
    margin = bool((weights < 0).any())
    wins = b.emit(Op.LESS, (b.scalar(0 if margin else 0.5), s))
    label = labelled(b, cast(b, b.reshape(wins, wins.type.shape[:1]), DType.INT64), labels)
    return [label, two_scores(b, s, transform, margin)]


def _base(node: Source, count: int) -> Array:
    base = node.reals("base_values")
    if base.size not in (0, count):
        raise Outside(
            f"it has {base.size} base values for {count} scores", "give none, or one each"
        )
    return base


def _aggregated(
    b: Builder, op: Op, x: Operand, forest: _Forest, weights: Array, base: Array
) -> Operand:
    """Emits [N, C] from leaf weights [leaves, C]. What is aggregated is laid out [C, N, trees], so
    that the terms of a sum are neighbours."""
    nodes, roots = forest.nodes, forest.roots
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
    b: Builder, node: Source, prefix: str, forest: _Forest, count: int
) -> tuple[Array, Array]:
    """Reads leaf weights [leaves, count], zero where the file gives none, and says where it gives
    one."""
    trees, nodes = node.integers(f"{prefix}_treeids"), node.integers(f"{prefix}_nodeids")
    ids, values = node.integers(f"{prefix}_ids"), canonical(node.reals(f"{prefix}_weights"))
    if not len(trees) == len(nodes) == len(ids) == values.size:
        raise Outside(
            f"its {prefix} attributes have lengths {len(trees)}, {len(nodes)}, {len(ids)} and "
            f"{values.size}",
            "fix the file",
        )
    if count < 1 or len(forest.leaves) * count > b.limits.elements:
        raise Outside(f"{len(forest.leaves)} leaves by {count} {prefix} ids", "use a smaller model")
    weights = np.zeros((len(forest.leaves), count), np.float32)
    given = np.zeros(weights.shape, np.bool_)
    for tree, number, id_, value in zip(trees, nodes, ids, values, strict=True):
        leaf = forest.leaves.get((tree, number))
        if leaf is None:
            raise Outside(f"a weight for node {number} of tree {tree}, no leaf", "fix the file")
        if not 0 <= id_ < count:
            raise Outside(f"{prefix} id {id_} is not below {count}", "fix the file")
        if given[leaf, id_]:
            raise Outside(f"two weights for one leaf and {prefix} id {id_}", "fix the file")
        weights[leaf, id_], given[leaf, id_] = value, True
    return weights, given


def _forest(node: Source, features: int) -> _Forest:
    branches, keys = _branches(node, features)
    roots = _roots(branches, keys)
    return _laid_out(branches, keys, roots)


def _branches(node: Source, features: int) -> tuple[list[_Branch], list[tuple[int, int]]]:
    trees, numbers = node.integers("nodes_treeids"), node.integers("nodes_nodeids")
    modes = node.texts("nodes_modes")
    columns: dict[str, Sequence[int]] = {
        name: node.integers(f"nodes_{name}")
        for name in ("featureids", "truenodeids", "falsenodeids")
    }
    missing = node.integers("nodes_missing_value_tracks_true", ()) or (0,) * len(modes)
    values = canonical(node.reals("nodes_values"))
    node.reals("nodes_hitrates")  # how often a branch is taken; changes no result
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
        if mode not in _MODES:
            raise Outside(f"mode {mode!r} is unknown", "fix the file")
        if mode == "LEAF":
            branches.append(_Branch(mode, 0, 0.0, -1, -1, False))
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
            _Branch(mode, feature, float(values[place]), then, other, bool(missing[place]))
        )
    return branches, keys


def _roots(branches: Sequence[_Branch], keys: Sequence[tuple[int, int]]) -> list[int]:
    """Gives each tree's root, the one node that is no child, in the order of the trees' first
    nodes. Raises Outside where a tree has none or two, or a node has two parents."""
    is_child = [False] * len(branches)
    for branch in branches:
        for child in (branch.then, branch.other) if branch.mode != "LEAF" else ():
            if is_child[child]:
                raise Outside(
                    f"node {keys[child][1]} of tree {keys[child][0]} has two parents",
                    "fix the file",
                )
            is_child[child] = True
    roots: dict[int, int] = {}
    for place, (tree, _) in enumerate(keys):
        if not is_child[place]:
            if tree in roots:
                raise Outside(f"tree {tree} has two roots", "fix the file")
            roots[tree] = place
    for tree, _ in keys:
        if tree not in roots:
            raise Outside(f"tree {tree} is a cycle", "fix the file")
    order = dict.fromkeys(tree for tree, _ in keys)
    return [roots[tree] for tree in order]


def _laid_out(
    branches: Sequence[_Branch], keys: Sequence[tuple[int, int]], roots: Sequence[int]
) -> _Forest:
    """Lays nodes out for TREE_WALK, each behind its parent. An EQ or NEQ takes two."""
    order, depths = [], []
    stack = [(root, 0) for root in reversed(roots)]
    while stack:
        place, depth = stack.pop()
        order.append(place)
        depths.append(depth)
        branch = branches[place]
        if branch.mode != "LEAF":
            steps = _comparisons(branch)
            stack += [(branch.other, depth + steps), (branch.then, depth + steps)]
    if len(order) != len(branches):
        raise Outside("a tree has nodes in a cycle, out of reach of its root", "fix the file")
    at, size = [0] * len(branches), 0
    for place in order:
        at[place] = size
        size += _comparisons(branches[place])
    nodes = np.zeros((size, WIDTH), np.int32)
    leaves: dict[tuple[int, int], int] = {}
    for place in order:
        row, branch = at[place], branches[place]
        if branch.mode == "LEAF":
            nodes[row, [BELOW, ABOVE, MISSING]] = row
            nodes[row, LEAF] = leaves[keys[place]] = len(leaves)
        else:
            _write(nodes, row, branch, at[branch.then], at[branch.other])
    return _Forest(nodes, np.array([at[root] for root in roots], np.int32), max(depths), leaves)


def _comparisons(branch: _Branch) -> int:
    return 2 if branch.mode in ("BRANCH_EQ", "BRANCH_NEQ") else 1


def _write(nodes: Array, row: int, branch: _Branch, then: int, other: int) -> None:
    """Writes the comparison as x ≤ t. x < t is x ≤ the float32 below t. NaN compares false, except
    by ≠."""
    nodes[row, FEATURE] = branch.feature
    false_for_nan = then if branch.mode == "BRANCH_NEQ" else other
    missing = then if branch.missing_is_true else false_for_nan
    t = np.float32(branch.threshold)
    with np.errstate(over="ignore"):
        below_t = np.nextafter(t, np.float32(-np.inf))
    match branch.mode:
        case _ if np.isnan(t):
            _compare(nodes, row, np.float32(0), false_for_nan, false_for_nan, missing)
            if _comparisons(branch) == 2:  # no walk comes here
                _compare(nodes, row + 1, np.float32(0), then, other, missing)
        case "BRANCH_LEQ":
            _compare(nodes, row, t, then, other, missing)
        case "BRANCH_GT":
            _compare(nodes, row, t, other, then, missing)
        case "BRANCH_LT":
            _compare(nodes, row, below_t, other if t == -np.inf else then, other, missing)
        case "BRANCH_GTE":
            _compare(nodes, row, below_t, then if t == -np.inf else other, then, missing)
        case _:
            equal, unequal = (then, other) if branch.mode == "BRANCH_EQ" else (other, then)
            _compare(nodes, row, t, row + 1, unequal, missing)
            nodes[row + 1, FEATURE] = branch.feature
            _compare(nodes, row + 1, below_t, equal if t == -np.inf else unequal, equal, missing)


def _compare(
    nodes: Array, row: int, threshold: np.float32, below: int, above: int, missing: int
) -> None:
    bits = int(canonical(np.array(threshold, np.float32)).view(np.int32))
    nodes[row, [THRESHOLD, BELOW, ABOVE, MISSING]] = bits, below, above, missing


def _ensemble(b: Builder, node: Source) -> list[Operand]:
    """Lowers TreeEnsemble, where inner nodes and leaves have lists of their own."""
    x = rows(b, node.exactly(1)[0])
    targets = node.integer("n_targets")
    branches, keys, leaves = _listed(b, node, x.type.shape[1])
    forest = _laid_out(branches, keys, _roots(branches, keys))
    given = _floats(b, node, "leaf_weights")
    ids = node.integers("leaf_targetids")
    if given.size != len(ids) or not all(0 <= id_ < targets for id_ in ids):
        raise Outside(f"{given.size} leaf weights for targets {ids}", "fix the file")
    if len(forest.leaves) * targets > b.limits.elements:
        raise Outside(f"{len(forest.leaves)} leaves by {targets} targets", "use a smaller model")
    weights = np.zeros((len(forest.leaves), targets), np.float32)
    for key, row in forest.leaves.items():
        weights[row, ids[leaves[key]]] = given[leaves[key]]
    kind = node.integer("aggregate_function", 1)
    op = {0: Op.REDUCE_MEAN, 1: Op.REDUCE_SUM, 2: Op.REDUCE_MIN, 3: Op.REDUCE_MAX}.get(kind)
    transform = node.integer("post_transform", 0)
    if op is None or not 0 <= transform < len(_TRANSFORMS):
        raise Outside(f"aggregate {kind}, post_transform {transform}", "fix the file")
    if op in (Op.REDUCE_MIN, Op.REDUCE_MAX) and targets > 1:
        raise Outside("the least or most of several targets has no meaning", "use SUM")
    scores = _aggregated(b, op, x, forest, weights, np.zeros(0, np.float32))
    return [post_transform(b, _TRANSFORMS[transform], scores)]


_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def _floats(b: Builder, node: Source, name: str) -> Array:
    array = tensor_array(node.tensor(name), b.limits.elements)
    if array.dtype != np.float32:
        raise Outside(f"its {name} are {array.dtype}", "use float32")
    return canonical(array.reshape(-1))


def _listed(
    b: Builder, node: Source, features: int
) -> tuple[list[_Branch], list[tuple[int, int]], dict[tuple[int, int], int]]:
    """Reads branches and keys in the form of the older ops, and a map from a leaf's key to its
    place in the file. A leaf gets a key for each branch that leads to it."""
    splits = _floats(b, node, "nodes_splits")
    modes = tensor_array(node.tensor("nodes_modes"), b.limits.elements).reshape(-1).tolist()
    feature = node.integers("nodes_featureids")
    ways = [_way(node, way) for way in ("true", "false")]
    missing = node.integers("nodes_missing_value_tracks_true", ()) or (0,) * len(modes)
    if node.has("nodes_hitrates"):
        node.tensor("nodes_hitrates")  # how often a branch is taken; changes no result
    count = len(modes)
    if {splits.size, len(feature), len(missing), *map(len, ways)} != {count} or not count:
        raise Outside("its nodes attributes have no or different lengths", "fix the file")
    if any(mode not in range(len(_MODES) - 1) for mode in modes):
        raise Outside("set membership or an unknown mode", "use comparisons")
    if any(not 0 <= f < features for f in feature):
        raise Outside(f"features {max(feature)} of {features}", "fix the file")
    leaf_count = len(node.integers("leaf_targetids"))
    children: list[tuple[int, int]] = []
    leaves: list[int] = []
    for at in range(count):
        pair = []
        for way in ways:
            target, is_leaf = way[at]
            if not 0 <= target < (leaf_count if is_leaf else count):
                raise Outside(f"a child of node {at} is not there", "fix the file")
            pair.append(count + len(leaves) if is_leaf else target)
            leaves += [target] if is_leaf else []
        children.append((pair[0], pair[1]))
    trees = _members(node.integers("tree_roots"), children)
    branches = [
        _Branch(_MODES[modes[at]], feature[at], float(splits[at]), *children[at], bool(missing[at]))
        for at in range(count)
    ] + [_Branch("LEAF", 0, 0.0, -1, -1, False)] * len(leaves)
    keys = [(tree, place) for place, tree in enumerate(trees)] + [(-1, 0)] * len(leaves)
    for at, both in enumerate(children):
        for child in both:
            if child >= count:
                keys[child] = (trees[at], child)
    return branches, keys, {keys[count + at]: leaf for at, leaf in enumerate(leaves)}


def _way(node: Source, way: str) -> list[tuple[int, int]]:
    """Gives for each node the place that it leads to, and whether that is a leaf."""
    places, leafs = node.integers(f"nodes_{way}nodeids"), node.integers(f"nodes_{way}leafs")
    if len(places) != len(leafs):
        raise Outside(f"nodes_{way}nodeids and nodes_{way}leafs differ in length", "fix the file")
    return list(zip(places, leafs, strict=True))


def _members(roots: Sequence[int], children: Sequence[Sequence[int]]) -> list[int]:
    """Gives the tree of each inner node. Raises Outside where that is none or two."""
    trees = [-1] * len(children)
    for tree, root in enumerate(roots):
        stack = [root]
        while stack:
            place = stack.pop()
            if not 0 <= place < len(children) or trees[place] >= 0:
                raise Outside(f"node {place} is not there, or in two trees", "fix the file")
            trees[place] = tree
            stack += [child for child in children[place] if child < len(children)]
    if -1 in trees:
        raise Outside("a node belongs to no tree", "fix the file")
    return trees


ONNX_ML: dict[str, Lowering] = {
    "TreeEnsemble": _ensemble,
    "TreeEnsembleRegressor": _regressor,
    "TreeEnsembleClassifier": _classifier,
}
