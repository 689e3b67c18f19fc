"""Windows times weights: sums in float64, a bound for each, and float32 written where it decides.

The error of a sum is at most γ·Σ|terms| (`sums`), and Σ|a_k·b_k| ≤ |a|·|b| by Cauchy and Schwarz.
Where both ends of sum ± error round alike, so does all between; the rest is summed again, exactly,
while its terms are still in the cache.
"""

from math import sqrt

import numpy as np

from oracle.exact.kernels.bands import fill, lengths
from oracle.exact.kernels.compiled import compiled, inlined
from oracle.exact.kernels.rounding import rounded_parts, special
from oracle.exact.kernels.tile import COMPENSATED, FILTERS, LANES, ROWS, TILES, VECTORS
from oracle.exact.sums import FLOOR, OPEN
from oracle.tensor import Array

_WIDTH = VECTORS * LANES
_HALF = ROWS // 2
_t11, _t12, _t13 = TILES[1, 1], TILES[1, 2], TILES[1, 3]
_th1, _th2, _th3 = TILES[_HALF, 1], TILES[_HALF, 2], TILES[_HALF, 3]
_tf1, _tf2, _tf3 = TILES[ROWS, 1], TILES[ROWS, 2], TILES[ROWS, 3]
_f11, _f12, _f13 = FILTERS[1, 1], FILTERS[1, 2], FILTERS[1, 3]
_ff1, _ff2, _ff3 = FILTERS[ROWS, 1], FILTERS[ROWS, 2], FILTERS[ROWS, 3]


def packed_size(groups: int, outputs: int, terms: int) -> int:
    return groups * -(-outputs // LANES) * LANES * terms


@compiled
def _panels(outputs: int) -> int:
    """Gives how many panels of nearly equal width the vectors of columns are divided into."""
    return (outputs + _WIDTH - 1) // _WIDTH


@compiled
def _panel(outputs: int, panel: int) -> tuple[int, int]:
    """Gives the first vector of a panel and how many vectors it has."""
    panels = _panels(outputs)
    vectors = (outputs + LANES - 1) // LANES
    least, more = vectors // panels, vectors % panels
    return panel * least + min(panel, more), least + (1 if panel < more else 0)


@compiled
def pack(w: Array, packed: Array, norms: Array) -> None:
    """Packs w [groups, outputs, terms] in the order in which tiles read it, one panel of columns
    after another, with zeros where there is no column; and writes the columns' lengths into `norms`
    [groups, outputs]."""
    groups, outputs, terms = w.shape
    vectors = (outputs + LANES - 1) // LANES
    for g in range(groups):
        for panel in range(_panels(outputs)):
            first, many = _panel(outputs, panel)
            to = (g * vectors + first) * LANES * terms
            width = many * LANES
            for lane in range(width):
                o = first * LANES + lane
                if o < outputs:
                    total = 0.0
                    for k in range(terms):
                        value = w[g, o, k]
                        packed[to + k * width + lane] = value
                        total += np.float64(value) * np.float64(value)
                    norms[g, o] = sqrt(total)
                else:
                    for k in range(terms):
                        packed[to + k * width + lane] = 0.0


@compiled
def contract(
    x: Array,
    b: Array,
    norms: Array,
    unit: float,
    bias: Array,
    numbers: tuple[int, ...],
    is_finite: bool,
    source: Array,
    segments: Array,
    starts: Array,
    pieces: Array,
    panels: Array,
    band: Array,
    out: Array,
) -> int:
    """Writes all elements of `out`; gives how many are OPEN. See `Contraction` and `Bands`."""
    (
        images, image, row, extent, rows, stride, reach, across, images_a_band, rows_a_band,
        groups, channels, outputs, b_step, bias_image, bias_window, bias_column,
    ) = numbers  # fmt: skip
    left = 0
    terms, vectors = _terms(pieces), (outputs + LANES - 1) // LANES
    sums, more = np.empty(ROWS * _WIDTH), np.empty(ROWS * _WIDTH)
    added, size, norm = np.empty(_WIDTH), np.empty(_WIDTH), np.empty(_WIDTH)
    found, step = np.empty(len(starts)), groups * outputs
    parts = np.empty(3 * LANES)
    words = out.view(np.uint32)
    # A band of several images may have a bias for each.
    is_one_bias = bias_window == 0 and (bias_image == 0 or images_a_band == 1)
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
            for panel in range(groups * _panels(outputs)):
                g, panel = divmod(panel, _panels(outputs))
                base, which = g * channels, n0 * b_step + g
                if panel == 0:
                    lengths(band, base, starts, windows, pieces, found)
                begin, many = _panel(outputs, panel)
                b_at = (which * vectors + begin) * LANES * terms
                column, width = begin * LANES, min(many * LANES, outputs - begin * LANES)
                for i in range(many * LANES):
                    norm[i] = unit * norms[which * outputs + column + i] if i < width else 0.0
                column += g * outputs
                for i in range(0, windows, ROWS):
                    tall = min(ROWS, windows - i)
                    _sum(tall, many, band, base, starts, i, pieces, panels, b, b_at, sums, more)
                    place = (first + i) * step + column
                    if is_one_bias:
                        if i == 0:
                            at = n0 * bias_image + column * bias_column
                            _add(bias, at, bias_column, width, many, unit, added, size)
                        if tall == ROWS and not _filter_tile(
                            many, sums, added, size, norm, found, i, out, place, step, width
                        ):
                            continue
                    for r in range(tall):
                        if not is_one_bias:
                            n, at = divmod(first + i + r, rows * across)
                            at = n * bias_image + at * bias_window + column * bias_column
                            _add(bias, at, bias_column, width, many, unit, added, size)
                        place = (first + i + r) * step + column
                        open_ = _filter_row(
                            many, sums, r, added, size, norm, found, i + r, out, place, width
                        )
                        for v in range(many):
                            if not open_ >> v * LANES & (1 << LANES) - 1:
                                continue
                            parts[:LANES] = added[v * LANES : (v + 1) * LANES]
                            parts[LANES:] = 0
                            at, b_v = base + starts[i + r], b_at + v * LANES
                            COMPENSATED(band, at, pieces, b, b_v, many * LANES, parts)
                            for n in range(LANES):
                                if not open_ >> v * LANES + n & 1:
                                    continue
                                at = v * LANES + n
                                s, at = sums[r * _WIDTH + at] + added[at], place + at
                                if np.isfinite(s):
                                    small, rest = parts[LANES + n], parts[2 * LANES + n]
                                    words[at] = rounded_parts(parts[n], small, rest)
                                else:
                                    words[at] = special(s, is_finite)
                                left += words[at] == OPEN
    return left


@compiled
def _terms(pieces: Array) -> int:
    """Counts the terms of one window."""
    total = 0
    for n in range(len(pieces)):
        total += pieces[n, 1]
    return total


@inlined
def _sum(
    tall: int,
    many: int,
    band: Array,
    base: int,
    starts: Array,
    row: int,
    pieces: Array,
    panels: Array,
    b: Array,
    at: int,
    sums: Array,
    more: Array,
) -> None:
    """Computes the sums of a tile, one panel of terms after another."""
    rows = ROWS if tall > _HALF else (_HALF if tall > 1 else 1)
    if len(panels) == 0:
        sums[:] = 0
        return
    past = panels[0, 1]
    _tile(rows, many, band, base, starts, row, pieces, 0, past, b, at, sums)
    for p in range(1, len(panels)):
        first, past = panels[p, 0], panels[p, 1]
        b_at = at + panels[p, 2] * many * LANES
        _tile(rows, many, band, base, starts, row, pieces, first, past, b, b_at, more)
        for i in range(tall * _WIDTH):
            sums[i] += more[i]


@compiled
def _add(
    bias: Array, at: int, step: int, width: int, many: int, unit: float, added: Array, size: Array
) -> None:
    """Writes the bias that is added to each sum of a row, and how far it widens the sum's bounds. A
    bias of zero widens them by FLOOR."""
    for i in range(many * LANES):
        value = bias[at + i * step] if i < width else 0.0
        added[i] = value
        size[i] = unit * abs(value) + FLOOR


@inlined
def _tile(
    rows: int,
    vectors: int,
    band: Array,
    base: int,
    starts: Array,
    row: int,
    pieces: Array,
    first: int,
    past: int,
    b: Array,
    at: int,
    sums: Array,
) -> None:
    if rows == ROWS:
        if vectors == 3:
            _tf3(band, base, starts, row, pieces, first, past, b, at, sums)
        elif vectors == 2:
            _tf2(band, base, starts, row, pieces, first, past, b, at, sums)
        else:
            _tf1(band, base, starts, row, pieces, first, past, b, at, sums)
    elif rows == _HALF:
        if vectors == 3:
            _th3(band, base, starts, row, pieces, first, past, b, at, sums)
        elif vectors == 2:
            _th2(band, base, starts, row, pieces, first, past, b, at, sums)
        else:
            _th1(band, base, starts, row, pieces, first, past, b, at, sums)
    elif vectors == 3:
        _t13(band, base, starts, row, pieces, first, past, b, at, sums)
    elif vectors == 2:
        _t12(band, base, starts, row, pieces, first, past, b, at, sums)
    else:
        _t11(band, base, starts, row, pieces, first, past, b, at, sums)


@inlined
def _filter_tile(
    vectors: int,
    sums: Array,
    added: Array,
    sizes: Array,
    norms: Array,
    lengths: Array,
    length: int,
    out: Array,
    at: int,
    step: int,
    width: int,
) -> int:
    if vectors == 3:
        return _ff3(sums, 0, added, sizes, norms, 0, 0, lengths, length, 1, out, at, step, width)
    if vectors == 2:
        return _ff2(sums, 0, added, sizes, norms, 0, 0, lengths, length, 1, out, at, step, width)
    return _ff1(sums, 0, added, sizes, norms, 0, 0, lengths, length, 1, out, at, step, width)


@inlined
def _filter_row(
    vectors: int,
    sums: Array,
    row: int,
    added: Array,
    sizes: Array,
    norms: Array,
    lengths: Array,
    length: int,
    out: Array,
    at: int,
    width: int,
) -> int:
    if vectors == 3:
        return _f13(sums, row, added, sizes, norms, 0, 0, lengths, length, 0, out, at, 0, width)
    if vectors == 2:
        return _f12(sums, row, added, sizes, norms, 0, 0, lengths, length, 0, out, at, 0, width)
    return _f11(sums, row, added, sizes, norms, 0, 0, lengths, length, 0, out, at, 0, width)
