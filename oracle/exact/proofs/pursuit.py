"""What to ask of a wrong result's operator next, until one wrong element can be shown.

A pure function of what is known: whoever asks again gets the same answer, and what somebody else
found out is used. Where operands are agreed on and a result is not, that result is wrong; so the
first value that differs is the one to look into, and in it any element that differs will do.

What is asked for at once is 128 hashes or 32 leaves at most. A program of 128 nodes and a tensor
of 4,096 elements take two demands, 2^14 nodes and a tensor of half a gigabyte five.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from oracle.exact.program import Kind
from oracle.exact.proofs.evidence import ClaimKind
from oracle.exact.proofs.known import Known, Tree
from oracle.merkle import LEAF, leaves_of
from oracle.tensor import to_bytes
from oracle.types import LEAVES, VALUE_TREE, Part

STEP = 7  # levels between what is known and what is asked for: 2^7 hashes, 4 KiB
RUN = 5  # levels above the leaves at which these themselves are asked for: 2^5 leaves, 4 KiB


@dataclass(frozen=True, slots=True)
class Accusation:
    """One wrong element, of node `node`; `output` is the payload's, zero for a VALUE."""

    kind: ClaimKind
    node: int
    output: int
    element: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An element of the output payload that is not ours."""

    output: int
    element: int


Move = Part | Accusation


def differences(ours: bytes, theirs: bytes, known: Known) -> Iterator[Difference]:
    """The first element of each output that is another than ours, by its bits."""
    at = 0
    for output, type_ in enumerate(known.ours.program.signature.outputs):
        pair = zip(ours[at : at + type_.nbytes], theirs[at : at + type_.nbytes], strict=True)
        first = next((place for place, (a, b) in enumerate(pair) if a != b), None)
        if first is not None:
            yield Difference(output, first // type_.dtype.itemsize)
        at += type_.nbytes


def output_of(known: Known) -> bytes:
    """Our output's payload, from the trace."""
    trace = known.ours
    return b"".join(to_bytes(trace.values[output.index]) for output in trace.program.outputs)


def next_move(known: Known, output: bytes) -> Move | None:
    """What to do about their `output`; None where it is ours, and there is nothing to do."""
    wrong = list(differences(output_of(known), output, known))
    if not wrong:
        return None
    outputs = known.ours.program.outputs
    for difference in wrong:
        node = outputs[difference.output].index
        if _operands_agree(known, node):
            return Accusation(ClaimKind.OUTPUT, node, difference.output, difference.element)
    if known.root is None or known.values.node(known.values.top, 0) is None:
        return _below(VALUE_TREE, known.values, known.values.top, 0)
    place = known.values.first_divergence()
    # Where the whole trace is ours, the operands of every output are, and we are done above.
    assert place is not None, "their trace is ours, and yet no output could be shown to be wrong"
    height, index = place
    if height:
        return _below(VALUE_TREE, known.values, height, index)
    return _into(known, index)


def _operands_agree(known: Known, node: int) -> bool:
    values = [o.index for o in known.ours.program.nodes[node].operands if o.kind is Kind.VALUE]
    return all(map(known.has_value, values)) if values else True


def _into(known: Known, value: int) -> Move:
    """Within the first value that is not ours."""
    tree = known.tensor(value)
    place = tree.first_divergence()
    assert place is not None, "a value's root differs, and its tree does not"
    height, index = place
    theirs = None if height else known.leaf(value, index)
    if theirs is None:
        return _below(value, tree, height, index)
    array = known.ours.values[value]
    ours = leaves_of(to_bytes(array))[index]
    at = next(at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    element = (index * LEAF + at) // array.dtype.itemsize
    return Accusation(ClaimKind.VALUE, value, 0, element)


def _below(value: int, tree: Tree, height: int, index: int) -> Part:
    """What to ask for below a node: always of the same few heights, so that all who ask for it
    ask for the same."""
    if value != VALUE_TREE and height <= RUN:
        first = index << height
        return Part(value, LEAVES, first, min(1 << height, tree.count - first))
    lowest = 0 if value == VALUE_TREE else RUN
    lower = lowest + STEP * max(0, (height - lowest - 1) // STEP)
    lower = min(lower, tree.top)
    first = index << (height - lower)
    return Part(value, lower, first, min(1 << (height - lower), tree.width(lower) - first))
