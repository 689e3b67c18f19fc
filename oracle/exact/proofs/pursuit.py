"""What to ask of a wrong result's operator next, until one wrong element can be shown.

A pure function of what is revealed: whoever asks again gets the same answer, and what somebody else
found out is used. Where operands are agreed on and a result is not, that result is wrong; so the
first value that differs is the one to look into, and in it any element that differs will do.

What is asked for at once is 128 hashes or 32 leaves at most. A program of 128 nodes and a tensor
of 4,096 elements take two demands, 2^14 nodes and a tensor of half a gigabyte five.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from oracle import merkle
from oracle.exact.program import OperandKind, Program
from oracle.exact.proofs.evidence import ClaimKind
from oracle.exact.proofs.revealed import RevealedTrace, Tree
from oracle.merkle import LEAF
from oracle.types import LEAVES, VALUE_TREE, Part, Signature

STEP = 7  # levels between what is revealed and what is asked for: 2^7 hashes, 4 KiB
RUN = 5  # levels above the leaves at which these themselves are asked for: 2^5 leaves, 4 KiB


@dataclass(frozen=True, slots=True)
class Accusation:
    """One wrong element, of node `node`; `output` is the payload's, zero for a VALUE."""

    kind: ClaimKind
    node: int
    output: int
    element: int


@dataclass(frozen=True, slots=True)
class WrongElement:
    """An element of the output payload that is not ours."""

    output: int
    element: int


Move = Part | Accusation


def wrong_elements(
    claimed: bytes, recomputed: bytes, signature: Signature
) -> Iterator[WrongElement]:
    """Yields, of each output, the first element whose claimed bits are not the recomputed ones."""
    at = 0
    for output, type_ in enumerate(signature.outputs):
        place = slice(at, at + type_.nbytes)
        pair = zip(claimed[place], recomputed[place], strict=True)
        first = next((place for place, (a, b) in enumerate(pair) if a != b), None)
        if first is not None:
            yield WrongElement(output, first // type_.dtype.itemsize)
        at += type_.nbytes


def output_of(revealed: RevealedTrace) -> bytes:
    """Gives the payload of our output."""
    return revealed.ours.output


def next_move(revealed: RevealedTrace, output: bytes) -> Move | None:
    """Says what to do about their `output`. Gives None where it equals ours, and there is nothing
    to do."""
    signature = revealed.ours.program.signature
    wrong = list(wrong_elements(output, output_of(revealed), signature))
    if not wrong:
        return None
    outputs = revealed.ours.program.outputs
    for element in wrong:
        node = outputs[element.output].index
        if _operands_agree(revealed, node):
            return Accusation(ClaimKind.OUTPUT, node, element.output, element.element)
    if revealed.root is None or revealed.values.revealed(revealed.values.top, 0) is None:
        return _below(VALUE_TREE, revealed.values, revealed.values.top, 0)
    place = revealed.divergence
    # Where the whole trace is ours, the operands of every output are, and we are done above.
    assert place is not None, "their trace is ours, and yet no output could be shown to be wrong"
    height, index = place
    if height:
        return _below(VALUE_TREE, revealed.values, height, index)
    return _into(revealed, index)


def _operands_agree(revealed: RevealedTrace, node: int) -> bool:
    values = [
        o.index for o in revealed.ours.program.nodes[node].operands if o.kind is OperandKind.VALUE
    ]
    return all(map(revealed.has_value, values)) if values else True


def _into(revealed: RevealedTrace, value: int) -> Move:
    """Gives the next move within the first value that differs from ours."""
    tree = revealed.tensor(value)
    place = tree.first_divergence()
    assert place is not None, "a value's root differs, and its tree does not"
    height, index = place
    theirs = None if height else revealed.leaf(value, index)
    if theirs is None:
        return _below(value, tree, height, index)
    ours = revealed.our_leaf(value, index)
    at = next(at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    element = (index * LEAF + at) // revealed.ours.program.nodes[value].output.dtype.itemsize
    return Accusation(ClaimKind.VALUE, value, 0, element)


def rounds(program: Program) -> int:
    """Counts the demands that a pursuit may take, one after another's answer."""
    longest = max(merkle.leaf_count(node.output.nbytes) for node in program.nodes)
    return _rounds(merkle.depth_of(len(program.nodes)), 0) + _rounds(merkle.depth_of(longest), RUN)


def _rounds(height: int, lowest: int) -> int:
    count = 1  # for the lowest nodes of a tree of values, or for leaves
    while height > lowest + (0 if lowest else STEP):
        height, count = _lower(height, lowest), count + 1
    return count


def _lower(height: int, lowest: int) -> int:
    """Gives the height at which to ask for what is below a node."""
    return lowest + STEP * max(0, (height - lowest - 1) // STEP)


def _below(value: int, tree: Tree, height: int, index: int) -> Part:
    """Gives the part to ask for below a node. It always lies at one of the same few heights, so
    that all who ask about this node ask for the same part."""
    if value != VALUE_TREE and height <= RUN:
        first = index << height
        return Part(value, LEAVES, first, min(1 << height, tree.count - first))
    lowest = 0 if value == VALUE_TREE else RUN
    lower = min(_lower(height, lowest), tree.top)
    first = index << (height - lower)
    return Part(value, lower, first, min(1 << (height - lower), tree.width(lower) - first))
