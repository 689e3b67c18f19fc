"""Resize and Upsample: coordinates in rational numbers, and else as onnxruntime has them."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, strategies

from oracle.exact import float32
from oracle.exact.lowering.graph import lower
from oracle.exact.lowering.resize import meant
from oracle.exact.run import run
from tests.unit.exact.agreement import check, model, numbers, refusal


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
)
def test_resize_agrees(mode, coordinates):
    x = {"x": numbers(1, 2, 4, 6)}
    options = {"mode": mode, "coordinate_transformation_mode": coordinates}
    order = ["x", "", "s"]
    for scales in ([1, 1, 2, 1.5], [1, 1, 0.5, 0.75]):
        scale = {"s": np.float32(scales)}
        check("Resize", x, scale, order=order, nearest_mode="floor", **options)
    sizes = {"s": ints(1, 2, 7, 3)}
    check("Resize", x, sizes, order=["x", "", "", "s"], **options)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("outside", [0, 1])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
)
def test_resize_reads_all_that_a_smaller_image_stands_for(mode, outside, coordinates):
    x = {"x": numbers(1, 2, 12, 13)}
    options = {"mode": mode, "coordinate_transformation_mode": coordinates}
    for size in ([5, 7], [12, 3], [20, 1], [1, 13]):
        sizes = {"s": ints(1, 2, *size)}
        order = ["x", "", "", "s"]
        check("Resize", x, sizes, order=order, antialias=1, exclude_outside=outside, **options)
    scale = {"s": np.float32([1, 1, 0.6, 0.3])}
    check("Resize", x, scale, order=["x", "", "s"], antialias=1, **options)


def test_resize_weighs_what_a_smaller_image_stands_for():
    """6 → 2: the first is at place 1, and weighs those at distance 0, 1, 2 by 3, 2, 1."""
    x = np.eye(6, dtype=np.float32).reshape(6, 1, 6)
    order, how = ["x", "", "", "s"], {"mode": "linear", "antialias": 1, "exclude_outside": 1}
    (weights,) = run(lower(model("Resize", {"x": x}, {"s": ints(6, 1, 2)}, order, **how)), [x])
    assert (8 * weights[:, 0, 0]).tolist() == [2, 3, 2, 1, 0, 0]


def test_resize_refuses_to_read_more_than_the_nearest():
    x, scale = {"x": numbers(1, 1, 4)}, {"s": np.float32([1, 1, 0.5])}
    said = refusal("Resize", x, scale, order=["x", "", "s"], antialias=1)
    assert "antialias of nearest" in said


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_resize_rounds_to_the_nearest_as_told(nearest):
    x = {"x": numbers(1, 1, 5, 7)}
    check(
        "Resize", x, {"s": np.float32([1, 1, 2, 0.6])}, order=["x", "", "s"], nearest_mode=nearest
    )


NEAREST = {
    "round_prefer_floor": lambda n, d: -((d - 2 * n) // (2 * d)),
    "round_prefer_ceil": lambda n, d: (2 * n + d) // (2 * d),
    "floor": lambda n, d: n // d,
    "ceil": lambda n, d: -(-n // d),
}


@pytest.mark.parametrize("nearest", NEAREST)
def test_resize_to_a_size_reads_the_nearest_in_rational_numbers(nearest):
    """The place is that of ((2i + 1)·size − length) / 2·length, in integers."""
    for size, length in product(range(1, 25), range(1, 25)):
        x = np.arange(size, dtype=np.float32)
        at = [
            NEAREST[nearest]((2 * i + 1) * size - length, 2 * length) if size != length else i
            for i in range(length)
        ]
        data = model(
            "Resize",
            {"x": x},
            {"s": ints(length)},
            order=["x", "", "", "s"],
            nearest_mode=nearest,
        )
        assert run(lower(data), [x])[0].tolist() == [min(max(p, 0), size - 1) for p in at]


def test_resize_takes_20_to_6_by_place_15():
    x = np.arange(20, dtype=np.float32)
    options = {"nearest_mode": "floor", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    data = model("Resize", {"x": x}, {"s": ints(6)}, order=["x", "", "", "s"], **options)
    assert run(lower(data), [x])[0].tolist() == [1, 5, 8, 11, 15, 18]


@pytest.mark.parametrize(("size", "length"), [(7, 3), (10, 7), (12, 5), (63, 48), (21, 16)])
def test_resize_by_a_scale_of_two_sizes_is_resize_to_the_size(size, length):
    """A scale is stored as the float32 next to length / size, and means that."""
    x, scale = {"x": numbers(size)}, np.float32([length / size])
    for mode, nearest in [("nearest", "floor"), ("linear", "ceil"), ("cubic", "ceil")]:
        options = {"mode": mode, "nearest_mode": nearest}
        by_scale = model("Resize", x, {"s": scale}, order=["x", "", "s"], **options)
        to_size = model("Resize", x, {"s": ints(length)}, order=["x", "", "", "s"], **options)
        assert lower(by_scale).root == lower(to_size).root


@pytest.mark.parametrize(
    ("size", "scale", "length"),
    [(10, 0.7, 7), (5, 1.3, 6), (75, 2.12, 158), (2735, 190 / 2735, 189)],
)
def test_resize_by_a_scale_has_onnxruntimes_length(size, scale, length):
    x, constants = {"x": numbers(size)}, {"s": np.float32([scale])}
    data = model("Resize", x, constants, order=["x", "", "s"])
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert lower(data).signature.outputs[0].shape == (length,) == session.run(None, x)[0].shape


def rounded(number: Fraction) -> np.float32:
    bits = float32.of_ratio(number.numerator, number.denominator)
    return np.uint32(bits).view(np.float32)


def weights(mode: str, **options) -> list[list[float]]:
    """The constants by which the taps of 2 → 5 are multiplied."""
    order = ["x", "", "", "s"]
    data = model("Resize", {"x": numbers(2)}, {"s": ints(5)}, order=order, mode=mode, **options)
    constants = [constant.array for constant in lower(data).constants]
    return [array.ravel().tolist() for array in constants if array.dtype == np.float32]


def columns(rows: Sequence[Sequence[Fraction]]) -> list[list[float]]:
    return [[float(rounded(each)) for each in column] for column in zip(*rows, strict=True)]


def test_resize_rounds_linear_weights_once():
    above = [Fraction(tenths, 10) for tenths in (7, 1, 5, 9, 3)]
    assert weights("linear") == columns([(1 - each, each) for each in above])


@pytest.mark.parametrize("exclude", [0, 1])
def test_resize_rounds_cubic_weights_once(exclude):
    """By Keys's formula; of the taps −1 … 2 about each place two stand on elements 0 and 1."""
    a = Fraction(-3, 4)

    def keys(d: Fraction) -> Fraction:
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    rows = []
    for x in [Fraction(tenths, 10) for tenths in (-3, 1, 5, 9, 13)]:
        places = [floor(x) + k for k in range(-1, 3)]
        row = [keys(abs(x - p)) * (not exclude or p in (0, 1)) for p in places]
        rows.append([each / sum(row) for each in row])
    assert weights("cubic", exclude_outside=exclude) == columns(rows)


@pytest.mark.parametrize(
    ("number", "fraction"),
    [(0.6, "3/5"), (0.7, "7/10"), (16 / 21, "16/21"), (-0.2, "-1/5"), (2.0, "2"), (0.0, "0")],
)
def test_meant_is_the_simplest_fraction(number, fraction):
    assert meant(float(np.float32(number))) == Fraction(fraction)


@given(strategies.floats(width=32, allow_nan=False, allow_infinity=False))
def test_meant_is_rounded_to_the_number(number):
    assert rounded(meant(number)) == np.float32(number)


def test_upsample_agrees():
    x = {"x": numbers(1, 2, 3, 4)}
    check("Upsample", x, {"s": np.float32([1, 1, 2, 3])}, opset=9, mode="nearest")
    check("Upsample", x, {"s": np.float32([1, 1, 2, 2])}, opset=9, mode="linear")
    check("Resize", x, {"s": np.float32([1, 1, 2, 2])}, opset=10, mode="linear")


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize_to_nothing_is_refused(mode):
    constants = {"s": np.float32([0.1])}
    refusal("Resize", {"x": numbers(3)}, constants, order=["x", "", "s"], mode=mode)


@pytest.mark.parametrize("a", [np.inf, -np.inf, np.nan])
def test_resize_by_a_cubic_without_a_number_is_refused(a):
    options = {"order": ["x", "", "s"], "mode": "cubic", "cubic_coeff_a": float(a)}
    assert "cubic_coeff_a is" in refusal(
        "Resize", {"x": numbers(3)}, {"s": np.float32([2])}, **options
    )


COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "half_pixel_symmetric",
)


def differs(size: int, to: np.ndarray, coordinates: str, nearest: str) -> bool:
    """Whether onnxruntime, which computes in float32, reads other places."""
    x = {"x": np.arange(size, dtype=np.float32)[None]}
    order = ["x", "", "", "s"] if to.dtype == np.int64 else ["x", "", "s"]
    options: dict[str, Any] = {
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": nearest,
    }
    data = model("Resize", x, {"s": to}, order=order, **options)
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    return bool((session.run(None, x)[0] != run(lower(data), list(x.values()))[0]).any())


@pytest.mark.long
def test_resize_to_sizes_reads_other_places_than_onnxruntime_in_few_cases():
    cases = [
        (size, ints(1, length), coordinates, nearest)
        for size, length in product(range(1, 25), range(1, 25))
        for coordinates, nearest in product(COORDINATES[:5], NEAREST)
        if size != length
    ]
    assert len(cases) == 11_040
    assert sum(differs(*case) for case in cases) <= 42


@pytest.mark.long
def test_resize_by_scales_reads_other_places_than_onnxruntime_in_few_cases():
    scales = np.float32([0.3, 0.4, 0.6, 0.7, 0.75, 1.1, 1.3, 1.5, 2, 2.2, 3])
    cases = [
        (size, np.float32([1, scale]), coordinates, nearest)
        for size, scale in product((3, 5, 7, 9, 10, 14, 20, 21), scales)
        for coordinates, nearest in product(COORDINATES, NEAREST)
        if size * float(scale) >= 1
    ]
    assert len(cases) == 2_088
    assert sum(differs(*case) for case in cases) <= 73
