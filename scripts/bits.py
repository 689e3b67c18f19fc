"""The same bits everywhere: hashes of all outputs, and trace roots, of models that never change.

Prints one JSON object, {model: {outputs, trace}}. What it must be is in tests/vectors/bits.json,
renewed by --write: a change there is a change of the law or of a lowering.

The samples are made of integers alone, without a library that rounds. --real adds the networks of
`./dev models`. On aarch64, or under qemu-user with that platform's wheels, see docs/checking.md.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from oracle.errors import ModelRefused
from oracle.exact.lowering.graph import lower
from oracle.exact.proofs.trace import trace
from oracle.exact.run import Runner
from oracle.tensor import Array, to_bytes
from scripts.models import RealModel, more_networks, networks
from tests.unit.exact.files import file, node, regressor, tensor

EXPECTED = Path(__file__).resolve().parent.parent / "tests/vectors/bits.json"


def numbers(seed: int, *shape: int, spread: int = 4) -> Array:
    """Makes float32 of either sign with random bits, within 2^±spread of 1."""
    rng = np.random.default_rng(seed)
    mantissa = rng.integers(1 << 23, 1 << 24, shape) * (1 - 2 * rng.integers(0, 2, shape))
    exponents = rng.integers(-spread, spread + 1, shape) - 23
    return np.ldexp(mantissa.astype(np.float64), exponents).astype(np.float32)


def every_kind(count: int) -> Array:
    """Makes float32 of all exponents, infinities and NaN too."""
    step = (1 << 32) // count
    return (np.arange(count, dtype=np.uint64) * step).astype(np.uint32).view(np.float32)


def _model(name: str, onnx: bytes, *inputs: Array) -> RealModel:
    return RealModel(name, "", lambda: onnx, lambda: inputs)


def perceptron() -> RealModel:
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["h"], transB=1),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w1", "b1"], ["s"], transB=1),
        node("Softmax", ["s"], ["p"]),
        node("ArgMax", ["p"], ["label"], axis=1),
    ]
    weights = {
        "w0": numbers(1, 128, 784) / 64,
        "b0": numbers(2, 128),
        "w1": numbers(3, 10, 128) / 256,
        "b1": numbers(4, 10),
    }
    onnx = file(nodes, [tensor("x", [16, 784])], ["p", "label"], **weights)
    return _model("perceptron", onnx, numbers(5, 16, 784))


def attention() -> RealModel:
    nodes = [
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Mul", ["scores", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["weights"], axis=-1),
        node("MatMul", ["weights", "v"], ["mixed"]),
        node("ReduceMean", ["mixed", "axes"], ["mean"]),
        node("Sub", ["mixed", "mean"], ["centred"]),
        node("Mul", ["centred", "centred"], ["squares"]),
        node("ReduceMean", ["squares", "axes"], ["variance"]),
        node("Sqrt", ["variance"], ["deviation"]),
        node("Div", ["centred", "deviation"], ["normal"]),
        node("Erf", ["normal"], ["erf"]),
        node("Mul", ["normal", "erf"], ["y"]),
    ]
    inputs = [tensor(name, [4, 48, 64]) for name in "qkv"]
    axes, scale = np.array([-1]), np.array(1 / 64, np.float32)
    onnx = file(nodes, inputs, ["weights", "y"], scale=scale, axes=axes)
    return _model("attention", onnx, *(numbers(seed, 4, 48, 64) for seed in (6, 7, 8)))


def functions() -> RealModel:
    ops = ("Exp", "Log", "Sigmoid", "Tanh", "Erf", "Sqrt", "Reciprocal")
    nodes = [node(op, ["x"], [op.lower()]) for op in ops]
    onnx = file(nodes, [tensor("x", [1 << 15])], [op.lower() for op in ops])
    return _model("functions", onnx, every_kind(1 << 15))


def ordinary() -> RealModel:
    """Makes a model of the functions where they are neither constant nor infinite."""
    ops = ("Exp", "Sigmoid", "Tanh", "Erf")
    nodes = [node(op, ["x"], [op.lower()]) for op in ops]
    onnx = file(nodes, [tensor("x", [1 << 16])], [op.lower() for op in ops])
    return _model("ordinary", onnx, numbers(9, 1 << 16, spread=3))


def sums() -> RealModel:
    """Makes a model of sums of rows that cancel: x beside −x, and a little more."""
    nodes = [
        node("ReduceSum", ["x", "axes"], ["sum"]),
        node("ReduceMean", ["x", "axes"], ["mean"]),
        node("MatMul", ["x", "w"], ["dot"]),
    ]
    half = numbers(10, 64, 2048, spread=30)
    rows = np.concatenate([half, -half], axis=1)
    rows[:, ::97] = numbers(11, 64, rows[:, ::97].shape[1], spread=8)
    onnx = file(
        nodes,
        [tensor("x", rows.shape)],
        ["sum", "mean", "dot"],
        axes=np.array([1]),
        w=numbers(12, 4096, 24, spread=1),
    )
    return _model("sums", onnx, rows)


def convolution() -> RealModel:
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1"], ["c1"], group=16, pads=[1, 1, 1, 1]),
        node("MaxPool", ["c1"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "w2"], ["c2"]),
        node("GlobalAveragePool", ["c2"], ["y"]),
    ]
    weights = {
        "w0": numbers(13, 16, 3, 3, 3),
        "b0": numbers(14, 16),
        "w1": numbers(15, 16, 1, 3, 3),
        "w2": numbers(16, 24, 16, 1, 1),
    }
    onnx = file(nodes, [tensor("x", [1, 3, 48, 48])], ["y", "c2"], **weights)
    return _model("convolution", onnx, numbers(17, 1, 3, 48, 48))


def trees() -> RealModel:
    onnx = file([regressor()], [tensor("x", [64, 1])], ["y"])
    return _model("trees", onnx, numbers(18, 64, 1))


SAMPLES: tuple[Callable[[], RealModel], ...] = (
    *(perceptron, attention, functions, ordinary, sums, convolution, trees),
)


def bits(model: RealModel) -> dict[str, str]:
    """Hashes the outputs' payload by SHA-256, and gives that and the trace root. Gives the reason
    where the model is refused."""
    inputs = model.inputs()
    try:
        runner = Runner(lower(model.onnx(), model.dims))
    except ModelRefused as refused:
        return {"refused": refused.reasons[0].why}
    outputs = b"".join(map(to_bytes, runner.run(inputs)))
    found = trace(runner, inputs)
    for output, array in zip(found.program.outputs, runner.run(inputs), strict=True):
        assert to_bytes(found.values[output.index]) == to_bytes(array), "a trace is not its run"
    return {"outputs": hashlib.sha256(outputs).hexdigest(), "trace": found.root.hex()}


def all_bits(models: Sequence[RealModel]) -> dict[str, dict[str, str]]:
    return {model.name: bits(model) for model in models}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="the fetched networks too")
    parser.add_argument("--write", action="store_true", help="renew tests/vectors/bits.json")
    parser.add_argument("--check", action="store_true", help="fail where it is not as committed")
    arguments = parser.parse_args()
    models = [make() for make in SAMPLES]
    if arguments.real:
        models += [model for model in (*networks(), *more_networks()) if model.is_here]
    found = all_bits(models)
    if arguments.write:
        known = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
        EXPECTED.parent.mkdir(exist_ok=True)
        kept = {name: value for name, value in (known | found).items() if "trace" in value}
        EXPECTED.write_text(json.dumps(kept, indent=2) + "\n")
    print(json.dumps(found))
    if arguments.check:
        known = json.loads(EXPECTED.read_text())
        same = [name for name in found if known.get(name) == found[name]]
        print(f"{len(same)} of {len(found)} models as committed", file=sys.stderr)
        return int(len(same) < len(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
