"""Models whose nodes are too long to prove whole."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from onnx import NodeProto, helper

from oracle.tensor import Array
from tests.unit.exact.files import file, tensor

node = helper.make_node

Model = tuple[bytes, Mapping[str, Array]]


def _floats(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _list(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def group_norm(elements: int) -> Model:
    """Of one group of so many elements, which grow from a small image."""
    side = int((elements // 4) ** 0.5)
    nodes = [
        node("Mul", ["x", "grown"], ["g"]),
        node("GroupNormalization", ["g", "scale", "bias"], ["n"], num_groups=2),
        node("MaxPool", ["n"], ["y"], kernel_shape=[16, 16], strides=[16, 16]),
    ]
    constants = {"grown": _floats(1, 8, side, side), "scale": _floats(8), "bias": _floats(8)}
    return file(nodes, [tensor("x", [1, 8, 1, 1])], ["y"], **constants), {"x": _floats(1, 8, 1, 1)}


def vocabulary(op: str, words: int) -> Model:
    """Scores of so many words; of Softmax the first few."""
    nodes = [node("MatMul", ["x", "w"], ["scores"]), node(op, ["scores"], ["s"], axis=1)]
    constants = {"w": _floats(8, words)}
    if op == "Softmax":
        nodes.append(node("Slice", ["s", "first", "end"], ["y"]))
        constants |= {"first": _list(0, 0), "end": _list(1, 4)}
    output = "y" if op == "Softmax" else "s"
    return file(nodes, [tensor("x", [1, 8])], [output], **constants), {"x": _floats(1, 8)}


def top(words: int, most: int) -> Model:
    """The first and the last few of so many."""
    nodes = [
        node("MatMul", ["x", "w"], ["scores"]),
        node("TopK", ["scores", "k"], ["values", "places"]),
        node("Gather", ["values", "some"], ["v"], axis=1),
        node("Gather", ["places", "some"], ["i"], axis=1),
    ]
    some = np.r_[:5, most - 5 : most]
    constants = {"w": _floats(8, words), "k": _list(most), "some": some}
    return file(nodes, [tensor("x", [1, 8])], ["v", "i"], **constants), {"x": _floats(1, 8)}


def convolution(channels: int) -> Model:
    """3 × 3, over so many channels."""
    nodes = [
        node("Conv", ["x", "first"], ["h"]),
        node("Conv", ["h", "w", "bias"], ["y"], pads=[1, 1, 1, 1]),
    ]
    weights = {"first": _floats(channels, 4, 1, 1), "w": _floats(3, channels, 3, 3) / 64}
    data = file(nodes, [tensor("x", [1, 4, 5, 5])], ["y"], **weights, bias=_floats(3))
    return data, {"x": _floats(1, 4, 5, 5)}


def joined(operands: int) -> Model:
    names = [f"a{at}" for at in range(operands)]
    nodes = [node("Add", ["x", f"c{at}"], [name]) for at, name in enumerate(names)]
    nodes.append(node("Concat", names, ["y"], axis=1))
    constants = {f"c{at}": np.array([at], np.float32) for at in range(operands)}
    return file(nodes, [tensor("x", [1, 2])], ["y"], **constants), {"x": _floats(1, 2)}


def recurrent(steps: int) -> Model:
    hidden = 8
    weights = {"w": _floats(1, 3 * hidden, 4), "r": _floats(1, 3 * hidden, hidden)}
    made = node("GRU", ["x", "w", "r"], ["y", "h"], hidden_size=hidden)
    return file([made], [tensor("x", [steps, 1, 4])], ["y"], **weights), {"x": _floats(steps, 1, 4)}


def distances() -> NodeProto:
    """Of x to each row, squared and one by one, as sklearn's converter writes them for neighbours
    and for Gaussian processes."""
    nodes = [
        node("Identity", ["seen"], ["again"]),
        node("Sub", ["seen", "row"], ["apart"]),
        node("ReduceSumSquare", ["apart"], ["distance"], keepdims=0),
    ]
    ins, outs = [tensor("seen", [1, 4]), tensor("row", [4])], [tensor("again", [1, 4])]
    body = helper.make_graph(nodes, "body", ins, [*outs, tensor("distance", [])])
    return node("Scan", ["x", "rows"], ["last", "d"], body=body, num_scan_inputs=1)


def neighbours(rows: int) -> Model:
    """The mean of what the five nearest rows have."""
    nodes = [
        distances(),
        node("TopK", ["d", "five"], ["near", "places"], largest=0),
        node("Gather", ["targets", "places"], ["found"]),
        node("ReduceMean", ["found"], ["y"], keepdims=1),
    ]
    constants = {"rows": _floats(rows, 4), "five": _list(5), "targets": _floats(rows, seed=1)}
    return file(nodes, [tensor("x", [1, 4])], ["y"], **constants), {"x": _floats(1, 4, seed=2)}


def gaussian_process(rows: int) -> Model:
    nodes = [
        distances(),
        node("Mul", ["d", "scale"], ["scaled"]),
        node("Exp", ["scaled"], ["kernel"]),
        node("MatMul", ["kernel", "weights"], ["y"]),
    ]
    constants = {"rows": _floats(rows, 4), "weights": _floats(rows, 1, seed=1)}
    data = file(nodes, [tensor("x", [1, 4])], ["y"], **constants, scale=np.float32(-0.5))
    return data, {"x": _floats(1, 4, seed=2)}


MODELS: dict[str, Callable[[], Model]] = {
    "group_norm_65536": partial(group_norm, 1 << 16),
    "softmax_131072": partial(vocabulary, "Softmax", 1 << 17),
    "argmax_131072": partial(vocabulary, "ArgMax", 1 << 17),
    "top_10_of_65536": partial(top, 1 << 16, 10),
    "top_9000_of_65536": partial(top, 1 << 16, 9_000),
    "conv_2048": partial(convolution, 2_048),
    "concat_1200": partial(joined, 1_200),
    "gru_512": partial(recurrent, 512),
    "neighbours_2000": partial(neighbours, 2_000),
    "gaussian_process_2000": partial(gaussian_process, 2_000),
}
