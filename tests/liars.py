"""Operators that lie: traces and outputs as a liar would have them, and what it then reveals."""

from dataclasses import dataclass

import numpy as np

from oracle import merkle, serialization
from oracle.cli.demo.liar import output_of, traced
from oracle.exact.proofs.evidence import Payloads
from oracle.exact.proofs.revealed import RevealedTrace
from oracle.exact.proofs.trace import Trace
from oracle.exact.run import Runner
from oracle.inference import findings
from oracle.inference.engine import Pursue
from oracle.tensor import Array, decode, to_bytes
from oracle.types import Part


@dataclass(frozen=True)
class Lie:
    """One element that is off: of a node's value, all behind it computed honestly from it; or,
    with `node` None, of the output payload alone."""

    node: int | None
    element: int
    flip: int = 1  # of the element's bits


def lying_trace(runner: Runner, payload: bytes, lie: Lie) -> tuple[Trace, bytes]:
    """The trace and the output of an operator that tells the lie."""

    def tampered(node: int, value: Array) -> Array:
        return flipped(value, lie.element, lie.flip) if node == lie.node else value

    trace = traced(runner, decode(payload, runner.program.signature.inputs), tampered)
    output = output_of(trace)
    return trace, output if lie.node is not None else misstated(runner, output, lie)


def accuse(runner: Runner, payload: bytes, lie: Lie, task: Pursue) -> bytes:
    """What a challenger finds that believes its own false trace."""
    known = RevealedTrace(lying_trace(runner, payload, lie)[0], task.trace_root)
    for part in task.revealed:
        known.add(*part)
    inputs = decode(payload, runner.program.signature.inputs)
    return serialization.dump(findings.find(known, inputs, Payloads(payload, task.output)))


def flipped(value: Array, element: int, flip: int) -> Array:
    """With other bits in one element, and still a value of its type."""
    data = bytearray(to_bytes(value))
    if not data:
        return value
    width = value.dtype.itemsize
    at = element % value.size * width
    last = at + width - 1
    data[last] ^= 1 if value.dtype == np.bool_ else (flip % 255) + 1
    read = np.frombuffer(bytes(data), value.dtype.newbyteorder(">")).astype(value.dtype)
    return read.reshape(value.shape)


def misstated(runner: Runner, output: bytes, lie: Lie) -> bytes:
    """The payload with the last bit of one element flipped."""
    widths = [(type_.dtype.itemsize, type_.elements) for type_ in runner.program.signature.outputs]
    places, at = [], 0
    for width, elements in widths:
        places += [at + width * (each + 1) - 1 for each in range(elements)]
        at += width * elements
    if not places:
        return output
    data = bytearray(output)
    data[places[lie.element % len(places)]] ^= 1
    return bytes(data)


def revealed(trace: Trace, part: Part) -> tuple[bytes, tuple[bytes, ...]]:
    """What an operator with that trace answers a demand with: data and siblings."""
    return trace.open_part(part)


def leaves(trace: Trace, value: int) -> int:
    return merkle.leaf_count(trace.values[value].nbytes)
