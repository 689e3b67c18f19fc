"""What `./dev bench law` measures with: its exact references against rationals, and a short run."""

from fractions import Fraction

import numpy as np
import pytest

from oracle.exact.program import Op
from oracle.tensor import canonical
from scripts.bench_law import checks
from scripts.law import integers
from scripts.law.nearest import nearest_float
from scripts.law.numbers import NASTY, bits
from scripts.law.pairs import confirm_exactness
from scripts.law.sweeps import bound_observed
from tests.oracles import binary, exact_dot, exact_sum, nasty, rounded

pytestmark = pytest.mark.long  # numba compiles for a minute


def test_nearest_float_is_the_closest():
    rng = np.random.default_rng(0)
    for _ in range(5000):
        length = int(rng.choice([3, 24, 25, 26, 60]))
        x = Fraction(int(rng.integers(1 << length))) * Fraction(2) ** int(rng.integers(-180, 130))
        assert (nearest_float(x), nearest_float(-x)) == (rounded(x), rounded(-x))


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        (Op.ADD, lambda x, y: integers.sums(x, y, 0)),
        (Op.SUB, lambda x, y: integers.sums(x, y, 1 << 31)),
        (Op.MUL, integers.products),
        (Op.DIV, integers.quotients),
    ],
)
def test_integers_agree_with_rationals(op, reference):
    rng = np.random.default_rng(1)
    values = np.concatenate([NASTY, nasty()])
    x, y = (part.ravel() for part in np.meshgrid(values, values))
    words = rng.integers(0, 1 << 32, (2, 20000), np.uint32).view(np.float32)
    x, y = canonical(np.concatenate([x, words[0]])), canonical(np.concatenate([y, words[1]]))
    wanted = list(map(binary(op), x.tolist(), y.tolist()))
    assert reference(bits(x), bits(y)).tolist() == wanted


def test_sums_agree_with_rationals():
    rng = np.random.default_rng(2)
    x = canonical(rng.choice(NASTY, (3000, 7)))
    assert integers.row_sums(bits(x), 3).tolist() == [exact_sum(row, 3) for row in x.tolist()]
    a, b = (canonical(rng.choice(NASTY[np.isfinite(NASTY)], (1, 40, 9))) for _ in range(2))
    found = integers.dots(bits(a), bits(b), np.zeros((1, 40, 40), np.int64))
    wanted = [[exact_dot(row, column) for column in b[0].tolist()] for row in a[0].tolist()]
    assert found[0].tolist() == wanted


def test_pairs_are_exact():
    confirm_exactness()


@pytest.mark.parametrize("op", [Op.EXP, Op.LOG, Op.ERF, Op.COS, Op.ATAN])
def test_the_bound_of_a_function_holds(op):
    assert bound_observed(op, 500)[1] < -90


def test_the_law_holds_in_a_short_run():
    for name, check in checks(quick=True, start=0).items():
        tally = check(lambda _done, _of: None)
        assert tally.wrong == 0, (name, tally.notes)
