"""Proofs as bytes: what they hold, and in which order."""

import numpy as np

from oracle import merkle
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.proofs.evidence import ClaimKind, WholeTrace, build, descriptors
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from tests import openings
from tests.unit.exact.files import file, node, tensor


def network() -> tuple[Program, Trace, WholeTrace]:
    """An input of 40 times weights [40, 3], and what that is after Exp."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Exp", ["h"], ["y"])]
    program = lower(file(nodes, [tensor("x", [2, 40])], ["y"], w=np.ones((40, 3), np.float32)))
    inputs = [np.ones((2, 40), np.float32)]
    run = trace(Runner(program), inputs)
    return program, run, WholeTrace(run, inputs)


def test_descriptors_are_records_with_their_paths():
    program, _, _ = network()
    header = program.records[0] + b"".join(openings.open_record(program.records, 0).siblings)
    record = program.records[2] + b"".join(openings.open_record(program.records, 2).siblings)
    assert descriptors(program) == header
    assert descriptors(program, 1) == header + record


def test_build_claims_the_element_of_the_trace():
    program, run, sources = network()
    proof = build(program, 1, 4, sources)
    assert proof[:32].hex() == "02" + "00000001" + "00000000" + f"{4:016x}" + "00" * 15
    value = run.open_value(1)
    claimed = run.open_run(1, 0, 1).run
    opened = proof[32 + len(descriptors(program, 1)) :]
    own = [value.root, *value.siblings, *claimed.leaves, *claimed.siblings]
    operand = run.open_value(0)
    read = run.open_run(0, 0, 1).run
    other = [operand.root, *operand.siblings, *read.leaves, *read.siblings]
    assert opened == b"".join([*own, *other])


def test_build_opens_no_claim_of_an_output():
    program, run, sources = network()
    proof = build(program, 1, 4, sources, ClaimKind.OUTPUT, 0)
    value = run.open_value(0)
    read = run.open_run(0, 0, 1).run
    operand = [value.root, *value.siblings, *read.leaves, *read.siblings]
    assert proof[0] == ClaimKind.OUTPUT
    assert proof[32 + len(descriptors(program, 1)) :] == b"".join(operand)


def test_build_opens_constants_and_no_inputs():
    program, run, sources = network()
    proof = build(program, 0, 2, sources)
    weights = program.constants[0].array
    # The third row of 40: bytes 320 to 480, leaves 2 and 3.
    leaves = merkle.leaves_of(weights.astype(">f4").tobytes())
    row = openings.open_run(leaves, 2, 2)
    assert proof.endswith(b"".join([*row.leaves, *row.siblings]))
    value, claimed = run.open_value(0), run.open_run(0, 0, 1).run
    own = [value.root, *value.siblings, *claimed.leaves, *claimed.siblings]
    length = sum(map(len, [*own, *row.leaves, *row.siblings]))
    assert len(proof) == 32 + len(descriptors(program, 0)) + length
