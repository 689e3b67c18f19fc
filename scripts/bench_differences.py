"""Runs small models on which the law and onnxruntime differ by more than their last digits in both.

Prints what both give. A model on which they agree is a failure: it is no difference any more.
--write renews the table of docs/differences.md.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from oracle.tensor import Array
from tests.unit.exact.agreement import model
from tests.unit.exact.files import file, ml_node, tensor

PAGE = Path(__file__).resolve().parent.parent / "docs/differences.md"
BEGIN, END = "<!-- ./dev bench differences --write -->\n", "<!-- end -->\n"

INF, NAN = np.inf, np.nan


@dataclass(frozen=True, slots=True)
class Case:
    """One model and its inputs. `by_cpu` says that onnxruntime's answer depends on the processor,
    or on how it lays out its work."""

    what: str
    rule: str
    model: bytes
    inputs: Mapping[str, Array]
    by_cpu: bool = False

    @property
    def given(self) -> str:
        return "; ".join(map(shown, self.inputs.values()))


def law(case: Case) -> str:
    """Runs the case under the law, which is given float32 for every float."""
    floats = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in case.inputs.values()]
    return "; ".join(map(shown, run(lower(case.model), floats)))


def native(case: Case) -> str:
    """Runs the case in onnxruntime, in this process."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            case.model, options, providers=["CPUExecutionProvider"]
        )
        return "; ".join(shown(np.asarray(y)) for y in session.run(None, dict(case.inputs)))
    # onnxruntime's exceptions have no base of their own.
    except Exception:
        return "an error"


def native_apart(case: Case) -> str:
    """Runs the case in onnxruntime, in a process that may die of it."""
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=lambda: answers.put(native(case)))
    child.start()
    child.join(30)
    child.kill()
    try:
        return answers.get(timeout=1)
    except Empty:
        return "the process dies"


def shown(array: Array) -> str:
    return ", ".join(_element(x) for x in array.reshape(-1))


def _element(x: Any) -> str:
    if not isinstance(x, np.floating):
        return str(int(x)).replace("-", "−")
    if np.isnan(x):
        return "NaN"
    sign = "−" if np.signbit(x) else ""
    if np.isinf(x):
        return sign + "∞"
    return sign + f"{abs(float(x)):.6g}".replace("e-", "e−").replace("e+", "e")


# CASES


def floats(*values: float, shape: tuple[int, ...] | None = None) -> Array:
    return np.array(values, np.float32).reshape(shape or (len(values),))


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


def longs(*values: int) -> Array:
    return np.array(values, np.int64)


def case(
    what: str,
    rule: str,
    op: str,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array] | None = None,
    by_cpu: bool = False,
    **rest: Any,
) -> Case:
    return Case(what, rule, model(op, inputs, constants, **rest), inputs, by_cpu)


def of_ml(
    what: str, rule: str, op: str, x: Array, outputs: tuple[str, ...] = ("y",), **attributes: Any
) -> Case:
    info = tensor("x", x.shape, helper.np_dtype_to_tensor_dtype(x.dtype))
    data = file([ml_node(op, ["x"], outputs, **attributes)], [info], list(outputs))
    return Case(what, rule, data, {"x": x})


def cases() -> Iterator[Case]:
    yield from _nan()
    yield from _numbers()
    yield from _integers()
    yield from _dtypes()
    yield from _places()
    yield from _windows()
    yield from _tabular()


def _nan() -> Iterator[Case]:
    above = "NaN is above +∞, wherever it stands"
    x = floats(1, NAN, 3, -INF)
    k = longs(2)
    yield case("TopK with NaN", above, "TopK", {"x": x}, {"k": k}, outputs=2)
    below = "NaN is below −∞, wherever it stands"
    yield case("TopK of the smallest", below, "TopK", {"x": x}, {"k": k}, outputs=2, largest=0)
    yield case("TopK of all", above, "TopK", {"x": x}, {"k": longs(4)}, outputs=2)
    row = {"x": floats(5, NAN, 4, 7, shape=(1, 4))}
    yield case("ArgMax of a row with NaN", above, "ArgMax", row, axis=1, by_cpu=True)
    yield case("ArgMin of a row with NaN", below, "ArgMin", row, axis=1, by_cpu=True)
    columns = floats(1, 2, NAN, 3, 5, 6, shape=(3, 2))
    yield case(
        "ArgMax of columns with NaN",
        above,
        "ArgMax",
        {"x": columns},
        axis=0,
        keepdims=0,
        by_cpu=True,
    )
    yield case(
        "ArgMin, the last index, with NaN",
        below,
        "ArgMin",
        {"x": floats(5, NAN, 4)},
        keepdims=0,
        select_last_index=1,
        by_cpu=True,
    )
    yield case("Hardmax with NaN", above, "Hardmax", {"x": floats(1, NAN, 2, shape=(1, 3))})
    any_nan = "NaN if any is NaN"
    yield case("ReduceMax with NaN", any_nan, "ReduceMax", {"x": floats(1, NAN, 3)}, by_cpu=True)
    yield case(
        "MaxPool with NaN",
        any_nan,
        "MaxPool",
        {"x": floats(1, NAN, NAN, 1, shape=(1, 1, 4))},
        kernel_shape=[2],
        strides=[2],
        by_cpu=True,
    )
    yield case(
        "MaxPool of −∞ alone",
        "−∞",
        "MaxPool",
        {"x": floats(-INF, -INF, shape=(1, 1, 2))},
        kernel_shape=[2],
    )
    scale, zero = {"s": np.array(1, np.float32)}, np.array(3, np.uint8)
    yield case(
        "QuantizeLinear of NaN",
        "the zero point",
        "QuantizeLinear",
        {"x": floats(NAN, 1)},
        {**scale, "z": zero},
        by_cpu=True,
    )
    yield case(
        "DynamicQuantizeLinear with NaN",
        "NaN is in the extrema, so in the scale",
        "DynamicQuantizeLinear",
        {"x": floats(1, NAN, -1)},
        outputs=3,
        by_cpu=True,
    )
    yield case(
        "GridSample at NaN and ∞",
        "as its arithmetic says",
        "GridSample",
        {
            "x": floats(0, 1, 2, 3, shape=(1, 1, 2, 2)),
            "g": floats(NAN, 0, INF, 0, shape=(1, 1, 2, 2)),
        },
        opset=20,
    )


def _numbers() -> Iterator[Case]:
    no_bound = "a bound left out does not clamp"
    yield case("Clip of ±∞ without bounds", no_bound, "Clip", {"x": floats(INF, -INF)})
    one = "there is one zero, and 1/0 is +∞"
    yield case("Reciprocal of −0", one, "Reciprocal", {"x": floats(-0.0)})
    yield case("Div by −0", one, "Div", {"x": floats(1), "y": floats(-0.0)})
    yield case("Pow of −0", one, "Pow", {"x": floats(-0.0)}, {"e": np.array(-1, np.float32)})
    yield case(
        "Pow of −∞ by ½",
        "a constant ½ is SQRT",
        "Pow",
        {"x": floats(-INF)},
        {"e": np.array(0.5, np.float32)},
    )
    once = "sums are exact and rounded once"
    yield case("ReduceSum that cancels", once, "ReduceSum", {"x": floats(1e8, 1, -1e8)})
    yield case(
        "MatMul that cancels",
        once,
        "MatMul",
        {"x": floats(1e8, 1, -1e8, shape=(1, 3))},
        {"y": floats(1, 1, 1, shape=(3, 1))},
    )
    yield case(
        "CumSum that cancels",
        once,
        "CumSum",
        {"x": floats(1e8, 1, -1e8)},
        {"a": np.array(0)},
    )
    yield case("ReduceSum beyond the largest", once, "ReduceSum", {"x": floats(3e38, 3e38, -3e38)})
    yield case("ReduceMean beyond the largest", once, "ReduceMean", {"x": floats(3e38, 3e38)})
    yield case(
        "GroupNormalization far from 0",
        "the mean is subtracted first",
        "GroupNormalization",
        {"x": floats(1e4, 1e4 + 1, shape=(1, 1, 2))},
        {"s": floats(1), "b": floats(0)},
        num_groups=1,
    )
    yield case(
        "InstanceNormalization far from 0",
        "ε is not lost",
        "InstanceNormalization",
        {"x": floats(1e4, 1e4 + 1, shape=(1, 1, 2))},
        {"s": floats(1), "b": floats(0)},
    )
    right = "correctly rounded, subnormals too"
    yield case("Sigmoid far below 0", right, "Sigmoid", {"x": floats(-15.93, -50, -90)})


def _integers() -> Iterator[Case]:
    yield case("Div of integers by 0", "0", "Div", {"x": ints(1, 5), "y": ints(0, 2)})
    yield case("Div of the lowest by −1", "the lowest", "Div", {"x": ints(-(2**31)), "y": ints(-1)})
    yield case("Mod of integers by 0", "x", "Mod", {"x": ints(1, 5), "y": ints(0, 2)})
    wrap = "integers wrap"
    most = 2**31 - 1
    yield case("ReduceSum of int32", wrap, "ReduceSum", {"x": ints(most, 1)})
    yield case("ReduceMean of int32", "DIV of the wrapped sum", "ReduceMean", {"x": ints(most, 1)})
    yield case("ReduceProd of int32", wrap, "ReduceProd", {"x": ints(65536, 65537)})
    yield case("Pow of int32", wrap, "Pow", {"x": ints(65537)}, {"e": np.array(2, np.int32)})
    clamped = "NaN is 0, the rest is clamped"
    x = floats(NAN, 300, -300, INF)
    for name, dtype in (("int8", TensorProto.INT8), ("uint8", TensorProto.UINT8)):
        yield case(f"Cast to {name}", clamped, "Cast", {"x": x}, to=dtype, by_cpu=True)
    x = floats(NAN, 3e9, -3e9, INF)
    yield case("Cast to int32", clamped, "Cast", {"x": x}, to=TensorProto.INT32, by_cpu=True)


def _dtypes() -> Iterator[Case]:
    half = np.float16
    rule = "float16 is computed in float32"
    yield case(
        "Mul in float16", rule, "Mul", {"x": np.array([300, 1], half)}, {"c": np.array(400, half)}
    )
    yield case(
        "Add in float16", rule, "Add", {"x": np.array([2048], half)}, {"c": np.array(1, half)}
    )
    near = np.array([np.float32(0.1)], np.float64)
    rule = "float64 is computed in float32, constants are rounded once"
    yield case("Sub in float64", rule, "Sub", {"x": near}, {"c": np.array(0.1)})


def _places() -> Iterator[Case]:
    nearest = "the nearest place"
    data = floats(1, 2, 3)
    where = longs(0, 7, -9)
    yield case("Gather beyond the end", nearest, "Gather", {"x": data, "i": where})
    yield case("GatherElements beyond the end", nearest, "GatherElements", {"x": data, "i": where})
    updates = floats(5, 6)
    yield case(
        "ScatterElements beyond the end",
        nearest,
        "ScatterElements",
        {"x": data, "i": longs(1, 5), "u": updates},
    )
    yield case(
        "Pad by wrap, one end negative",
        "the whole axis is wrapped, before the cut",
        "Pad",
        {"x": floats(1, 2, 3, 4, 5)},
        {"p": longs(-1, 2)},
        mode="wrap",
    )
    yield case(
        "AffineGrid with align_corners, a side of 1",
        "its place is 0",
        "AffineGrid",
        {"x": floats(1, 0, 0, 0, 1, 0, shape=(1, 2, 3))},
        {"s": longs(1, 1, 1, 2)},
        align_corners=1,
    )
    yield case(
        "Resize 14 → 2, asymmetric, floor",
        "coordinates are rational",
        "Resize",
        {"x": np.arange(14, dtype=np.float32)},
        {"s": longs(2)},
        order=["x", "", "", "s"],
        coordinate_transformation_mode="asymmetric",
        mode="nearest",
        nearest_mode="floor",
    )
    yield case(
        "Resize by a scale that keeps the length",
        "the scale is used all the same",
        "Resize",
        {"x": np.arange(4, dtype=np.float32)},
        {"s": floats(1.2)},
        order=["x", "", "s"],
        coordinate_transformation_mode="asymmetric",
        mode="nearest",
        nearest_mode="floor",
    )
    yield case(
        "Resize by tf_crop_and_resize, scale 1",
        "the roi is used all the same",
        "Resize",
        {"x": np.arange(6, dtype=np.float32).reshape(1, 6)},
        {"r": floats(0, 0.1, 1, 0.8), "s": floats(1, 1)},
        order=["x", "r", "s"],
        coordinate_transformation_mode="tf_crop_and_resize",
        mode="nearest",
    )


def _windows() -> Iterator[Case]:
    counts = "⌈size / stride⌉ windows, the dilation counts"
    x = {"x": np.arange(6, dtype=np.float32).reshape(1, 1, 6)}
    same: dict[str, Any] = {"auto_pad": "SAME_UPPER", "dilations": [2]}
    yield case("AveragePool, SAME, dilated", counts, "AveragePool", x, kernel_shape=[2], **same)
    yield case("MaxPool, SAME, dilated", counts, "MaxPool", x, kernel_shape=[2], **same)
    two = {"w": np.ones((1, 1, 2), np.float32)}
    yield case("Conv, SAME, dilated", counts, "Conv", x, two, **same)
    three = {"x": floats(1, 2, 3, shape=(1, 1, 3))}
    yield case(
        "ConvTranspose, SAME, kernel below stride",
        "size · stride elements",
        "ConvTranspose",
        three,
        two,
        auto_pad="SAME_UPPER",
        strides=[3],
    )
    yield case(
        "Conv with an infinite weight on padding",
        "a tap on no element is no term",
        "Conv",
        three,
        {"w": floats(INF, 1, 1, shape=(1, 1, 3))},
        pads=[1, 1],
    )


def _tabular() -> Iterator[Case]:
    stump: dict[str, Any] = {
        "nodes_treeids": [0] * 3,
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0] * 3,
        "nodes_values": [0.0] * 3,
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
    }
    leaves: dict[str, Any] = {
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [-2.0, 2.0],
    }
    x = floats(-1, 1, shape=(2, 1))
    for transform in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        yield of_ml(
            f"{transform} of a regressor with one target",
            "as of several",
            "TreeEnsembleRegressor",
            x,
            **stump,
            **leaves,
            n_targets=1,
            post_transform=transform,
        )
    yield of_ml(
        "base value of a target without a weight",
        "is added",
        "TreeEnsembleRegressor",
        x,
        **stump,
        **leaves,
        n_targets=2,
        base_values=[0.0, 5.0],
    )
    yield of_ml(
        "classes of which only a negative one has a weight",
        "the largest score wins, 0 of the others too",
        "TreeEnsembleClassifier",
        x,
        ("label", "y"),
        **stump,
        class_treeids=[0, 0],
        class_nodeids=[1, 2],
        class_ids=[1, 2],
        class_weights=[-2.0, 2.0],
        classlabels_int64s=[0, 1, 2],
    )
    yield of_ml(
        "NaN in a chain of = whose nodes differ in where it goes",
        "as each node says",
        "TreeEnsembleRegressor",
        floats(1, 2, 3, NAN, shape=(4, 1)),
        nodes_treeids=[0] * 4,
        nodes_nodeids=[0, 1, 2, 3],
        nodes_featureids=[0] * 4,
        nodes_values=[1.0, 2.0, 0.0, 0.0],
        nodes_modes=["BRANCH_EQ", "BRANCH_EQ", "LEAF", "LEAF"],
        nodes_truenodeids=[2, 2, 0, 0],
        nodes_falsenodeids=[1, 3, 0, 0],
        nodes_missing_value_tracks_true=[0, 1, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[2, 3],
        target_ids=[0, 0],
        target_weights=[1.0, 2.0],
        n_targets=1,
    )
    yield of_ml(
        "LabelEncoder of NaN",
        "a key NaN equals NaN",
        "LabelEncoder",
        floats(NAN, 1, 2),
        keys_floats=[NAN, 1.0],
        values_floats=[5.0, 6.0],
        default_float=9.0,
    )
    yield of_ml(
        "OneHotEncoder, zeros = 0, an unknown category",
        "zeros",
        "OneHotEncoder",
        np.array([[1], [3]]),
        cats_int64s=[1, 2],
        zeros=0,
    )
    yield of_ml(
        "Binarizer of NaN",
        "NaN is not above the threshold",
        "Binarizer",
        floats(NAN, 1, shape=(1, 2)),
        threshold=0.0,
    )
    yield Case(
        "ArrayFeatureExtractor beyond the end",
        "the nearest place",
        file(
            [ml_node("ArrayFeatureExtractor", ["x", "i"], ["y"])],
            [tensor("x", [1, 2]), tensor("i", [1], TensorProto.INT64)],
            ["y"],
        ),
        {"x": floats(1, 2, shape=(1, 2)), "i": longs(5)},
    )


# THE PAGE


def row(case: Case, ours: str, theirs: str) -> str:
    mark = " *" if case.by_cpu else ""
    return f"| {case.what} | {case.rule} | {case.given} | {ours} | {theirs}{mark} |"


def table(rows: list[str]) -> str:
    heads = f"| | the law's rule | given | the law | onnxruntime {onnxruntime.__version__} |"
    return "\n".join([heads, "|---|---|---|---|---|", *rows]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench differences")
    parser.add_argument("--write", action="store_true", help="renew docs/differences.md")
    arguments = parser.parse_args()

    found = [(each, law(each), native_apart(each)) for each in cases()]
    printed = Table("", "given", "the law", "onnxruntime", title="Differences", show_lines=True)
    for each, ours, theirs in found:
        printed.add_row(each.what, each.given, ours, theirs)
    Console().print(printed)
    if arguments.write:
        before, rest = PAGE.read_text().split(BEGIN)
        rows = [row(*each) for each in found]
        PAGE.write_text(before + BEGIN + table(rows) + END + rest.split(END)[1])
    agreed = [each.what for each, ours, theirs in found if ours == theirs]
    if agreed:
        print(f"no difference any more: {'; '.join(agreed)}", file=sys.stderr)
    return 1 if agreed else 0


if __name__ == "__main__":
    sys.exit(main())
