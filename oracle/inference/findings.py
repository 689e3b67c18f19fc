"""What was found out about a result that another proposed: nothing wrong, or the next step.

It is found in a child process and travels as JSON: what a child says is never unpickled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from oracle import merkle, serialization
from oracle.errors import InferenceFailed
from oracle.exact.program import OperandKind
from oracle.exact.proofs.evidence import ClaimKind, build, descriptors
from oracle.exact.proofs.pursuit import Accusation, next_move
from oracle.exact.proofs.revealed import RevealedTrace, Sources
from oracle.serialization import Unreadable
from oracle.tensor import Array
from oracle.types import VALUE_TREE, Part

MAX_FINDING = 1 << 20  # bytes; no transaction holds a longer proof


@dataclass(frozen=True, slots=True)
class Question:
    """A part to demand, and what the contract needs to know of the program for that."""

    part: Part
    values: int
    leaves: int
    descriptors: bytes


@dataclass(frozen=True, slots=True)
class Fraud:
    """One wrong element and its proof. Bits are as wide as the element."""

    kind: ClaimKind
    node: int
    name: str  # of the ONNX node: for people
    op: str
    output: int
    element: int
    claimed: bytes
    expected: bytes
    proof: bytes
    reads_input: bool  # so the proof goes with the input's payload


@dataclass(frozen=True, slots=True)
class Finding:
    """`doubt` is why onnxruntime does not confirm our result, where it does not."""

    is_right: bool
    question: Question | None = None
    fraud: Fraud | None = None
    doubt: str | None = None


def find(
    revealed: RevealedTrace, inputs: Sequence[Array], output: bytes, doubt: str | None = None
) -> Finding:
    """What to do next about `output`, from what is revealed of its operator's trace."""
    move = next_move(revealed, output)
    if move is None:
        return Finding(is_right=True)
    if isinstance(move, Part):
        return Finding(False, question=_question(revealed, move), doubt=doubt)
    return Finding(False, fraud=_fraud(revealed, inputs, move, output), doubt=doubt)


def read_finding(data: bytes) -> Finding:
    """Reads what a child process answered. Raises InferenceFailed where it is no finding."""
    try:
        return serialization.load(data, Finding)
    except Unreadable as error:
        raise InferenceFailed(
            f"The child process found nothing that can be read: {error}."
        ) from None


def _question(revealed: RevealedTrace, part: Part) -> Question:
    program = revealed.ours.program
    leaves = 0
    if part.value != VALUE_TREE:
        leaves = merkle.leaf_count(program.nodes[part.value].output.nbytes)
    node = None if part.value == VALUE_TREE else part.value
    return Question(part, len(program.nodes), leaves, descriptors(program, node))


def _fraud(
    revealed: RevealedTrace, inputs: Sequence[Array], move: Accusation, output: bytes
) -> Fraud:
    program = revealed.ours.program
    node = program.nodes[move.node]
    width = node.output.dtype.itemsize
    place = slice(move.element * width, (move.element + 1) * width)
    expected = revealed.element(move.node, move.element)
    if move.kind is ClaimKind.OUTPUT:
        start = sum(type_.nbytes for type_ in program.signature.outputs[: move.output])
        claimed = output[start:][place]
    else:
        leaf, at = divmod(place.start, merkle.LEAF)
        claimed = (revealed.leaf(move.node, leaf) or b"")[at : at + width]
    sources = Sources(revealed, inputs)
    return Fraud(
        kind=move.kind,
        node=move.node,
        name=node.name,
        op=node.op.name,
        output=move.output,
        element=move.element,
        claimed=claimed,
        expected=expected,
        proof=build(program, move.node, move.element, sources, move.kind, move.output),
        reads_input=any(operand.kind is OperandKind.INPUT for operand in node.operands),
    )
