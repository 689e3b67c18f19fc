"""Bounds what the dearest proof of one element takes, of each primitive on tensors of usual sizes.

Operands are values of a program of a thousand nodes, but for weights and tables, which are
constants. --write renews the tables of docs/law.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from oracle.exact.program import Family, Op, OperandKind
from oracle.exact.proofs.bounds import Proof, bounds
from oracle.exact.proofs.evidence import ClaimKind
from oracle.tensor import Array
from tests.parity.programs import made
from tests.parity.worst import chain

LAW = Path(__file__).resolve().parent.parent / "docs/law"
BEGIN, END = "<!-- ./dev bench proofs --write -->\n", "<!-- end of the table -->\n"
BEHIND = 1_000

Shape = tuple[int, ...]
F4, I8, I32, I64, BOOL = "float32", "int8", "int32", "int64", "bool"
IMAGE: Shape = (1, 56, 56, 64)
# Of a window of 3 × 3 with a border of one; the last is CONV's spacing, or a pool's overhang.
CONV_AXIS, POOL_AXIS = (3, 1, 1, 1, 1, 1), (3, 1, 1, 1, 1, 0)


def _zeros(*types: tuple[str, Shape]) -> list[Array]:
    return [np.zeros(shape, dtype) for dtype, shape in types]


def examples(op: Op) -> Iterator[tuple[list[Array], Sequence[int]]]:
    """Yields operands and attributes of nodes."""
    wide: Shape = (128, 1_024)
    match op:
        case Op.DOT:
            for k in (64, 1_024, 8_192):
                yield _zeros((F4, (128, k)), (F4, (64, k)), (F4, (64,))), ()
            yield _zeros((I32, (128, 1_024)), (I32, (64, 1_024))), ()
        case Op.CONV:
            for group, w in ((1, (64, 3, 3, 64)), (64, (64, 3, 3, 1))):
                arrays = _zeros((F4, IMAGE), (F4, w), (F4, (64,)))
                yield arrays, (group, *CONV_AXIS, *CONV_AXIS)
        case Op.MAX_POOL | Op.AVERAGE_POOL:
            yield _zeros((F4, IMAGE)), (0, *POOL_AXIS, *POOL_AXIS)
        case Op.TREE_WALK:
            for steps in (8, 64):
                yield (
                    [np.zeros((128, 32), np.float32), chain(steps), np.zeros(100, np.int32)],
                    (steps,),
                )
        case Op.TRANSPOSE:
            yield _zeros((F4, (64, 56, 56))), (1, 2, 0)
        case Op.CONCAT:
            for count in (2, 64):
                yield _zeros(*[(F4, (128, 64))] * count), ()
        case Op.GATHER:
            yield _zeros((F4, (1, 30_000, 384)), (I64, (64,))), ()
        case Op.SCATTER:
            for mode, m in ((0, 64), (1, 64)):
                yield _zeros((F4, (1_000, 16)), (I64, (m,)), (F4, (m, 16))), (mode,)
        case Op.WHERE:
            yield _zeros((BOOL, wide), (F4, wide), (F4, wide)), ()
        case Op.QUANTIZE:
            yield _zeros((F4, wide), (F4, (1_024,)), (I8, (1_024,))), ()
        case Op.CAST:
            yield _zeros((F4, wide)), (7,)
        case Op.AND | Op.OR | Op.XOR:
            yield _zeros((BOOL, wide), (BOOL, (1_024,))), ()
        case Op.ARG_MAX | Op.TOP_K:
            for k in (1_024, 8_192):
                yield _zeros((F4, (128, k))), (1,)
        case _ if op.family is Family.REDUCE:
            for k in (1_024, 8_192):
                yield _zeros((F4, (128, k))), ()
        case Op.NEG | Op.ABS | Op.SQRT:
            yield _zeros((F4, wide)), ()
        case _ if op.family is Family.ELEMENTWISE or op is Op.POW:
            yield _zeros((F4, wide), (F4, (1_024,))), ()
        case _:
            yield _zeros((F4, wide)), ()


def proofs(op: Op) -> Iterator[tuple[str, Proof]]:
    """Yields each example with the bound of its dearest proof about a value."""
    for arrays, attributes in examples(op):
        kinds = [OperandKind.VALUE, *[OperandKind.CONSTANT] * (len(arrays) - 1)]
        if op is Op.CONCAT:
            kinds = [OperandKind.VALUE] * len(arrays)
        program, _ = made(op, arrays, kinds, attributes, BEHIND)
        found = bounds(program, len(program.nodes) - 1)
        types = [str(operand.type) for operand in program.nodes[-1].operands]
        if len(types) > 3:
            types = [f"{len(types)} × {types[0]}"]
        dearest = max((p for p in found if p.kind is ClaimKind.VALUE), key=lambda p: p.gas)
        yield ", ".join([*types, *_told(op, attributes)]), dearest


def _told(op: Op, attributes: Sequence[int]) -> Sequence[str]:
    """Says those attributes that the types do not."""
    match op:
        case Op.TREE_WALK:
            return (f"{attributes[0]} steps",)
        case Op.SCATTER:
            return (f"mode {attributes[0]}",)
        case Op.CONV:
            return (f"group {attributes[0]}",)
        case Op.MAX_POOL | Op.AVERAGE_POOL:
            return ("3 × 3",)
        case _:
            return ()


def table(family: Family) -> str:
    """Writes a family's table."""
    rows = [
        f"| {op.name} | {what} | {proof.gas:,} | {proof.size:,} |"
        for op in Op
        if op.family is family
        for what, proof in proofs(op)
    ]
    return "\n".join(["| primitive | operands | gas | bytes |", "|---|---|--:|--:|", *rows]) + "\n"


def page(family: Family) -> Path:
    return LAW / f"{family.name.lower()}.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench proofs")
    parser.add_argument("--write", action="store_true", help="renew the tables of docs/law")
    arguments = parser.parse_args()

    printed = Table("primitive", "operands", "gas", "bytes", title="Dearest proofs")
    for op in Op:
        for what, proof in proofs(op):
            printed.add_row(op.name, what, f"{proof.gas:,}", f"{proof.size:,}")
    Console().print(printed)
    if arguments.write:
        for family in Family:
            before, rest = page(family).read_text().split(BEGIN)
            page(family).write_text(before + BEGIN + table(family) + END + rest.split(END)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
