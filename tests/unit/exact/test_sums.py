"""Exact sums rounded once: by numpy, by Python, and by the compiled loop, against rationals."""

import numpy as np
import pytest

from oracle.exact import sums
from oracle.exact.kernels.rounding import LANES, rounded_terms
from oracle.tensor import Array, canonical
from tests.oracles import bits, exact_sum, random_floats


def compiled(terms: Array) -> list[int]:
    """With OPEN where the loop does not decide."""
    lanes = np.full(3 * LANES, np.nan)
    return [int(rounded_terms(row, row.size, lanes)) for row in np.ascontiguousarray(terms)]


@pytest.mark.parametrize("k", [1, 2, 5, 64, 1000])
def test_rounded_sums_agree_with_rationals(k):
    rng = np.random.default_rng(k)
    terms = random_floats(rng, (30, k), 12).astype(np.float64) * random_floats(rng, (30, k), 12)
    terms[::3, : k // 2] = -terms[::3, k - k // 2 :]
    terms[1::3, 0] = 2.0**-140
    wanted = [exact_sum(row) for row in terms.tolist()]
    assert bits(sums.rounded_sums(terms)) == wanted
    assert bits(np.array([sums.rounded_row(row) for row in terms.tolist()])) == wanted
    assert compiled(terms) == wanted


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
    assert compiled(terms) == wanted


@pytest.mark.parametrize("k", [0, 1, 7, 8, 9, 40])
def test_rounded_terms_are_right_or_open_when_all_cancels_but_a_little(k):
    rng = np.random.default_rng(k)
    some = np.ldexp(rng.standard_normal((200, k)), rng.integers(-250, 100, (200, k)))
    some = np.ldexp(np.round(some * 2.0**298), -298)
    rest = np.ldexp(rng.choice([0.0, 1.0, -3.0], (200, 3)), rng.integers(-298, 120, (200, 3)))
    terms = rng.permuted(np.concatenate([some, -some, rest], axis=1), axis=1)
    found, wanted = compiled(terms), [exact_sum(row) for row in terms.tolist()]
    decided = [(one, other) for one, other in zip(found, wanted, strict=True) if one != sums.OPEN]
    assert all(one == other for one, other in decided)
    assert bits(sums.rounded_sums(terms)) == wanted
    assert len(decided) > 100 or k > 1
    assert len(decided) == 200 or k > 0


def test_rounded_terms_follow_ieee_when_terms_are_not_finite():
    for row in ([np.inf, 1.0], [-np.inf, np.inf], [np.nan, 1.0], [-np.inf] * 20, [2.0**129], []):
        assert compiled(np.array([row])) == [exact_sum(row)], row


def test_rounded_row_follows_ieee_when_terms_are_not_finite():
    for row in ([np.inf, 1.0], [-np.inf, np.inf], [np.nan, 1.0], [-np.inf, -np.inf], [2.0**129]):
        with np.errstate(over="ignore"):
            out = canonical(np.array([sums.rounded_row(row)]))
        assert bits(out) == [exact_sum(row)]


def test_exact_sums_and_means_give_plus_zero_when_a_negative_number_rounds_to_zero():
    terms = np.array([[2.0**100, -(2.0**100), 2.0**40, -(2.0**40), -(2.0**-200)]])
    assert bits(sums.rounded_sums(terms)) == bits(sums.rounded_means(terms)) == [0]
