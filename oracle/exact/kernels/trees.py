"""Walks through trees: all rows a step down one tree at a time, which the cache holds.

A node is eight int32 as in `ops/trees.py`, read as uint32 so that no index may be negative;
`thresholds` is the same memory read as float32.
"""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.tensor import Array

_FEATURE, _THRESHOLD, _BELOW, _ABOVE, _MISSING, _LEAF = range(6)


@compiled
def depths(nodes: Array, roots: Array, steps: int) -> Array:
    """Gives the most steps of any walk from each root, or `steps` for all where a node's successor
    does not stand behind it."""
    below = np.zeros(len(nodes), np.int64)
    for at in range(len(nodes) - 1, -1, -1):
        if nodes[at, _BELOW] == at:
            continue
        for successor in nodes[at, _BELOW : _MISSING + 1]:
            if successor <= at:
                return np.full(len(roots), steps, np.int64)
            below[at] = max(below[at], below[successor] + 1)
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
