"""The referee against the plain kernels, which are the law: what is right is found right, and what
is wrong is found wrong, with the right bits beside it."""

import numpy as np
import pytest

from oracle.exact.program import Op
from tests.parity import programs
from tests.parity.referee import Judged, Referee

COUNTS = [2_000, pytest.param(100_000, marks=pytest.mark.long)]
# Of one program, so that there are many.
MOST = 200


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_judge_agrees_with_the_plain_kernel(
    referee: Referee, op: Op, count: int, rng: np.random.Generator
) -> None:
    left = count
    while left > 0:
        program, inputs = programs.MAKERS[op.family](rng, op)
        if program.nodes[-1].output.elements == 0:
            continue
        judged = Judged(program, inputs, plain=True)
        node = len(program.nodes) - 1
        chosen = rng.permutation(program.nodes[node].output.elements)[: min(MOST, left)]
        assert referee.differing(judged, node, chosen.tolist()) == []
        left -= len(chosen)


@pytest.mark.parametrize("k", [384, 4_096, 14_336])
@pytest.mark.parametrize("op", [Op.DOT, Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.ARG_MAX, Op.REDUCE_MAX])
def test_judge_agrees_with_the_plain_kernel_of_long_rows(
    referee: Referee, op: Op, k: int, rng: np.random.Generator
) -> None:
    for _ in range(3):
        program, inputs = (programs.dot if op is Op.DOT else programs.reduce)(rng, op, k)
        judged = Judged(program, inputs, plain=op is not Op.DOT)
        node = len(program.nodes) - 1
        chosen = rng.permutation(program.nodes[node].output.elements)[:4]
        assert referee.differing(judged, node, chosen.tolist()) == []
