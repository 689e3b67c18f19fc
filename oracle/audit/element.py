"""Computes one element of one primitive. It is written from docs/law alone, to check the law
with none of the law's code.

Each rule asks for the elements that it reads, run by run, in the order of `IReferee`, because a
proof opens these runs and no others. The rules are in `rules`, a module for each family.
"""

from collections.abc import Sequence

from oracle.audit.numbers import Element, Result
from oracle.audit.rules import elementwise, linear, movement, reduce, trees, window
from oracle.audit.rules.node import Primitive, Read
from oracle.errors import WrongEvidence


def compute(node: Primitive, element: int, read: Read) -> Result:
    """Computes the element. Raises WrongEvidence for an op that the law does not have."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise WrongEvidence(f"there is no op 0x{node.op:04x}")

    def read_some(operand: int, first: int, count: int) -> Sequence[Element]:
        return read(operand, first, count) if count else ()

    return rule(node, element, read_some)


def op_name(op: int) -> str:
    """Gives the op's name in docs/law."""
    return _NAMES.get(op, f"0x{op:04x}")


_OPS = {
    **linear.OPS,
    **elementwise.OPS,
    **reduce.OPS,
    **movement.OPS,
    **window.OPS,
    **trees.OPS,
}
_RULES = {op: rule for op, (_, rule) in _OPS.items()}
_NAMES = {op: name for op, (name, _) in _OPS.items()}
