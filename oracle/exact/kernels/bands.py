"""Bands: rows of some images as float64, padding included, small enough for a core's cache.

`source` tells for each row of an image with its padding which row of the image it is, or −1;
`segments` [·, 3] where in the row, from where in the image's row, and how many elements.
"""

from math import sqrt

from oracle.exact.kernels.compiled import compiled
from oracle.exact.kernels.tile import SQUARE
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
    """Fills band[at…] with the rows `source` of the image that begins at x[image]. A row has `row`
    elements in the image and `extent` elements with its padding."""
    is_whole = len(segments) == 1 and segments[0, 2] == extent
    for r in range(len(source)):
        line = band[at + r * extent : at + (r + 1) * extent]
        if source[r] < 0:
            line[:] = 0
            continue
        if not is_whole:
            line[:] = 0
        start = image + source[r] * row
        for n in range(len(segments)):
            some = segments[n, 2]
            into = line[segments[n, 0] : segments[n, 0] + some]
            out_of = x[start + segments[n, 1] : start + segments[n, 1] + some]
            for i in range(some):
                into[i] = out_of[i]


@compiled
def lengths(
    band: Array, base: int, starts: Array, windows: int, pieces: Array, found: Array
) -> None:
    """Writes the Euclidean length of each window's elements, taken as a vector."""
    for i in range(windows):
        found[i] = sqrt(SQUARE(band, base + starts[i], pieces))
