"""Convolutions whose groups have one channel each.

Each output has few terms, so their sizes are summed as well, for the error bound. A bound by the
largest element of a channel would leave the output of a window of zeros open.
"""

import numpy as np

from oracle.exact.kernels.bands import fill
from oracle.exact.kernels.compiled import compiled
from oracle.exact.kernels.rounding import LANES as EXACT_LANES
from oracle.exact.kernels.rounding import rounded_terms, special
from oracle.exact.kernels.tile import CHANNELWISE, CHANNELWISE_ROWS, FILTERS, LANES, VECTORS
from oracle.exact.sums import FLOOR, OPEN
from oracle.tensor import Array

_ROWS = CHANNELWISE_ROWS
_WIDTH = VECTORS * LANES
_sum, _filter_tile, _filter_row = CHANNELWISE, FILTERS[CHANNELWISE_ROWS, 1], FILTERS[1, 1]


def packed_size(channels: int, many: int, terms: int) -> int:
    return many * -(-channels // LANES) * LANES * terms


@compiled
def pack(w: Array, packed: Array) -> None:
    """Packs w [channels, many, taps] as [many, vectors, taps, LANES]."""
    channels, many, terms = w.shape
    packed[:] = 0
    for c in range(channels):
        for j in range(many):
            vector = j * ((channels + LANES - 1) // LANES) + c // LANES
            for k in range(terms):
                packed[(vector * terms + k) * LANES + c % LANES] = w[c, j, k]


@compiled
def channelwise(
    x: Array,
    w: Array,
    unit: float,
    bias: Array,
    numbers: tuple[int, ...],
    is_finite: bool,
    source: Array,
    segments: Array,
    starts: Array,
    taps: Array,
    band: Array,
    out: Array,
) -> int:
    """Writes all elements of `out`, and gives how many are OPEN, as `contraction.contract` does."""
    (
        images, image, row, extent, rows, stride, reach, across, images_a_band, rows_a_band,
        channels, many, bias_column,
    ) = numbers  # fmt: skip
    left = 0
    terms, vectors = len(taps), (channels + LANES - 1) // LANES
    sums, sizes = np.empty(_ROWS * _WIDTH), np.empty(_ROWS * LANES)
    added, size = np.zeros(LANES), np.empty(LANES)
    line, units = np.empty(LANES, np.float32), np.full(1, unit)
    exact, lanes = np.empty(terms + 1), np.empty(3 * EXACT_LANES)
    words = out.view(np.uint32)
    for n0 in range(0, images, images_a_band):
        some_images = min(images_a_band, images - n0)
        for r0 in range(0, rows, rows_a_band):
            some_rows = min(rows_a_band, rows - r0)
            needed = source[r0 * stride : (r0 + some_rows - 1) * stride + reach]
            for n in range(some_images):
                to = n * ((rows_a_band - 1) * stride + reach) * extent
                fill(band, to, extent, x, (n0 + n) * image, row, needed, segments)
            windows = some_images * some_rows * across
            first = (n0 * rows + r0) * across
            for part in range(many * vectors):
                j, c0 = part // vectors, part % vectors * LANES
                width = min(LANES, channels - c0)
                for i in range(LANES):
                    if i < width:
                        added[i] = bias[((c0 + i) * many + j) * bias_column]
                    size[i] = unit * abs(added[i]) + FLOOR
                w_at = part * terms * LANES
                for i in range(0, windows, _ROWS):
                    _sum(band, c0, starts, i, taps, w, w_at, sums, sizes)
                    place = ((first + i) * channels + c0) * many + j
                    if many == 1 and windows - i >= _ROWS and not _filter_tile(
                        sums, 0, added, size, sizes, 0, LANES, units, 0, 0, out, place, channels,
                        width,
                    ):  # fmt: skip
                        continue
                    for r in range(min(_ROWS, windows - i)):
                        open_ = _filter_row(
                            sums, r, added, size, sizes, r * LANES, 0, units, 0, 0, line, 0, 0,
                            width,
                        )  # fmt: skip
                        for at in range(width):
                            to = place + (r * channels + at) * many
                            out[to] = line[at]
                            if not open_ >> at & 1:
                                continue
                            s = sums[r * _WIDTH + at] + added[at]
                            if np.isfinite(s):
                                start = c0 + starts[i + r] + at
                                for n in range(terms):
                                    weight = np.float64(w[w_at + n * LANES + at])
                                    exact[n] = band[start + taps[n, 0]] * weight
                                exact[terms] = added[at]
                                words[to] = rounded_terms(exact, terms + 1, lanes)
                            else:
                                words[to] = special(s, is_finite)
                            left += words[to] == OPEN
    return left
