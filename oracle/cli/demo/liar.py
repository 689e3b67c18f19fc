"""An operator that lies, by as little as can be: one element, off by one unit in the last place."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from oracle import serialization
from oracle.exact.ops import PRIMITIVES
from oracle.exact.program import Operand, OperandKind
from oracle.exact.proofs.trace import Trace
from oracle.exact.run import Runner
from oracle.inference.engine import Exact, Infer, Open, Price, Task, load_engine
from oracle.inference.executor import Ran
from oracle.tensor import Array, canonical, decode, to_bytes
from oracle.types import Model

Tamper = Callable[[int, Array], Array]
"""What a liar makes of the value of a node."""


class Liar:
    """What its worker runs instead of the model: the last number of the last output, in a
    classifier the last class's probability, is a neighbour of the right one. Whatever is demanded
    of its trace it answers from a trace in which that is so."""

    def run(
        self, path: Path, model: Model, payload: bytes, task: Task, _source: Path | None
    ) -> Ran:
        engine = load_engine(path, model)
        assert isinstance(engine, Exact)
        if isinstance(task, Price):
            return Ran(engine.do(task, payload), 0.0)
        trace = false_trace(engine.runner, payload)
        return Ran(answer(trace, output_of(trace), task), 0.0)

    def run_all(
        self,
        path: Path,
        model: Model,
        payloads: Sequence[bytes],
        _most: float,
        source: Path | None,
    ) -> list[Ran | None]:
        return [self.run(path, model, payload, Infer(), source) for payload in payloads]

    def close(self) -> None: ...


def false_trace(runner: Runner, payload: bytes) -> Trace:
    wrong = runner.program.outputs[-1].index

    def tamper(node: int, value: Array) -> Array:
        return with_neighbour(value) if node == wrong else value

    return traced(runner, decode(payload, runner.program.signature.inputs), tamper)


def with_neighbour(value: Array) -> Array:
    """Changes the last bit of the last element, which makes it the next float above or below."""
    data = bytearray(to_bytes(value))
    data[-1] ^= 1
    read = np.frombuffer(bytes(data), value.dtype.newbyteorder(">"))
    return read.astype(value.dtype).reshape(value.shape)


def traced(runner: Runner, inputs: Sequence[Array], tamper: Tamper) -> Trace:
    """Makes the trace as `oracle.exact.proofs.trace.trace` does, but with each value as `tamper`
    leaves it."""
    program = runner.program
    values: list[Array] = []

    def read(operand: Operand) -> Array:
        sources = {OperandKind.INPUT: inputs, OperandKind.VALUE: values}
        if operand.kind is OperandKind.CONSTANT:
            found = program.constants[operand.index].array
        else:
            found = sources[operand.kind][operand.index]
        return canonical(np.asarray(found)).reshape(operand.type.shape)

    for index, node in enumerate(program.nodes):
        operands = [read(operand) for operand in node.operands]
        known = [
            array if operand.kind is OperandKind.CONSTANT else None
            for operand, array in zip(node.operands, operands, strict=True)
        ]
        with np.errstate(all="ignore"):
            value = PRIMITIVES[node.op].prepare(node, known)(*operands)
        values.append(canonical(np.array(tamper(index, canonical(np.array(value))))))
    return Trace(program, values)


def output_of(trace: Trace) -> bytes:
    """Gives the payload that goes with the trace."""
    return b"".join(to_bytes(trace.values[output.index]) for output in trace.program.outputs)


def answer(trace: Trace, output: bytes, task: Task) -> bytes:
    """Gives the answer of an operator that has that trace and claims that output."""
    match task:
        case Infer():
            return output
        case Open(parts=parts):
            opened = map(trace.open_part, parts)
            return serialization.dump([data + b"".join(rest) for data, rest in opened])
        case _:
            raise ValueError(f"a worker is not asked to {task}")
