"""A small network to publish, ask and audit: two layers, a label, and payloads for it."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import pack
from oracle.exact.run import Runner
from oracle.tensor import to_bytes
from oracle.types import Assurance, Signature

WIDTH = 40  # more than a leaf holds


@dataclass(frozen=True)
class Network:
    onnx: bytes

    @property
    def source_hash(self) -> bytes:
        return hashlib.sha256(self.onnx).digest()

    @property
    def program(self) -> Program:
        return _lowered(self.onnx)

    @property
    def file(self) -> bytes:
        """The program file."""
        return pack(self.program, self.source_hash)

    @property
    def signature(self) -> Signature:
        return self.program.signature

    @property
    def terms(self) -> dict[str, Any]:
        """What of a Model is this network's."""
        return {
            "program_root": self.program.root,
            "source_hash": self.source_hash,
            "signature": self.signature,
            "assurance": Assurance.EXACT,
        }

    def payload(self, seed: int = 0) -> bytes:
        rows = np.random.default_rng(seed).standard_normal((1, WIDTH), np.float32)
        return to_bytes(rows)

    def output(self, payload: bytes) -> bytes:
        return Runner(self.program).infer(payload)

    def lie(self, payload: bytes, at: int = 3) -> bytes:
        """The output with one bit of a score flipped."""
        output = bytearray(self.output(payload))
        output[at] ^= 1
        return bytes(output)

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.program.root.hex()}.safetensors"
        path.write_bytes(self.file)
        return path


@cache
def network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    shapes = {"w0": (WIDTH, WIDTH), "b0": (WIDTH,), "w1": (WIDTH, 5), "b1": (5,)}
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape, np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["sum"], "first"),
        helper.make_node("Relu", ["sum"], ["hidden"], "relu"),
        helper.make_node("Gemm", ["hidden", "w1", "b1"], ["scores"], "second"),
        helper.make_node("ArgMax", ["scores"], ["label"], "label", axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5]),
            helper.make_tensor_value_info("label", TensorProto.INT64, [1]),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return Network(model.SerializeToString(deterministic=True))


@cache
def _lowered(onnx: bytes) -> Program:
    return lower(onnx)
