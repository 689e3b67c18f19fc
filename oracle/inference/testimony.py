"""What a run of ours shows of an output that another proposed: the trace root with openings of our
output, and where theirs differs, the proof that the referee takes.

It is found in a child process and travels as JSON: what a child says is never unpickled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from oracle import serialization
from oracle.errors import InferenceFailed
from oracle.exact.proofs import evidence
from oracle.exact.proofs.evidence import ClaimKind, Payloads, WholeTrace
from oracle.exact.proofs.trace import Trace
from oracle.inference.comparison import first_differences
from oracle.serialization import Unreadable
from oracle.tensor import Array
from oracle.types import Signature

MAX_PROOFS = 4 << 20  # bytes; no transaction holds a longer one


@dataclass(frozen=True, slots=True)
class WrongElement:
    """One element of the output that is wrong. `proof` is as `IReferee.judge` takes it, against the
    trace that is ours."""

    output: int
    element: int
    node: int
    op: str
    proof: bytes


@dataclass(frozen=True, slots=True)
class Testimony:
    """`header` is the program's header record and its path in the program's tree; `paths` has, for
    each output, the hashes beside the path of its value in the value tree."""

    output: bytes  # ours
    trace_root: bytes
    header: bytes
    paths: tuple[tuple[bytes, ...], ...]
    wrong: WrongElement | None


def testify(trace: Trace, inputs: Sequence[Array], ours: bytes, payloads: Payloads) -> Testimony:
    """Compares their output with our trace and tells what is wrong in it. `ours` is the output of a
    run without a trace."""
    program = trace.program
    if trace.output != ours:
        raise InferenceFailed("Two runs here give different outputs: this machine is not sound.")
    return Testimony(
        output=ours,
        trace_root=trace.root,
        header=evidence.descriptors(program),
        paths=tuple(trace.open_value(output.index).siblings for output in program.outputs),
        wrong=_wrong_element(trace, inputs, ours, payloads),
    )


def _wrong_element(
    trace: Trace, inputs: Sequence[Array], ours: bytes, payloads: Payloads
) -> WrongElement | None:
    program = trace.program
    wrong = first_differences(payloads.output, ours, program.signature.outputs)
    output = next((output for output, element in enumerate(wrong) if element >= 0), None)
    if output is None:
        return None
    node = program.outputs[output].index
    proof = evidence.build(
        program,
        node,
        wrong[output],
        WholeTrace(trace, inputs, payloads),
        kind=ClaimKind.OUTPUT,
        output=output,
    )
    return WrongElement(output, wrong[output], node, program.nodes[node].op.name, proof)


def most_bytes(signature: Signature) -> int:
    """Gives the most bytes that the answer of a child has."""
    return 2 * (signature.output_length + MAX_PROOFS)


def read_testimony(data: bytes) -> Testimony:
    """Reads what a child process answered. Raises InferenceFailed where it is no testimony."""
    try:
        return serialization.load(data, Testimony)
    except Unreadable as error:
        raise InferenceFailed(
            f"The child process said nothing that can be read: {error}."
        ) from None
