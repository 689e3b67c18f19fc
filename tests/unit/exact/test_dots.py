"""The filter of DOT and what redoes its leavings: every path, at the sizes where they change."""

import numpy as np
import pytest

from oracle.exact import dots, sums
from oracle.exact.dots import Bias, Dots
from oracle.exact.program import Op
from oracle.tensor import Array, canonical
from tests.oracles import bits, exact_dot, exact_sum, fast, floats, plain, random_floats, same

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


@pytest.mark.parametrize("few", [0, 1 << 30])
@pytest.mark.parametrize("block", [1, 10, 1 << 17])
def test_dot_does_not_depend_on_how_it_is_cut(monkeypatch, few, block):
    rng = np.random.default_rng(3)
    a = np.stack([rows(rng, 600), rows(rng, 600)])
    b = np.stack([columns(rng, 600), columns(rng, 600)])
    bias = random_floats(rng, (2, 12, 1), 2)
    wanted = plain(Op.DOT, [a, b, bias])
    monkeypatch.setattr(dots, "_FEW", few)
    monkeypatch.setattr(dots, "_BLOCK", block)
    monkeypatch.setattr(dots, "_COLUMNS", 3)
    monkeypatch.setattr(dots, "_GATHERED", 2000)
    assert same(wanted, fast(Op.DOT, [a, b, bias]))


def test_dot_agrees_when_nothing_is_decided_by_the_first_bound(monkeypatch):
    """The second bound and the exact sums alone."""
    rng = np.random.default_rng(4)
    a, b = rows(rng, 300), columns(rng, 300)
    monkeypatch.setattr(dots, "FLOOR", 1e30)
    monkeypatch.setattr(dots, "_FEW", 0)
    assert same(plain(Op.DOT, [a, b]), fast(Op.DOT, [a, b]))


def test_bound_of_dots_holds_when_the_exact_sum_is_known():
    """How far the float64 sums are off is below what is allowed for, by far."""
    rng = np.random.default_rng(5)
    for k in (3, 300, 600, 5000):
        a, b = random_floats(rng, (1, 4, k), 3), random_floats(rng, (1, 5, k), 3)
        made = Dots(b)
        s, squares = made._sums(a, made._columns)
        scale = 2**60
        exact = [
            [sum(int(x * scale) * int(y * scale) for x, y in zip(r, c, strict=True)) for c in b[0]]
            for r in a[0].astype(object)
        ]
        error = np.sqrt(squares)[0][:, None] * made._norms[0]
        for i, j in np.ndindex(4, 5):
            off = abs(int(s[0, i, j] * scale) * scale - exact[i][j])
            assert off <= error[i, j] * scale * scale


def test_rounded_gives_plus_zero_when_a_negative_sum_rounds_to_zero():
    tiny = floats([0x00000001])
    for factor, wanted in ((0.5, 0), (0.5000001, 0x80000001), (0.25, 0), (-0.5, 0), (-0.6, 1)):
        b = np.array([[[-factor]]], np.float32)
        out = Dots(b).rounded(tiny.reshape(1, 1, 1), Bias(np.zeros((1, 1, 1))))
        assert bits(out) == [wanted], factor


@pytest.mark.parametrize("k", [1, 2, 5, 64, 1000])
def test_rounded_sums_agree_with_rationals_when_the_size_is_given_or_not(k):
    rng = np.random.default_rng(k)
    terms = random_floats(rng, (30, k), 12).astype(np.float64) * random_floats(rng, (30, k), 12)
    terms[::3, : k // 2] = -terms[::3, k - k // 2 :]
    terms[1::3, 0] = 2.0**-140
    wanted = [exact_sum(row) for row in terms.tolist()]
    assert bits(sums.rounded_sums(terms)) == wanted
    assert bits(sums.rounded_sums(terms, np.abs(terms).sum(axis=1) * 1.001)) == wanted
    assert bits(np.array([sums.rounded_row(row) for row in terms.tolist()])) == wanted


@pytest.mark.parametrize("exponent", [0, 100, -120, -126, -127, -140, -149])
@pytest.mark.parametrize("beyond", [0, 2.0**-60, -(2.0**-60), 2.0**-110, -(2.0**-110)])
@pytest.mark.parametrize("sign", [1, -1])
def test_rounded_sums_round_once_when_a_sum_is_a_tie_or_beside_one(exponent, beyond, sign):
    place = 2.0 ** max(exponent - 23, -149)
    middles = [(2.0**exponent + n * place) for n in range(4)]
    terms = np.array([[m, place / 2, beyond * place, 0] for m in middles]) * sign
    wanted = [exact_sum(row) for row in terms.tolist()]
    assert bits(sums.rounded_sums(terms)) == wanted
    assert bits(np.array([sums.rounded_row(row) for row in terms.tolist()])) == wanted


def test_rounded_row_follows_ieee_when_terms_are_not_finite():
    for row in ([np.inf, 1.0], [-np.inf, np.inf], [np.nan, 1.0], [-np.inf, -np.inf], [2.0**129]):
        with np.errstate(over="ignore"):
            out = canonical(np.array([sums.rounded_row(row)]))
        assert bits(out) == [exact_sum(row)]


@pytest.mark.parametrize("k", [3, 40, 1000])
def test_dot_is_plus_zero_where_a_negative_sum_rounds_to_zero(k):
    a, b = np.zeros((1, k), np.float32), np.zeros((1, k), np.float32)
    a[0, [0, 1, k - 1]] = [1, 1, 2.0**-100]
    b[0, [0, 1, k - 1]] = [1, -1, -(2.0**-100)]
    assert bits(fast(Op.DOT, [a, b])) == bits(plain(Op.DOT, [a, b])) == [0]
