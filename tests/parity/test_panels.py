"""The referee on nodes in panels: right, and within a transaction, at the dearest elements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from oracle.exact.lowering.panels import ROOM, Room, panelled
from oracle.exact.ops.movement import MODES, REPLACE
from oracle.exact.program import Op, OperandKind, Program
from oracle.exact.proofs.bounds import bounds, opened
from oracle.tensor import Array
from tests import long_models
from tests.parity import worst
from tests.parity.programs import made
from tests.parity.referee import Judged, Referee

SMALL = Room(gas=1_000_000, size=10_000, opened=4_000, elements=500)
Case = tuple[Op, Sequence[Array], Sequence[int]]


@dataclass(frozen=True)
class Sizes:
    """Of what is cut: a row, the channels of a 3 × 3 window, the kernel of a pool, operands,
    updates of one row that add up, and that replace each other."""

    row: int
    channels: int
    kernel: int
    operands: int
    added: int
    replaced: int


SIZES = {
    SMALL: Sizes(2_503, 150, 9, 100, 300, 900),
    ROOM: Sizes(65_539, 2_048, 40, 400, 900, 20_000),
}


def cases(sizes: Sizes) -> Iterator[Case]:
    """Each op that is cut, on numbers that are dear to it."""
    rows, ones = worst.far_apart((2, sizes.row)), np.ones((2, sizes.row), np.float32)
    for op in (Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.CUM_SUM, Op.REDUCE_MAX, Op.REDUCE_MIN):
        yield op, [rows], ()
    yield Op.ARG_MAX, [ones], (1,)
    yield Op.TOP_K, [ones], (20,)
    yield Op.TOP_K, [ones[:1]], (sizes.row // 4,)
    yield Op.DOT, [rows, -ones, np.ones(2, np.float32)], ()
    shape = (2, 3, 3, sizes.channels)
    image, weights = worst.far_apart((1, 5, 5, sizes.channels)), -np.ones(shape, np.float32)
    axes = (1, 3, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1)
    yield Op.CONV, [image, weights, np.ones(2, np.float32)], axes
    wide = worst.far_apart((1, 2, sizes.row)), -np.ones((2, 1, sizes.row), np.float32)
    yield Op.CONV, wide, (1, 1, 1, 1, 0, 0, 1)
    kernel, side = sizes.kernel, sizes.kernel // 2
    axes = (0, *(kernel, 1, 1, side, side, 0) * 2)
    for op in (Op.MAX_POOL, Op.AVERAGE_POOL):
        yield op, [worst.far_apart((1, kernel + 3, kernel + 3, 2))], axes
    yield Op.CONCAT, [np.full((1, 3), at, np.float32) for at in range(sizes.operands)], ()
    for mode in MODES:
        count = sizes.replaced if mode == REPLACE else sizes.added
        updates = np.full(count, 3), worst.far_apart((count, 5))
        yield Op.SCATTER, [np.ones((9, 5), np.float32), *updates], (mode,)


CASES = [
    pytest.param(room, case, id=f"{case[0].name}{at}-{'whole' if room is ROOM else 'small'}")
    for room, sizes in SIZES.items()
    for at, case in enumerate(cases(sizes))
]


@pytest.mark.parametrize(("room", "case"), CASES)
def test_judge_agrees_with_nodes_in_panels(referee: Referee, room: Room, case: Case) -> None:
    op, arrays, attributes = case
    kinds = [OperandKind.VALUE] * len(arrays)
    whole, _ = made(op, arrays, kinds, attributes)
    program = panelled(whole, Limits(), room)
    assert len(program.nodes) > len(whole.nodes)
    judge(referee, program, arrays, room)


@pytest.mark.parametrize("name", long_models.MODELS)
def test_judge_agrees_with_long_models(referee: Referee, name: str) -> None:
    data, inputs = long_models.MODELS[name]()
    judge(referee, lower(data), list(inputs.values()), ROOM)


def judge(referee: Referee, program: Program, inputs: Sequence[Array], room: Room) -> None:
    """Judges the dearest elements of all nodes that open much, claimed rightly and wrongly."""
    judged = Judged(program, inputs)
    dear = [
        index for index in range(len(program.nodes)) if opened(program, index)[0] > room.opened // 4
    ]
    assert dear
    for index in dear:
        elements = worst.dearest(program, index, judged.sources, most=2)
        cases, wanted = judged.some(index, elements)
        answers = referee.judge(cases)
        assert [(each.claimed, each.expected) for each in answers] == wanted, program.nodes[index]
        found = bounds(program, index)
        assert max(each.gas for each in answers) <= max(each.judging for each in found)
        assert max(each.gas for each in found) <= room.gas
        assert max(each.size for each in found) <= room.size
