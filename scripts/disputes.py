"""Writes whole disputes about real programs, for tests/contracts/RealDispute.t.sol.

Two models are run honestly, and by operators who get one element wrong and go on with it. For each
run there are the parts of the trace that a challenger demands, and the proof against it. Each is
one line of hex in tests/vectors/disputes.json, the ABI encoding of the struct `Vector`. --check
compares with that file and writes nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eth_abi.abi import encode

from oracle.exact.lowering.graph import lower
from oracle.exact.plan import planned_plainly
from oracle.exact.program import OperandKind, Program
from oracle.exact.proofs.evidence import ClaimKind, WholeTrace, build, descriptors, runs
from oracle.exact.proofs.trace import Trace
from oracle.exact.run import Runner
from oracle.merkle import LEAF
from oracle.tensor import Array, canonical, to_bytes
from scripts.bits import numbers
from tests.unit.exact.files import file, node, tensor

VECTORS = Path(__file__).resolve().parent.parent / "tests/vectors/disputes.json"
VALUE_TREE = (1 << 32) - 1
LEAVES = 255

_STEP = "((uint32,uint8,uint32,uint32),bytes,bytes,bytes32[])"
VECTOR = f"(bytes32,bytes,uint256,bytes,bytes32,{_STEP}[],bytes)"

Step = tuple[tuple[int, int, int, int], bytes, bytes, list[bytes]]


@dataclass(frozen=True)
class Lie:
    """An element that the operator gets wrong by one bit, and from which it goes on rightly."""

    node: int
    element: int


def logistic() -> bytes:
    """Makes a logistic regression of 30 features."""
    nodes = [node("Gemm", ["x", "w", "b"], ["z"]), node("Sigmoid", ["z"], ["y"])]
    return file(
        nodes,
        [tensor("x", (1, 30))],
        [tensor("y", (1, 1))],
        w=numbers(1, 30, 1, spread=1),
        b=numbers(2, 1),
    )


def perceptron() -> bytes:
    """Makes a perceptron 64 → 48 → 10 with tanh between."""
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"]),
        node("Tanh", ["h"], ["t"]),
        node("Gemm", ["t", "v", "c"], ["y"]),
    ]
    weights = {"w": numbers(3, 64, 48, spread=1), "v": numbers(4, 48, 10)}
    biases = {"b": numbers(5, 48), "c": numbers(6, 10)}
    return file(nodes, [tensor("x", (1, 64))], [tensor("y", (1, 10))], **weights, **biases)


def values(program: Program, inputs: Sequence[Array], lie: Lie | None) -> Iterator[Array]:
    """Yields each node's value, as `Runner.values` does, but with the lie in it."""
    plan = planned_plainly(program)
    slots = [*inputs, *plan.start[len(inputs) :]]
    for step in plan.steps:
        value = canonical(step.kernel(*step.operands(slots)))
        if lie and step.slot == len(inputs) + lie.node:
            value = value.copy()
            value.reshape(-1).view(np.uint32)[lie.element] ^= 1
        slots[step.slot] = value
        if len(inputs) <= step.slot < len(inputs) + len(program.nodes):
            yield value


def steps(program: Program, trace: Trace, lie: Lie, is_output: bool) -> Iterator[Step]:
    """Yields what a challenger demands: all roots, the wrong leaf, and the leaves that it reads."""
    count = len(program.nodes)
    opened = trace.open_values(0, 0, count)
    yield (
        (VALUE_TREE, 0, 0, count),
        descriptors(program),
        b"".join(opened.hashes),
        list(opened.siblings),
    )
    if not is_output:
        width = program.nodes[lie.node].output.dtype.itemsize
        yield leaves(program, trace, lie.node, lie.element * width // LEAF, 1)
    sources = WholeTrace(trace, ())
    for operand, first, size in runs(program, lie.node, lie.element, sources):
        if operand.kind is OperandKind.VALUE:
            yield leaves(program, trace, operand.index, first, size)


def leaves(program: Program, trace: Trace, value: int, first: int, count: int) -> Step:
    opened = trace.open_run(value, first, count)
    data = b"".join(opened.run.leaves)
    siblings = [*opened.run.siblings, *opened.siblings]
    return (value, LEAVES, first, count), descriptors(program, value), data, siblings


def vector(onnx: bytes, seed: int, claim: Lie, lying: bool) -> bytes:
    """Encodes one run, and the proof that the element is wrong."""
    program = lower(onnx)
    inputs = [numbers(seed, *program.signature.inputs[0].shape, spread=1)]
    honest = list(Runner(program, plain=True).values(inputs))
    assert all(map(np.array_equal, honest, values(program, inputs, None)))
    trace = Trace(program, list(values(program, inputs, claim)) if lying else honest)
    (output,) = program.outputs
    is_output = claim.node == output.index
    kind = ClaimKind.OUTPUT if is_output else ClaimKind.VALUE
    found = (
        program.root,
        to_bytes(inputs[0]),
        output.type.elements,
        to_bytes(trace.values[output.index]),
        trace.root,
        list(steps(program, trace, claim, is_output)),
        build(program, claim.node, claim.element, WholeTrace(trace, inputs), kind),
    )
    return encode([VECTOR], [found])


def vectors() -> dict[str, str]:
    made = {
        "logistic_dot": vector(logistic(), 7, Lie(0, 0), True),
        "logistic_output": vector(logistic(), 7, Lie(1, 0), True),
        "logistic_honest": vector(logistic(), 7, Lie(0, 0), False),
        "perceptron_tanh": vector(perceptron(), 8, Lie(1, 37), True),
        "perceptron_output": vector(perceptron(), 8, Lie(2, 9), True),
        "perceptron_honest": vector(perceptron(), 8, Lie(1, 37), False),
    }
    return {name: "0x" + data.hex() for name, data in made.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    text = json.dumps(vectors(), indent=1) + "\n"
    if parser.parse_args().check:
        return int(VECTORS.read_text() != text)
    VECTORS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
