"""The audit's own reading of the law against the plain kernels, on the proofs that the referee
takes: two programs written from one page agree on every bit."""

import numpy as np
import pytest

from oracle.audit.proof import Claim, prove
from oracle.exact.program import Op
from tests.parity import programs
from tests.parity.referee import Judged

COUNTS = [400, pytest.param(10_000, marks=pytest.mark.long)]
# Of one program, so that there are many.
MOST = 40


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_prove_agrees_with_the_plain_kernel(op: Op, count: int, rng: np.random.Generator) -> None:
    left = count
    while left > 0:
        program, inputs = programs.MAKERS[op.family](rng, op)
        node = len(program.nodes) - 1
        if program.nodes[node].output.elements == 0:
            continue
        judged = Judged(program, inputs, plain=True)
        chosen = rng.permutation(program.nodes[node].output.elements)[: min(MOST, left)]
        cases, _ = judged.some(node, chosen.tolist())
        for element, case in zip(chosen.tolist(), cases, strict=True):
            claim = Claim(program.root, case.claim[1], judged.payloads.input, b"")
            found = prove(case.proof, claim, program.signature.inputs)
            law = judged.bits(node, element)
            assert int.from_bytes(found.expected, "big") == law, (op.name, element)
        left -= len(chosen)
