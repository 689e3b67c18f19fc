"""Walks through decision trees."""

from math import isnan
from struct import pack, unpack

from oracle.audit.numbers import Result
from oracle.audit.rules.node import Ops, Primitive, Read
from oracle.errors import WrongEvidence

FEATURE, THRESHOLD, BELOW, ABOVE, MISSING, LEAF, WIDTH = 0, 1, 2, 3, 4, 5, 8


def _tree_walk(node: Primitive, element: int, read: Read) -> Result:
    row, tree = divmod(element, node.output.shape[1])
    features = node.operands[0].shape[1]
    at = int(read(2, tree, 1)[0])
    for _ in range(node.attributes[0] + 1):
        here = [int(number) for number in read(1, at * WIDTH, WIDTH)]
        if here[BELOW] == at:
            return here[LEAF]
        [x] = read(0, row * features + here[FEATURE], 1)
        threshold = unpack(">f", pack(">I", here[THRESHOLD] & 0xFFFFFFFF))[0]
        at = here[MISSING] if isnan(x) else here[ABOVE] if x > threshold else here[BELOW]
    raise WrongEvidence("a walk takes more steps than its node allows")


OPS: Ops = {
    0x0700: ("TREE_WALK", _tree_walk),
}
