"""The referee against the plain kernels, which are the law: what is right is found right, and what
is wrong is found wrong, with the right bits beside it."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from oracle.chain import devnet
from oracle.exact.program import Op
from tests.chains import require_anvil
from tests.parity import programs
from tests.parity.evm import GAS_LIMIT
from tests.parity.referee import Answer, Case, Judged, Referee, off_by_one

COUNTS = [2_000, pytest.param(100_000, marks=pytest.mark.long)]
# Of one program, so that there are many.
MOST = 200
NO_PLACE = 2**256 - 1


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    require_anvil()
    with devnet.anvil("--gas-limit", str(GAS_LIMIT), "--no-request-size-limit") as url:
        yield Referee(url)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_judge_agrees_with_the_plain_kernel(
    referee: Referee, op: Op, count: int, rng: np.random.Generator
) -> None:
    if not referee.has_family(op >> 8):
        pytest.skip("the family is not written yet")
    left = count
    while left > 0:
        program, inputs = programs.MAKERS[op >> 8](rng, op)
        if program.nodes[-1].output.elements == 0:
            continue
        judged = Judged(program, inputs, plain=True)
        left -= check(referee, judged, len(program.nodes) - 1, rng, min(MOST, left))


@pytest.mark.parametrize("k", [384, 4_096, 14_336])
@pytest.mark.parametrize("op", [Op.DOT, Op.REDUCE_SUM, Op.REDUCE_MEAN, Op.ARG_MAX, Op.REDUCE_MAX])
def test_judge_agrees_with_the_plain_kernel_of_long_rows(
    referee: Referee, op: Op, k: int, rng: np.random.Generator
) -> None:
    for _ in range(3):
        program, inputs = (programs.dot if op is Op.DOT else programs.reduce)(rng, op, k)
        judged = Judged(program, inputs, plain=op is not Op.DOT)
        assert check(referee, judged, len(program.nodes) - 1, rng, 4)


def check(referee: Referee, judged: Judged, node: int, rng: np.random.Generator, count: int) -> int:
    """Judges up to `count` elements of a node, every other one claimed wrongly."""
    output = judged.program.nodes[node].output
    chosen = rng.permutation(output.elements)[:count]
    cases: list[Case] = []
    wanted: list[tuple[int, int]] = []
    is_ranked = judged.program.nodes[node].op is Op.TOP_K
    for at, element in enumerate(map(int, chosen)):
        bits = judged.bits(node, element)
        claimed = off_by_one(bits, output.dtype) if at % 2 else bits
        cases.append(judged.lie(node, element, claimed) if at % 2 else judged.honest(node, element))
        wanted.append((claimed, NO_PLACE if is_ranked and at % 2 else bits))
    assert differing(referee.judge(cases), wanted, chosen) == []
    return len(cases)


def differing(
    answers: Sequence[Answer], wanted: Sequence[tuple[int, int]], elements: Sequence[int]
) -> list[tuple[object, ...]]:
    rows = zip(elements, answers, wanted, strict=True)
    return [row for row in rows if row[1].error or (row[1].claimed, row[1].expected) != row[2]]
