"""Before it is rounded, a function's value is as close to mpmath's as the comments say."""

from random import Random

import mpmath
import pytest

from tests.parity.conftest import Load

CONTRACT = "EnclosureParity"
UNIT = mpmath.mpf(2) ** -192
RANDOM = Random(1)


@pytest.fixture(autouse=True)
def precision() -> object:
    with mpmath.workprec(500):
        yield


def test_power_is_within_its_error(evm: Load) -> None:
    x = [RANDOM.randrange(-(1 << bits), 1 << bits) for bits in range(20, 200) for _ in range(10)]
    x += [sign * ((1 << 199) - k) for sign in (-1, 1) for k in range(1, 9)]
    ln2 = int(mpmath.ln(2) / UNIT)
    x += [k * ln2 + d for k in range(-180, 180) for d in (-1, 0, 1)]

    values, errors, scales = evm(CONTRACT).call("power", x)

    off = [
        abs(mpmath.exp(n * UNIT) / UNIT / mpmath.mpf(2) ** scale - value)
        for n, value, scale in zip(x, values, scales, strict=True)
    ]
    assert max(off) < min(errors)
    assert all(1 << 192 <= value < 1 << 194 for value in values)


def test_natural_is_within_its_error(evm: Load) -> None:
    m = [RANDOM.randrange(1, 1 << bits) for bits in range(1, 131) for _ in range(10)]
    m += [(1 << 24) + d for d in range(-20, 20)] + [(3 << 22) + d for d in range(-20, 20)]
    e = [RANDOM.randrange(-200, 128) if i % 2 else -m[i].bit_length() for i in range(len(m))]

    values, error = evm(CONTRACT).call("natural", m, e)

    off = [
        abs((mpmath.ln(n) + k * mpmath.ln(2)) / UNIT - value)
        for n, k, value in zip(m, e, values, strict=True)
    ]
    assert max(off) < error


@pytest.mark.parametrize("alternating", [False, True])
def test_odd_is_within_its_error(evm: Load, alternating: bool) -> None:
    z = [RANDOM.randrange(1 << bits) for bits in range(20, 192) for _ in range(10)]
    z += [(1 << 191) - k for k in range(10)]
    function = mpmath.atan if alternating else mpmath.atanh

    values = evm(CONTRACT).call("odd", z, alternating)

    off = [abs(function(n * UNIT) / UNIT - value) for n, value in zip(z, values, strict=True)]
    assert max(off) < 1 << 9


def test_mul_and_ratio_are_rounded_down(evm: Load) -> None:
    a = [RANDOM.randrange(1 << RANDOM.randrange(1, 225)) for _ in range(2_000)]
    b = [RANDOM.randrange(1 << RANDOM.randrange(1, 224)) for _ in range(2_000)]
    d = [1 + RANDOM.randrange(1 << RANDOM.randrange(1, 208)) for _ in range(2_000)]
    n = [RANDOM.randrange(min(y << 63, 1 << 256)) for y in d]

    products = evm(CONTRACT).call("mul", a, b)
    ratios = evm(CONTRACT).call("ratio", n, d)

    assert [x * y >> 192 for x, y in zip(a, b, strict=True)] == list(products)
    assert [(x << 192) // y for x, y in zip(n, d, strict=True)] == list(ratios)
