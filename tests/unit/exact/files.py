"""ONNX files for tests, each field fixed, so that a file is the same bytes every time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Shape = Sequence[int | str | None] | None


def tensor(name: str, shape: Shape, dtype: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, name=f"my{op}", **attributes)


def ml_node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return node(op, inputs, outputs, domain="ai.onnx.ml", **attributes)


def proto(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto | str],
    opset: int = 21,
    ml_opset: int = 3,
    **constants: np.ndarray,
) -> ModelProto:
    """A model whose outputs may be named without saying what they are."""
    infos = [ValueInfoProto(name=o) if isinstance(o, str) else o for o in outputs]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, infos, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="test")


def file(*arguments: Any, **options: Any) -> bytes:
    return bytes(proto(*arguments, **options).SerializeToString(deterministic=True))


def stumps(mode: str = "BRANCH_LEQ", *, missing: int = 0, threshold: float = 0.0) -> dict[str, Any]:
    """The nodes of two trees of one comparison each, on feature 0, leaves 1 (true) and 2."""
    return {
        "nodes_treeids": [0] * 3 + [1] * 3,
        "nodes_nodeids": [0, 1, 2] * 2,
        "nodes_featureids": [0] * 6,
        "nodes_values": [threshold, 0.0, 0.0, 1.0, 0.0, 0.0],
        "nodes_modes": [mode, "LEAF", "LEAF"] * 2,
        "nodes_truenodeids": [1, 0, 0] * 2,
        "nodes_falsenodeids": [2, 0, 0] * 2,
        "nodes_missing_value_tracks_true": [missing, 0, 0] * 2,
    }


def regressor(**changes: Any) -> NodeProto:
    """A TreeEnsembleRegressor of two stumps and two targets."""
    attributes = {
        **stumps(),
        "target_treeids": [0] * 4 + [1] * 4,
        "target_nodeids": [1, 1, 2, 2] * 2,
        "target_ids": [0, 1] * 4,
        "target_weights": [1.0, 2.0, 3.0, 4.0, 5.0, -6.0, -7.0, 8.0],
        "n_targets": 2,
    }
    return ml_node("TreeEnsembleRegressor", ["x"], ["y"], **attributes | changes)


def leaning(steps: int) -> NodeProto:
    """A TreeEnsembleRegressor of one tree, of which one walk makes so many comparisons."""
    count = 2 * steps + 1  # inner nodes are even, each with a leaf before the next
    inner = [at % 2 == 0 and at < count - 1 for at in range(count)]
    leaves = [at for at in range(count) if not inner[at]]
    return ml_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_values=[float(at) for at in range(count)],
        nodes_modes=["BRANCH_LEQ" if each else "LEAF" for each in inner],
        nodes_truenodeids=[at + 1 if inner[at] else 0 for at in range(count)],
        nodes_falsenodeids=[at + 2 if inner[at] else 0 for at in range(count)],
        nodes_missing_value_tracks_true=[0] * count,
        target_treeids=[0] * len(leaves),
        target_nodeids=leaves,
        target_ids=[0] * len(leaves),
        target_weights=[1.0] * len(leaves),
        n_targets=1,
    )


def classifier(ids: Sequence[int], weights: Sequence[float], **changes: Any) -> NodeProto:
    """A TreeEnsembleClassifier of one stump, with half of the weights on each leaf."""
    attributes = {name: value[:3] for name, value in stumps().items()} | {
        "class_treeids": [0] * len(ids),
        "class_nodeids": [1 + 2 * place // len(ids) for place in range(len(ids))],
        "class_ids": list(ids),
        "class_weights": list(weights),
        "classlabels_int64s": [3, 5],
    }
    return ml_node("TreeEnsembleClassifier", ["x"], ["label", "y"], **attributes | changes)
