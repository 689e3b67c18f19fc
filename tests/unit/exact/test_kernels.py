"""The fast kernels against the plain ones, which are the law: the same bits of every primitive."""

import numpy as np
import pytest

from oracle.exact.program import Op
from oracle.exact.run import run
from tests.oracles import same
from tests.parity import programs

COUNTS = [40, pytest.param(2_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_fast_kernel_gives_the_bits_of_the_plain_one(op: Op, count: int) -> None:
    rng = np.random.default_rng(op)
    for _ in range(count):
        program, inputs = programs.MAKERS[op.family](rng, op)
        (fast,), (plain,) = run(program, inputs), run(program, inputs, plain=True)
        assert same(fast, plain), program.nodes[-1]
