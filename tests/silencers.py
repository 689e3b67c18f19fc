"""Models and inputs that the law makes nothing of, and that onnxruntime does not survive."""

import numpy as np
from onnx import TensorProto, helper

from tests.unit.exact.files import file, node, tensor

INTS = np.dtype(">i4")


def divide() -> bytes:
    """What onnxruntime dies of for −2³¹ / −1, which the law defines."""
    x, y = (tensor(name, [1], TensorProto.INT32) for name in "ab")
    return file([node("Div", ["a", "b"], ["c"])], [x, y], ["c"])


def dead_nodes(count: int) -> bytes:
    """What the law drops, and onnxruntime computes for ever."""
    nodes = [node("Tanh", ["x"], ["y"]), node("Expand", ["x", "shape"], ["d0"])]
    nodes += [helper.make_node("Pow", [f"d{at}", "x"], [f"d{at + 1}"]) for at in range(count)]
    return file(nodes, [tensor("x", [1, 1])], ["y"], shape=np.array([2048, 2048]))


def unloadable() -> bytes:
    """What onnxruntime does not load, since two nodes have one name."""
    nodes = [node("Neg", ["x"], ["a"]), node("Neg", ["a"], ["y"])]
    return file(nodes, [tensor("x", [1])], ["y"])


SILENCERS = {
    "one that kills": (divide(), np.array([-(2**31), -1], INTS).tobytes()),
    "one that stalls": (dead_nodes(600), np.array([0.5], ">f4").tobytes()),
    "one that does not load": (unloadable(), np.array([0.5], ">f4").tobytes()),
}
