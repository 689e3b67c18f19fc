"""What was found out about a result that another proposed: nothing wrong, or the next step.

It is found in a child process and travels as JSON: what a child says is never unpickled.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from oracle import merkle, serialization
from oracle.errors import InferenceFailed, RunsDiffer
from oracle.exact.proofs.element import plain_element
from oracle.exact.proofs.evidence import ClaimKind, Payloads, WholeTrace, build, descriptors
from oracle.exact.proofs.pursuit import Accusation, next_move
from oracle.exact.proofs.revealed import RevealedTrace, Sources
from oracle.serialization import Unreadable
from oracle.tensor import Array, to_bytes
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
    op: str
    output: int
    element: int
    claimed: bytes
    expected: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """`ours` is the SHA-256 of the output that we computed, where it is another than theirs: a run
    in a second process must come to the same before anybody is accused. `unwatched` says why a lie
    about the model could not be proven, where that is so."""

    is_right: bool
    question: Question | None = None
    fraud: Fraud | None = None
    ours: bytes = b""
    unwatched: str = ""


def find(revealed: RevealedTrace, inputs: Sequence[Array], payloads: Payloads) -> Finding:
    """Works out what to do next about the output, from what is revealed of its operator's trace."""
    move = next_move(revealed, payloads.output)
    if move is None:
        return Finding(is_right=True)
    if isinstance(move, Part):
        return Finding(False, question=_question(revealed, move))
    return Finding(False, fraud=_fraud(revealed, inputs, move, payloads))


def by_plain_rules(finding: Finding, revealed: RevealedTrace, inputs: Sequence[Array]) -> Finding:
    """Computes the accused element again by the plain rules, from operands that are agreed on.
    Raises RunsDiffer where they say that the operator is right."""
    fraud = finding.fraud
    if fraud is None:
        return finding
    ours, node = WholeTrace(revealed.ours, inputs), revealed.ours.program.nodes[fraud.node]
    operands = [ours.array(operand.kind, operand.index) for operand in node.operands]
    plain = to_bytes(plain_element(node, fraud.element, operands))
    if plain == fraud.claimed:
        raise RunsDiffer(
            f"Element {fraud.element} of node {fraud.node} ({fraud.op}) is 0x{plain.hex()} by the"
            f" plain rules, as the operator has it, and 0x{fraud.expected.hex()} by our kernels."
        )
    return replace(finding, fraud=replace(fraud, expected=plain))


def must_agree(finding: Finding, ours: bytes, theirs: bytes) -> None:
    """Raises RunsDiffer where the output of a run in a second process does not bear the finding
    out."""
    agrees = ours == theirs if finding.is_right else finding.ours == hashlib.sha256(ours).digest()
    if not agrees or (ours == theirs) is not finding.is_right:
        raise RunsDiffer(
            "Runs in two processes here give different outputs: this machine is not sound."
        )


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
    revealed: RevealedTrace, inputs: Sequence[Array], move: Accusation, payloads: Payloads
) -> Fraud:
    program = revealed.ours.program
    node = program.nodes[move.node]
    width = node.output.dtype.itemsize
    place = slice(move.element * width, (move.element + 1) * width)
    expected = revealed.element(move.node, move.element)
    if move.kind is ClaimKind.OUTPUT:
        claimed = payloads.output[program.output_places[move.output] :][place]
    else:
        leaf, at = divmod(place.start, merkle.LEAF)
        claimed = (revealed.leaf(move.node, leaf) or b"")[at : at + width]
    sources = Sources(revealed, inputs, payloads)
    return Fraud(
        kind=move.kind,
        node=move.node,
        op=node.op.name,
        output=move.output,
        element=move.element,
        claimed=claimed,
        expected=expected,
        proof=build(program, move.node, move.element, sources, move.kind, move.output),
    )
