"""Walks through trees: all rows a step down one tree at a time, which the cache holds.

A node is eight int32 as in `ops/trees.py`, read as uint32 so that no index may be negative;
`thresholds` is the same memory read as float32.
"""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.tensor import Array

_FEATURE, _THRESHOLD, _BELOW, _ABOVE, _MISSING, _LEAF = range(6)
_DONE = 4
ENDLESS = 1 << 62


@compiled
def depths(nodes: Array, roots: Array) -> Array:
    """Gives the most steps of any walk from each root: ENDLESS for all where one from some root may
    go round in a circle.

    It goes down from each root and comes back over every node once, so each of a node's ways is
    looked at twice at most, whatever shares or repeats what."""
    below = np.zeros(len(nodes), np.int64)
    turns = np.zeros(len(nodes), np.uint8)  # 1, 2, 3: the way that is looked at on the path
    path = np.empty(len(nodes), np.uint32)
    for root in roots:
        if turns[root] == _DONE:
            continue
        path[0], length = root, 1
        turns[root] = 1
        while length > 0:
            at = path[length - 1]
            if nodes[at, _BELOW] == at:
                turns[at] = _DONE
            if turns[at] == _DONE:
                length -= 1
                continue
            onward = nodes[at, _BELOW + turns[at] - 1]
            if turns[onward] == _DONE:
                below[at] = max(below[at], below[onward] + 1)
                turns[at] += 1
            elif turns[onward]:
                return np.full(len(roots), ENDLESS, np.int64)
            else:
                path[length] = onward
                length += 1
                turns[onward] = 1
    return below[roots]


@compiled
def walk(
    x: Array, nodes: Array, thresholds: Array, roots: Array, depths: Array, out: Array
) -> None:
    """Sets `out` [rows, trees] to what the leaves give; x is [rows, features]. All but x and the
    thresholds are uint32."""
    places = np.empty(len(x), np.uint32)
    for tree in range(len(roots)):
        places[:] = roots[tree]
        for _ in range(depths[tree]):
            for row in range(len(x)):
                at = places[row]
                value, threshold = x[row, nodes[at, _FEATURE]], thresholds[at, _THRESHOLD]
                # All three are read, so that one is chosen without a branch to guess.
                below, above, missing = nodes[at, _BELOW], nodes[at, _ABOVE], nodes[at, _MISSING]
                onward = above if value > threshold else below
                places[row] = onward if value == value else missing
        for row in range(len(x)):
            out[row, tree] = nodes[places[row], _LEAF]
