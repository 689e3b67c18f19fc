"""What windows stand on: rows of some images as float64, padding included, in a core's cache.

`source` tells for each row of an image with its padding which row of the image it is, or −1;
`segments` [·, 3] where in the row, from where in the image's row, and how many elements.
"""

from math import sqrt

from oracle.exact.kernels.compiled import compiled, reordered
from oracle.tensor import Array


@compiled
def fill(
    band: Array,
    at: int,
    extent: int,
    x: Array,
    image: int,
    row: int,
    source: Array,
    segments: Array,
) -> None:
    """band[at…]: rows `source` of the image that begins at x[image], `row` elements a row; with its
    padding a row has `extent`."""
    for r in range(len(source)):
        to = at + r * extent
        if source[r] < 0 or len(segments) != 1 or segments[0, 2] != extent:
            for i in range(extent):
                band[to + i] = 0.0
        if source[r] >= 0:
            start = image + source[r] * row
            for n in range(len(segments)):
                into, out_of = to + segments[n, 0], start + segments[n, 1]
                for i in range(segments[n, 2]):
                    band[into + i] = x[out_of + i]


@reordered
def lengths(
    band: Array, base: int, starts: Array, windows: int, pieces: Array, found: Array
) -> None:
    """Of each window's elements as a vector."""
    for i in range(windows):
        total = 0.0
        for n in range(len(pieces)):
            at = base + starts[i] + pieces[n, 0]
            for k in range(pieces[n, 1]):
                total += band[at + k] * band[at + k]
        found[i] = sqrt(total)
