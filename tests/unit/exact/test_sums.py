"""Exact sums rounded once: by numpy, by Python, and by the compiled loop, against rationals."""

import numpy as np
import pytest

from oracle.exact import sums
from oracle.exact.kernels.rounding import LANES, rounded_terms
from oracle.tensor import Array, canonical
from tests.oracles import bits, exact_sum, floats, random_floats


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
    assert bits(sums.rounded_means(np.array([[-(2.0**-149), 0]]))) == [0]


# One row for each guard, of which a weaker guard gives a wrong bit. MIDDLE lies halfway between two
# float32, of which the lower one is even, and so does UPPER, of which the upper one is.
MIDDLE, UPPER = 1 + 2.0**-24, 1 + 3 * 2.0**-24


def agree(terms: list[float]) -> None:
    """Of a row and of its negative: right by numpy and by Python, and right or open by the loop."""
    for row in (terms, [-term for term in terms]):
        wanted, table = [exact_sum(row)], np.array([row])
        assert bits(sums.rounded_sums(table)) == wanted
        assert bits(np.array([sums.rounded_row(row)])) == wanted
        assert bits(sums._rounded_block(table)) == wanted
        assert compiled(table) in (wanted, [sums.OPEN])


def short(count: int, losses: list[float]) -> list[float]:
    """Terms a little below 1, so many as `count` and these, which lie above that by what an
    addition to them loses: they and each sum of some are wide, and all errors have one sign."""
    wide = 1 - 2.0**-11
    return [wide - 2.0**-10, *[wide] * (count - 1), *(wide + loss for loss in losses)]


@pytest.mark.parametrize(
    "terms",
    [
        # Their σ is 2^53: what is not whole is low, and the bounds are 161 and 465 units of 2^−53.
        # numpy's order loses 9 and 48 units of the lows. Without them the sums are a midpoint, and
        # 32 units less than one.
        [2.0**49, 2.0**13 - 2.0**49, *short(1, [2.0**-53, 2.0**-52, 2.0**-52, 2.0**-51])],
        [
            *(2.0**48, 2.0**13 - 2.0**48, 1 - 3 * 2.0**-11 - 32 * 2.0**-53),
            *short(6, [2.0**-51] * 2 + [2.0**-50] * 5)[1:],
        ],
        # Nothing but the bound tells that the sum in doubles, a midpoint, is not exact.
        [2.0**49, -(2.0**49), 2.0**24, 1, 2.0**-60],
        [2.0**47, -(2.0**47), 2.0**24, 1, 2.0**-60, *[0.0] * 11],
    ],
)
def test_rounded_sums_leave_undecided_what_the_lows_rounding_decides(terms):
    agree(terms)


def test_rounded_sums_leave_undecided_what_may_lie_beyond_the_next_double():
    """The sum in doubles is odd and next to a midpoint; what was lost leads beyond that."""
    near = 4.5 + 3 * 2.0**-22
    terms = short(1, [2.0**-53, 2.0**-52, 2.0**-52])
    agree([2.0**49, -(2.0**49), *terms, near - 5 * 2.0**-53 - (4 - 6 * 2.0**-11)])

    lows = np.array(short(14, [2.0**-50] * 2 + [2.0**-49] * 5))
    lows[8:14] += 2.0**-53
    lows[2] += 2.0**-18 - 64 * 2.0**-53
    lows[-1] -= 33 * 2.0**-53  # 101 units are lost, 96 are missing to the midpoint
    agree([2.0**47, 96 - 2.0**47, *lows])


@pytest.mark.parametrize(
    "terms",
    [
        # Of σ = 4, twice the largest term's, the highs' sum is no double.
        [*[1.0] * 64, 2.0**-18, 2.0**-50],
        # As of a quarter of σ.
        [1.25 + 3 * 2.0**-23, 1.25, -(2.0**-52)],
    ],
)
def test_rounded_sums_split_at_a_power_of_two_above_all_partial_sums(terms):
    agree(terms)


@pytest.mark.parametrize("k", [5, 6, 63, 64, 65, 66])
def test_rounded_sums_leave_undecided_what_the_errors_rounding_decides(k):
    """The errors are 2^−24, with which the sum is a midpoint, and what that swallows."""
    tiny = [2.0**-90] if k == 5 else [2.0**-90, *[0.0] * (k - 6), 0.0]
    agree([2.0**40, -(2.0**40), 2.0**-24, *tiny, 1])


def test_rounded_row_moves_no_odd_double_onto_a_midpoint_of_subnormal_numbers():
    agree([5 * 2.0**-150, 2.0**-200, -(2.0**-230)])
    agree([5 * 2.0**-150, -(2.0**-200), 2.0**-230])


def test_rounded_row_is_plus_zero_when_a_long_negative_number_rounds_to_zero():
    agree([-(2.0**-170), -(2.0**-210)])


@pytest.mark.parametrize(
    "terms",
    [
        # The size of what was lost is itself a rounded sum, and without the part that this loses
        # the upper end would be the midpoint.
        [1.0, 2.0**-60, 2.0**-120, -1.0, -(2.0**-60), -(2.0**100), MIDDLE],
        # Beyond the next double: 1/4 of a unit of the last place is missing, and 3/4 were lost.
        [1.0, 2.0**-53, 2.0**-54, 2.0**-54 + 2.0**-70 - 1, -(2.0**100), 2 - 2.0**-24 - 2.0**-52],
    ],
)
@pytest.mark.parametrize("lead", [0, 7])
def test_rounded_terms_leave_open_what_the_size_of_what_was_lost_decides(terms, lead):
    agree([2.0**100, *[0.0] * lead, *terms])


@pytest.mark.parametrize("tiny", [2.0**-70, -(2.0**-70)])
def test_rounded_terms_count_what_is_lost_in_each_place(tiny):
    """One term is lost, and decides: in a lane, between lanes and behind them."""
    big, ones = 2.0**100, 2.0**-10
    for middle in (MIDDLE, UPPER):
        one_lane = [big, ones, tiny, -ones, -big, middle]
        agree([term for each in one_lane for term in (each, *[0.0] * (LANES - 1))])
        agree([*one_lane, 0, 0])
        agree([big, *[0.0] * (LANES - 1), *one_lane[1:]])
        agree([0.0] * (LANES - 1) + [big] + one_lane[1:])


def test_decided_is_what_both_ends_round_to():
    error = 2.0**-40
    for middle in (MIDDLE, UPPER, -MIDDLE, -UPPER):
        values = middle + np.array([-2, -0.5, 0, 0.5, 2]) * error
        out, undecided = sums.decided(values, np.full(5, error))
        assert undecided.tolist() == [1, 2, 3]
        assert bits(out[[0, 4]]) == [exact_sum([values[0]]), exact_sum([values[4]])]


def test_decided_leaves_nan_and_gives_plus_zero():
    out, undecided = sums.decided(np.array([np.nan, -(2.0**-160), np.inf]), np.zeros(3))
    assert undecided.tolist() == [0]
    assert bits(out[1:]) == [0, 0x7F800000]


def test_open_is_no_float32_of_ours():
    assert canonical(floats([sums.OPEN])).view(np.uint32)[0] != sums.OPEN


@pytest.mark.parametrize("block", [1, 4, 6, 1 << 21])
def test_rounded_sums_and_means_do_not_depend_on_how_rows_are_worked_off(monkeypatch, block):
    rng = np.random.default_rng(0)
    terms = random_floats(rng, (7, 3), 60).astype(np.float64)
    monkeypatch.setattr(sums, "BLOCK", block)
    divisors = np.array([1, 2, 3, 4, 0, 6, 2**26 - 1], np.float64)
    rows = terms.tolist()
    assert bits(sums.rounded_sums(terms)) == [exact_sum(row) for row in rows]
    assert bits(sums.rounded_means(terms)) == [exact_sum(row, 3) for row in rows]
    wanted = [
        exact_sum(row, int(k)) if k else 0x7FC00000 for row, k in zip(rows, divisors, strict=True)
    ]
    with np.errstate(all="ignore"):
        assert bits(canonical(sums.rounded_means(terms, divisors))) == wanted
    assert bits(sums.rounded_means(terms[:, :1])) == bits(terms[:, 0].astype(np.float32))
    assert bits(sums.rounded_sums(np.zeros((3, 0)))) == [0, 0, 0]


@pytest.mark.parametrize("middle", [MIDDLE, UPPER, 5 * 2.0**-150, 2.0**128 - 2.0**103])
@pytest.mark.parametrize("k", [2, 3, 7, 15, 2**25 + 1, 2**26 - 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_rounded_means_round_once_when_a_quotient_is_a_tie_or_beside_one(middle, k, sign):
    """The total is the next double, or what a double does not hold decides."""
    total = middle * k
    ends = [np.nextafter(total, 0), np.nextafter(total, np.inf)]
    rows = [[total, 0, 0], [total, total * 2.0**-70, 0], [total, -total * 2.0**-70, 0]]
    rows = [*rows, *([end, 0, 0] for end in ends)]
    terms = np.array(rows) * sign
    wanted = [exact_sum(row, k) for row in terms.tolist()]
    with np.errstate(over="ignore"):
        assert bits(sums.rounded_means(terms, np.full(5, float(k)))) == wanted


def test_rounded_means_follow_ieee_when_terms_are_not_finite():
    terms = np.array([[np.inf, 1], [-np.inf, -np.inf], [np.inf, -np.inf], [np.nan, 1]])
    with np.errstate(all="ignore"):
        means = canonical(sums.rounded_means(terms))
    assert bits(means) == [exact_sum(row) for row in terms.tolist()]


@pytest.mark.parametrize("scale", [1, 2.0**-90, 2.0**90])
def test_ordinary_rows_are_seldom_looked_at_twice(monkeypatch, scale):
    """A bound that is too large changes no bit, but costs the time of the slow ways."""
    slow, row_by_row = [], sums.rounded_row
    monkeypatch.setattr(sums, "rounded_row", lambda row: slow.append(row) or row_by_row(row))
    rng = np.random.default_rng(0)
    terms = random_floats(rng, (200, 64), 4).astype(np.float64) * random_floats(rng, (200, 64), 4)
    whole = rng.integers(-(2**20), 2**20, (200, 64)).astype(np.float64)
    for rows, most in ((terms * scale, 20), (whole * scale, 0)):
        wanted = [exact_sum(row) for row in rows.tolist()]
        _, left = sums._extracted(rows, sums._size(rows))
        assert not left.size
        assert bits(sums._rounded_block(rows)) == wanted
        assert len(slow) <= most
        slow.clear()


def test_a_sum_of_zeros_is_decided():
    out, undecided = sums.decided(np.zeros(1), np.array([sums.FLOOR]))
    assert bits(out) == [0]
    assert not undecided.size
