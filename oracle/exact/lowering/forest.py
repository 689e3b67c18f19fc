"""Trees as a file has them, laid out as TREE_WALK's table: every comparison becomes x ≤ t.

Nodes may share what follows them: the table's rows point anywhere behind themselves, so a node that
several lead to is one row, as it is one node of the file.

Thresholds may be float64 while x is a float32. Let a be the greatest float32 that is at most t, and
b the greatest that is less than t. No float32 lies between a and t, nor between b and t; so

    x ≤ t   just where  x ≤ a                   x > t   just where not
    x < t   just where  x ≤ b                   x ≥ t   just where not
    x = t   just where  x ≤ a and not x ≤ b     x ≠ t   just where not

and of a t that is no float32 a = b, so that nothing equals it. Of t = −∞ there is no b: nothing is
less, and what is at most that equals it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan

import numpy as np

from oracle.exact.ops.trees import ABOVE, BELOW, FEATURE, LEAF, MISSING, THRESHOLD, WIDTH
from oracle.exact.primitive import Outside
from oracle.tensor import Array, canonical

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
MEMBER, A_LEAF = "BRANCH_MEMBER", "LEAF"


@dataclass(frozen=True, slots=True)
class Branch:
    """A node as the file has it. Children are places in the list of nodes, −1 in a leaf."""

    mode: str
    feature: int = 0
    threshold: float = 0.0
    then: int = -1
    other: int = -1
    missing_is_true: bool = False
    members: tuple[float, ...] = ()
    """Of BRANCH_MEMBER, which holds where x is one of them."""

    @property
    def children(self) -> tuple[int, ...]:
        return () if self.mode == A_LEAF else (self.then, self.other)


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes and roots for TREE_WALK. `steps` is the longest walk. `leaves` maps a leaf's place in
    the list of nodes to what TREE_WALK gives there."""

    nodes: Array
    roots: Array
    steps: int
    leaves: dict[int, int]


def laid_out(branches: Sequence[Branch], names: Sequence[str], roots: Sequence[int]) -> Forest:
    """Lays nodes out for TREE_WALK, each behind all that lead to it. Raises Outside, with a node's
    name, where nodes lead to each other in a cycle, or no root leads to one."""
    order = _ordered(branches, names, roots)
    if len(order) < len(branches):
        lost = min(set(range(len(branches))) - set(order))
        raise Outside(f"no root leads to {names[lost]}, as in a cycle", "fix the file")
    branches = _with_sets(branches, order)
    order = _ordered(branches, names, roots)
    at, size = [0] * len(branches), 0
    for place in order:
        at[place] = size
        size += _rows(branches[place])
    nodes = np.zeros((size, WIDTH), np.int32)
    leaves: dict[int, int] = {}
    depths = [0] * len(branches)
    for place in order:
        row, branch = at[place], branches[place]
        if branch.mode == A_LEAF:
            nodes[row, [BELOW, ABOVE, MISSING]] = row
            nodes[row, LEAF] = leaves[place] = len(leaves)
            continue
        _write(nodes, row, branch, at[branch.then], at[branch.other])
        for child in branch.children:
            depths[child] = max(depths[child], depths[place] + _comparisons(branch))
    steps = max((depths[place] for place in order), default=0)
    return Forest(nodes, np.array([at[root] for root in roots], np.int32), steps, leaves)


def _ordered(branches: Sequence[Branch], names: Sequence[str], roots: Sequence[int]) -> list[int]:
    """Lists the nodes that roots lead to, each behind all that lead to it, what is true first.

    A node is done when all behind it are; the order in which nodes are done is reversed.
    """
    ahead, open_, done = range(3)
    states = [ahead] * len(branches)
    order: list[int] = []
    for root in reversed(roots):
        stack = [root]
        while stack:
            place = stack[-1]
            if states[place] == ahead:
                states[place] = open_
                for child in branches[place].children:
                    if states[child] == open_:
                        raise Outside(f"a cycle of nodes leads to {names[child]}", "fix the file")
                    stack.append(child)
                continue
            if states[stack.pop()] == open_:
                states[place] = done
                order.append(place)
    return order[::-1]


def _with_sets(branches: Sequence[Branch], order: Iterable[int]) -> list[Branch]:
    """Makes a set of each chain of equalities that lead to one node: x = a, else x = b, else ….

    So converters write a split by categories. As a set it takes a walk of log₂ of their number,
    which one transaction can prove, and not a step for each. NaN leaves a chain where the first of
    its nodes says that it is true, else at the end.
    """
    made = list(branches)
    within: set[int] = set()
    for place in order:
        if place in within:
            continue
        chain = [branches[place]]
        while _continues(chain[-1], branches[chain[-1].other]):
            within.add(chain[-1].other)
            chain.append(branches[chain[-1].other])
        if len(chain) > 1:
            made[place] = replace(
                chain[0],
                mode=MEMBER,
                members=tuple(link.threshold for link in chain),
                other=chain[-1].other,
                missing_is_true=any(link.missing_is_true for link in chain),
            )
    return made


def _continues(one: Branch, next_: Branch) -> bool:
    return (
        one.mode == next_.mode == "BRANCH_EQ"
        and one.feature == next_.feature
        and one.then == next_.then
    )


def _rows(branch: Branch) -> int:
    """Counts the rows of the table that a node takes."""
    if branch.mode == MEMBER:
        return max(1, len(_pieces(branch)) - 1)
    return 2 if branch.mode in ("BRANCH_EQ", "BRANCH_NEQ") else 1


def _comparisons(branch: Branch) -> int:
    """Counts the most comparisons of a walk through a node."""
    if branch.mode == MEMBER:
        return max(1, (len(_pieces(branch)) - 1).bit_length())
    return _rows(branch)


def _write(nodes: Array, row: int, branch: Branch, then: int, other: int) -> None:
    """Writes the comparison as x ≤ t. NaN compares false, except by ≠."""
    nodes[row, FEATURE] = branch.feature
    false_for_nan = then if branch.mode == "BRANCH_NEQ" else other
    missing = then if branch.missing_is_true else false_for_nan
    if branch.mode == MEMBER:
        nodes[row : row + _rows(branch), FEATURE] = branch.feature
        _search(nodes, row, _pieces(branch), then, other, missing)
        return
    if isnan(branch.threshold):
        _compare(nodes, row, 0, false_for_nan, false_for_nan, missing)
        if _rows(branch) == 2:  # no walk comes here
            _compare(nodes, row + 1, 0, then, other, missing)
        return
    least = branch.threshold == -inf
    upper, below = at_most(branch.threshold), _below(branch.threshold)
    match branch.mode:
        case "BRANCH_LEQ":
            _compare(nodes, row, upper, then, other, missing)
        case "BRANCH_GT":
            _compare(nodes, row, upper, other, then, missing)
        case "BRANCH_LT":
            _compare(nodes, row, below, other if least else then, other, missing)
        case "BRANCH_GTE":
            _compare(nodes, row, below, then if least else other, then, missing)
        case _:
            equal, unequal = (then, other) if branch.mode == "BRANCH_EQ" else (other, then)
            _compare(nodes, row, upper, row + 1, unequal, missing)
            nodes[row + 1, FEATURE] = branch.feature
            _compare(nodes, row + 1, below, equal if least else unequal, equal, missing)


def _compare(
    nodes: Array, row: int, threshold: float, below: int, above: int, missing: int
) -> None:
    bits = int(canonical(np.array(threshold, np.float32)).view(np.int32))
    nodes[row, [THRESHOLD, BELOW, ABOVE, MISSING]] = bits, below, above, missing


def at_most(threshold: float) -> float:
    """Gives the greatest float32 that is at most t; NaN of NaN."""
    with np.errstate(all="ignore"):
        near = float(np.float32(threshold))
    return near if near <= threshold else _before(near)


def at_least(threshold: float) -> float:
    """Gives the least float32 that is at least t; NaN of NaN."""
    return -at_most(-threshold)


def _below(threshold: float) -> float:
    """Gives the greatest float32 that is less than t; −∞ of −∞, where there is none."""
    near = at_most(threshold)
    return near if near < threshold else _before(near)


def _before(number: float) -> float:
    """Gives the next float32 on the way to −∞."""
    with np.errstate(over="ignore"):
        return float(np.nextafter(np.float32(number), np.float32(-inf)))


def _pieces(branch: Branch) -> list[tuple[float, bool]]:
    """Cuts the float32 into pieces, in and out of a set: where each ends, and whether it is in. The
    last ends at +∞; a member that is no float32 equals no x."""
    pieces: list[tuple[float, bool]] = []
    for member in sorted(set(filter(_is_float32, branch.members))):
        if member > -inf and (not pieces or pieces[-1][0] < _below(member)):
            pieces.append((_below(member), False))
        pieces.append((member, True))
    return pieces if pieces and pieces[-1][0] == inf else [*pieces, (inf, False)]


def _is_float32(member: float) -> bool:
    return at_most(member) == member


def _search(
    nodes: Array,
    row: int,
    pieces: Sequence[tuple[float, bool]],
    then: int,
    other: int,
    missing: int,
) -> int:
    """Writes a search for the piece that x lies in, by halves, and gives the row behind it."""
    if len(pieces) < 2:
        way = then if pieces[0][1] else other
        _compare(nodes, row, pieces[0][0], way, way, missing)
        return row + 1
    half = len(pieces) // 2
    ways = []
    behind = row + 1
    for part in (pieces[:half], pieces[half:]):
        if len(part) == 1:
            ways.append(then if part[0][1] else other)
        else:
            ways.append(behind)
            behind = _search(nodes, behind, part, then, other, missing)
    below, above = ways
    _compare(nodes, row, pieces[half - 1][0], below, above, missing)
    return behind


def sets(members: Sequence[float], count: int) -> Iterator[tuple[float, ...]]:
    """Splits members at each NaN, which stands between the sets or behind each."""
    cuts = [-1, *(at for at, member in enumerate(members) if isnan(member)), len(members)]
    parts = [tuple(members[one + 1 : next_]) for one, next_ in zip(cuts, cuts[1:], strict=False)]
    if len(parts) == count + 1 and not parts[-1]:
        parts.pop()
    if len(parts) != count:
        raise Outside(f"it has {len(parts)} sets of members for {count} nodes", "fix the file")
    if not all(parts):
        raise Outside("a set of members is empty", "fix the file")
    return iter(parts)
