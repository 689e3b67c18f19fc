"""DOT's filter and what redoes its leavings: every path, at the sizes where they change."""

import numpy as np
import pytest

from oracle.exact import bands, contraction
from oracle.exact.contraction import Contraction, Weights
from oracle.exact.patches import Axis
from oracle.exact.program import Op
from oracle.exact.sums import OPEN
from oracle.tensor import Array, canonical
from tests.oracles import (
    bits,
    exact_dot,
    fast,
    floats,
    lossy_terms,
    plain,
    random_floats,
    same,
)

LENGTHS = [1, 255, 256, 257, 511, 512, 513, 4608, 14336]


def rows(rng: np.random.Generator, k: int) -> Array:
    """Ordinary, wide, zero, sparse, subnormal, large, ties, and what cancels, infinite and NaN."""
    a = random_floats(rng, (12, k), 2)
    a[1] = random_floats(rng, (k,), 60)
    a[2] = 0
    a[3, 1:] = 0
    a[4] *= np.float32(2.0**-140)
    a[5] *= np.float32(2.0**120)
    a[6] = 2.0**-24
    a[6, 0] = floats([0x3F800001])[0]
    a[7] = rng.integers(-4096, 4096, k)
    a[8, : k // 2] = -a[8, k - k // 2 :]
    a[9, -1] = np.inf
    a[10, 0] = np.nan
    a[11, : k // 2] = a[11, k - k // 2 :]
    return canonical(a)


def columns(rng: np.random.Generator, k: int) -> Array:
    b = random_floats(rng, (7, k), 2)
    b[1] = 1
    b[2] = 0
    b[3] = rng.integers(-4096, 4096, k)
    b[4, : k // 2] = -b[4, k - k // 2 :]
    b[5] *= np.float32(2.0**-120)
    b[6, 0] = -np.inf
    return canonical(b)


@pytest.mark.parametrize("k", LENGTHS)
def test_dot_agrees_with_the_plain_kernel_when_rows_are_of_every_kind(k):
    rng = np.random.default_rng(k)
    a, b = rows(rng, k), columns(rng, k)
    bias = canonical(np.array([0, 2.0**-149, 1, -3e38, 2.0**-100, -(2.0**-150), 0.1], np.float32))
    for arrays in ([a, b], [a, b, bias]):
        slow = plain(Op.DOT, arrays)
        assert same(slow, fast(Op.DOT, arrays))
        assert same(slow, fast(Op.DOT, arrays, known=(1, 2)))
        for row in range(len(a)):  # alone, so that its own length is the bound
            one = [a[row : row + 1], *arrays[1:]]
            assert same(slow[row : row + 1], fast(Op.DOT, one, known=(1, 2)))


@pytest.mark.parametrize("k", [1, 257, 513])
def test_dot_agrees_with_rationals_when_rows_are_of_every_kind(k):
    rng = np.random.default_rng(-k % 100)
    a, b = rows(rng, k), columns(rng, k)
    assert bits(fast(Op.DOT, [a, b])) == [exact_dot(x, y) for x in a.tolist() for y in b.tolist()]


@pytest.mark.parametrize("band", [1, 5000, 1 << 16])
@pytest.mark.parametrize("panel", [7, 8, 250, 1 << 16])
def test_dot_does_not_depend_on_how_it_is_cut(monkeypatch, band, panel):
    rng = np.random.default_rng(3)
    a = np.stack([rows(rng, 600), rows(rng, 600)])
    b = np.stack([columns(rng, 600), columns(rng, 600)])
    monkeypatch.setattr(bands, "_BAND", band)
    monkeypatch.setattr(contraction, "PANEL", panel)
    for bias in random_floats(rng, (2, 12, 1), 2), random_floats(rng, (12, 7), 2):
        assert same(plain(Op.DOT, [a, b, bias]), fast(Op.DOT, [a, b, bias]))
        assert same(plain(Op.DOT, [a, b[:1], bias]), fast(Op.DOT, [a, b[:1], bias]))


def test_dot_agrees_when_nothing_is_decided_by_the_bound(monkeypatch):
    """Each sum is summed again, and many of those that cancel stay open even then."""
    rng = np.random.default_rng(4)
    a, b = rows(rng, 300), columns(rng, 300)
    monkeypatch.setattr(contraction, "UNIT", 1.0)
    assert same(plain(Op.DOT, [a, b]), fast(Op.DOT, [a, b]))


def test_dot_agrees_when_sums_of_all_sizes_stay_open():
    rng = np.random.default_rng(7)
    half = random_floats(rng, (9, 40), 60)
    a = np.concatenate([half, half, random_floats(rng, (9, 1), 100)], axis=1)
    b = np.concatenate([half[0] * 0 + 1, half[0] * 0 - 1, [1e-30]]).astype(np.float32)[None]
    contracted, left = _dots(a, b)
    assert left
    assert (contracted.view(np.uint32) == OPEN).sum() == left
    assert same(plain(Op.DOT, [a, b]), fast(Op.DOT, [a, b]))


@pytest.mark.parametrize("outputs", [*range(1, 26), 47, 48, 49, 80])
def test_dot_agrees_at_each_width_of_a_tile(outputs):
    rng = np.random.default_rng(outputs)
    b = random_floats(rng, (outputs, 5), 3)
    for m in (1, 2, 4, 5, 8, 9):
        a = random_floats(rng, (m, 5), 3)
        assert bits(fast(Op.DOT, [a, b])) == [
            exact_dot(x, y) for x in a.tolist() for y in b.tolist()
        ]


@pytest.mark.parametrize("fill", [np.nan, np.inf, 0.0, 1.0])
def test_dot_leaves_nothing_open_when_all_elements_are_special(fill):
    a, b = np.full((40, 300), fill, np.float32), np.ones((30, 300), np.float32)
    out, left = _dots(a, b)
    assert not left
    assert same(canonical(out[0]), canonical(a @ b.T))


def _dots(a: Array, b: Array) -> tuple[Array, int]:
    rows = Contraction((1, *a.shape), [Axis(1, 1, 1, 0, 0)], [len(a)], 1, len(b))
    return rows.rounded(a, Weights(b[None]))


def test_rounded_gives_plus_zero_when_a_negative_sum_rounds_to_zero():
    tiny = floats([0x00000001])
    for factor, wanted in ((0.5, 0), (0.5000001, 0x80000001), (0.25, 0), (-0.5, 0), (-0.6, 1)):
        out, _ = _dots(tiny.reshape(1, 1), np.array([[-factor]], np.float32))
        assert bits(out) == [wanted], factor


@pytest.mark.parametrize("k", [3, 40, 1000])
def test_dot_is_plus_zero_where_a_negative_sum_rounds_to_zero(k):
    a, b = np.zeros((1, k), np.float32), np.zeros((1, k), np.float32)
    a[0, [0, 1, k - 1]] = [1, 1, 2.0**-100]
    b[0, [0, 1, k - 1]] = [1, -1, -(2.0**-100)]
    assert bits(fast(Op.DOT, [a, b])) == bits(plain(Op.DOT, [a, b])) == [0]


def factors(terms: list[float]) -> tuple[list[float], list[float]]:
    """Two vectors whose products these are, each about as large as the other, so that the product
    of their lengths is little more than Σ|terms|."""
    halves = [2.0 ** (np.frexp(term)[1] // 2) if term else 0.0 for term in terms]
    return halves, [term / half if half else 0.0 for term, half in zip(terms, halves, strict=True)]


def agree(terms: list[float], bias: float = 0.0) -> None:
    """At all heights and widths of a tile."""
    x, y = factors(terms)
    wanted = exact_dot(x, y, bias)
    for m in (1, 2, 4, 8, 9):
        for n in (1, 9, 17, 25):
            a, b = (np.array([row] * many, np.float32) for row, many in ((x, m), (y, n)))
            arrays = [a, b] if bias == 0 else [a, b, np.full(n, bias, np.float32)]
            assert set(bits(fast(Op.DOT, arrays))) == {wanted}


@pytest.mark.parametrize("terms", [10, 50, 256, 509])
@pytest.mark.parametrize("sign", [1, -1])
def test_dot_leaves_undecided_what_each_addition_of_a_panel_may_lose(terms, sign):
    agree(lossy_terms(terms, terms - 2, sign))


@pytest.mark.parametrize("sign", [1, -1])
def test_dot_leaves_undecided_what_each_addition_of_a_panels_sum_may_lose(sign):
    """56 panels: all of the first is lost, and of each other the sum."""
    first = lossy_terms(253, 306, sign)
    agree([*first, *[sign * 2.0**-53, *[0.0] * 255] * 55])


def test_dot_leaves_undecided_what_the_addition_of_the_bias_loses():
    agree([2.0**-24, 2.0**-60], 1.0)
    agree([2.0**-24, -(2.0**-60)], 1.0)
    agree([-(2.0**-24), -(2.0**-60)], -1.0)


@pytest.mark.parametrize("value", [2.0**-151, 3 * 2.0**-153])
def test_dot_is_plus_zero_where_half_of_the_way_to_the_first_midpoint_is_not_left(value):
    """Of these negative numbers the upper end would round to −0 if FLOOR were less than 2^−151."""
    agree([-value])


def test_dot_decides_by_the_sizes_of_what_was_lost():
    """As in `test_sums`: without the part of that size that its own sum loses, a wrong end; and the
    sum in float64 is odd and next to a midpoint, of which what was lost leads beyond."""
    big = 2.0**100
    agree([big, 1, 2.0**-60, 2.0**-120, -1, -(2.0**-60), -big, 1, 2.0**-24])
    tail = [2 - 2.0**-23, 2.0**-24, -(2.0**-52)]
    agree([big, 1, 2.0**-53, 2.0**-54, 2.0**-70, -1, 2.0**-54, -big, *tail])
