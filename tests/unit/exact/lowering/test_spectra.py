"""Fourier transforms, windows and mel weights: against numpy, mpmath and ONNX's own evaluator."""

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from oracle.exact.float32 import bits
from oracle.exact.lowering.circle import cosine, cosines, rounded
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op
from oracle.exact.run import run
from tests.unit.exact.agreement import agree, check, model, numbers, refusal

RNG = np.random.default_rng(0)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def constant(op: str, *inputs: np.ndarray, **attributes: Any) -> np.ndarray:
    """What an op of constants gives; a model wants an input beside."""
    named = {f"c{at}": array for at, array in enumerate(inputs)}
    data = model(op, {}, named, **attributes)
    proto = ModelProto.FromString(data)
    spare = proto.graph.input.add(name="spare")
    spare.type.tensor_type.elem_type = 1
    spare.type.tensor_type.shape.dim.add(dim_value=1)
    program = lower(proto.SerializeToString())
    assert [made.op for made in program.nodes] == [Op.TRANSPOSE]  # a copy of what was folded
    return run(program, [np.zeros(1, np.float32)])[0]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 12, 64, 97, 1000])
def test_cosines_of_parts_of_a_turn_are_rounded_once(count):
    with mpmath.workdps(60):
        factor = Fraction(-3, 7)
        wanted = [
            mpmath.cos(2 * mpmath.pi * k / count) * factor.numerator / factor.denominator
            for k in range(count)
        ]
        assert cosines(count, factor).tolist() == pytest.approx(list(map(float, wanted)), rel=1e-7)
        for word, value in zip(bits(cosines(count, factor)), wanted, strict=True):
            ours = np.uint32(word).view(np.float32)
            gap = max(abs(np.nextafter(ours, s) - ours) for s in np.float32([np.inf, -np.inf]))
            assert abs(mpmath.mpf(float(ours)) - value) <= float(gap) / 2


@pytest.mark.parametrize("p", [128, 256])
def test_cosines_lie_within_their_bounds(p):
    with mpmath.workdps(100):
        for _ in range(200):
            turn = Fraction(int(RNG.integers(-5000, 5000)), int(RNG.integers(1, 1000)))
            low, high = cosine(turn, p)
            angle = 2 * mpmath.pi * turn.numerator / turn.denominator
            scaled = mpmath.ldexp(mpmath.cos(angle), p)
            slack = mpmath.mpf(2) ** (p - 300)
            assert low - slack <= scaled <= high + slack
            assert high - low < 1 << 12


def test_rational_cosines_are_exact():
    for turn, twice in ((0, 2), ("1/6", 1), ("1/4", 0), ("1/3", -1), ("1/2", -2), ("3/4", 0)):
        low, high = cosine(Fraction(turn), 128)
        assert low == high == twice << 127
    midpoint = Fraction((1 << 24) + 1)  # between two float32; one factor moves it to either
    assert bits(np.float32([2.0**24, 2.0**24 + 2])) == [
        rounded([(Fraction(-1, 8), Fraction(1, 7))], midpoint),
        rounded([(Fraction(1, 8), Fraction(1, 7))], midpoint),
    ]


def spectrum(x: np.ndarray) -> np.ndarray:
    return np.stack([x.real, x.imag], -1)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 15, 20, 33])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
def test_dft_is_numpys_for_any_length(length, parts, inverse):
    x = numbers(3, 16, 2, parts)
    numbers_ = x[..., 0] + (1j * x[..., 1] if parts == 2 else 0)
    data = model("DFT", {"x": x}, {"n": ints(length), "a": ints(1)}, inverse=inverse)
    (ours,) = run(lower(data), [x])
    wanted = (np.fft.ifft if inverse else np.fft.fft)(numbers_, length, axis=1)
    np.testing.assert_allclose(ours, spectrum(wanted), atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 15, 40])
def test_onesided_dft_and_its_inverse_are_numpys(length):
    x = numbers(2, 16, 1)
    data = model("DFT", {"x": x}, {"n": ints(length)}, onesided=1)
    (ours,) = run(lower(data), [x])
    np.testing.assert_allclose(ours, spectrum(np.fft.rfft(x[..., 0], length)), atol=2e-5)
    z = numbers(2, 9, 2)
    data = model("DFT", {"z": z}, {"n": ints(length)}, onesided=1, inverse=1)
    (back,) = run(lower(data), [z])
    wanted = np.fft.irfft(z[..., 0] + 1j * z[..., 1], length)[..., None]
    np.testing.assert_allclose(back, wanted, atol=1e-5)


@pytest.mark.parametrize("opset", [17, 19, 20, 21])
def test_dft_agrees_with_onnxruntime_in_every_opset(opset):
    x = {"x": numbers(2, 12, 5, 2)}
    if opset < 20:
        program = check("DFT", x, opset=opset, axis=1, inverse=1)
        check("DFT", x, {"n": np.int64(8)}, opset=opset, axis=2)
    else:
        program = check("DFT", x, {"a": np.int64(1)}, order=["x", "", "a"], opset=opset, inverse=1)
        check("DFT", x, {"n": np.int64(8), "a": np.int64(-2)}, opset=opset)
    assert Op.DOT in {made.op for made in program.nodes}


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("has_window", [True, False])
def test_stft_agrees_with_onnxruntime(onesided, has_window):
    x, window = {"x": numbers(2, 50, 1)}, np.hanning(16).astype(np.float32)
    given = {"s": np.int64(5), "w": window, "n": np.int64(16)}
    order = ["x", "s", "w", "n"]
    if not has_window:
        del given["w"]
        order[2] = ""
    data = model("STFT", x, given, order=order, onesided=onesided)
    agree(data, x)
    frames = np.stack([x["x"][:, at : at + 16, 0] for at in range(0, 35, 5)], 1)
    wanted = (np.fft.rfft if onesided else np.fft.fft)(frames * (window if has_window else 1))
    np.testing.assert_allclose(run(lower(data), [x["x"]])[0], spectrum(wanted), atol=1e-5)


@pytest.mark.parametrize(
    ("op", "factors"),
    [
        ("HannWindow", ("1/2", "-1/2")),
        ("HammingWindow", ("25/46", "-21/46")),
        ("BlackmanWindow", ("42/100", "-1/2", "8/100")),
    ],
)
@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("size", [2, 10, 400])
def test_windows_are_rounded_once(op, factors, periodic, size):
    ours = constant(op, np.int64(size), periodic=periodic)
    with mpmath.workdps(60):
        step = 2 * mpmath.pi / (size - 1 + periodic)
        parts = [mpmath.mpf(f.numerator) / f.denominator for f in map(Fraction, factors)]
        for at, value in enumerate(ours):
            wanted = mpmath.fsum(f * mpmath.cos(k * at * step) for k, f in enumerate(parts))
            assert abs(float(value) - wanted) <= float(np.spacing(value)) / 2


def test_a_window_of_nothing_is_refused():
    for size in (0, -1, 1, 1 << 40):
        why = refusal(
            "HannWindow", {"x": numbers(1)}, {"n": np.int64(size)}, order=["n"], periodic=0
        )
        assert f"a window of {size}" in why
    why = refusal("HannWindow", {"n": np.array(4)})
    assert "size depend on the model's inputs" in why
    why = refusal(
        "HannWindow", {"x": numbers(1)}, {"n": np.int64(4)}, order=["n"], output_datatype=11
    )
    assert "make it float32" in why


@pytest.mark.parametrize("seed", range(8))
def test_mel_weights_are_those_of_onnx(seed):
    rng = np.random.default_rng(seed)
    length = int(rng.choice([64, 256, 400, 512]))
    low, high = np.float32(rng.uniform(0, 300)), np.float32(rng.uniform(2000, 8000))
    given = [*map(np.int64, (int(rng.integers(4, 80)), length, 16000)), low, high]
    data = model("MelWeightMatrix", {}, {f"c{at}": array for at, array in enumerate(given)})
    (wanted,) = ReferenceEvaluator(ModelProto.FromString(data)).run(None, {})
    ours = constant("MelWeightMatrix", *given)
    assert ours.shape == wanted.shape
    np.testing.assert_allclose(ours, wanted, rtol=1e-6)


def test_transforms_that_mean_nothing_are_refused():
    z = {"z": numbers(1, 4, 2)}
    assert "give it real ones" in refusal("DFT", z, onesided=1)
    assert "that of the parts" in refusal("DFT", z, {"n": ints(4), "a": ints(2)})
    assert "give [*, length, 1 or 2]" in refusal("DFT", {"x": numbers(1, 4, 3)})
    assert "give it complex ones" in refusal("DFT", {"x": numbers(1, 4, 1)}, onesided=1, inverse=1)
    x = {"x": numbers(1, 8, 1)}
    assert "frames of 9" in refusal(
        "STFT", x, {"s": ints(1), "n": ints(9)}, order=["x", "s", "", "n"]
    )
    assert "bands end at bin" in refusal(
        "MelWeightMatrix",
        {"x": numbers(1)},
        {"a": ints(4), "b": ints(16), "c": ints(100), "d": np.float32(0), "e": np.float32(900)},
        order=list("abcde"),
    )
