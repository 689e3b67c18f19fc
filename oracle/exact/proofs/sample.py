"""Compares a run with the plain rules, at a sample of elements of each node.

It stands in where there is no second opinion to be had on a result that we are about to sign. The
sample follows from a seed: whoever asks again gets the same answer.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from oracle.errors import RunsDiffer
from oracle.exact.program import Node, Operand, OperandKind, Program
from oracle.exact.proofs.element import plain_element, reads_of
from oracle.exact.run import Runner
from oracle.tensor import Array, canonical, to_bytes

DRAWN = 2  # elements of a node, besides the first, the last and the largest
# Elements that are read for all of the sample: about five seconds of the plain rules. Of a program
# that would take more, the nodes that come first in an order by seed are looked at.
MOST_READS = 1 << 22


def check(runner: Runner, inputs: Sequence[Array], output: bytes, seed: bytes) -> None:
    """Runs the program anew, node by node, and raises RunsDiffer where the output is another, or a
    node's value is not what the plain rules make of its operands."""
    program = runner.program
    chosen = _chosen(program, np.random.default_rng(list(seed)))
    read = [np.asarray(canonical(array)) for array in inputs]
    outputs = {operand.index for operand in program.outputs}
    given: dict[int, Array] = {}
    for index, values in enumerate(_with_operands(runner, read)):
        node, value = program.nodes[index], values[index]
        if index in chosen:
            operands = [_array(operand, program, read, values) for operand in node.operands]
            _compare(index, node, operands, value, chosen[index])
        if index in outputs:
            given[index] = np.array(value)
    if b"".join(to_bytes(given[operand.index]) for operand in program.outputs) != output:
        raise RunsDiffer("Two runs here give different outputs: this machine is not sound.")


def _chosen(program: Program, rng: np.random.Generator) -> dict[int, Sequence[float]]:
    """Draws which nodes to look at, and where in each, as parts of the whole: outputs first."""
    outputs = {operand.index for operand in program.outputs}
    order = rng.permutation(len(program.nodes)).tolist()
    left, found = MOST_READS, {}
    for index in sorted(order, key=lambda index: index not in outputs):
        node = program.nodes[index]
        cost = (3 + DRAWN) * reads_of(node) if node.output.elements else left + 1
        if cost <= left:
            left -= cost
            found[index] = rng.random(DRAWN).tolist()
    return found


def _with_operands(runner: Runner, inputs: Sequence[Array]) -> Iterator[Mapping[int, Array]]:
    """Yields for each node, in order, the values that it reads, and its own; what nobody reads
    again is dropped."""
    nodes = runner.program.nodes
    last = {
        operand.index: at
        for at, node in enumerate(nodes)
        for operand in node.operands
        if operand.kind is OperandKind.VALUE
    }
    held: dict[int, Array] = {}
    for at, (node, value) in enumerate(zip(nodes, runner.values(inputs), strict=True)):
        held[at] = value
        yield held
        read = {o.index for o in node.operands if o.kind is OperandKind.VALUE}
        for index in (*read, at):
            if last.get(index, at) == at:
                held.pop(index, None)


def _array(
    operand: Operand, program: Program, inputs: Sequence[Array], values: Mapping[int, Array]
) -> Array:
    match operand.kind:
        case OperandKind.INPUT:
            return inputs[operand.index]
        case OperandKind.CONSTANT:
            return program.constants[operand.index].array
        case OperandKind.VALUE:
            return values[operand.index]


def _compare(
    index: int, node: Node, operands: Sequence[Array], value: Array, drawn: Sequence[float]
) -> None:
    flat = value.reshape(-1)
    with np.errstate(all="ignore"):
        largest = int(np.argmax(np.abs(flat.astype(np.float64))))
    places = {0, flat.size - 1, largest, *(int(part * flat.size) for part in drawn)}
    for place in sorted(places):
        plain = to_bytes(plain_element(node, place, operands))
        ours = to_bytes(flat[place : place + 1])
        if plain != ours:
            raise RunsDiffer(
                f"Element {place} of node {index} ({node.op.name}) is 0x{ours.hex()} by our"
                f" kernels and 0x{plain.hex()} by the plain rules."
            )
