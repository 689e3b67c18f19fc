"""Proofs as bytes: what they hold, and in which order."""

import numpy as np
from onnx import TensorProto

from oracle import merkle
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, Program
from oracle.exact.proofs.evidence import ClaimKind, Payloads, WholeTrace, build, descriptors
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


def test_build_opens_the_claim_in_the_output():
    program, run, sources = network()
    proof = build(program, 1, 4, sources, ClaimKind.OUTPUT, 0)
    claimed = merkle.payload_tree(run.output).run(0, 1)
    value = run.open_value(0)
    read = run.open_run(0, 0, 1).run
    operand = [value.root, *value.siblings, *read.leaves, *read.siblings]
    operand = [*claimed.leaves, *claimed.siblings, *operand]
    assert proof[0] == ClaimKind.OUTPUT
    assert proof[32 + len(descriptors(program, 1)) :] == b"".join(operand)


def test_build_opens_an_input_in_its_payload_and_constants():
    program, run, sources = network()
    proof = build(program, 0, 5, sources)
    # The second row of the input, bytes 160 to 320: leaves 1 and 2.
    asked = merkle.payload_tree(np.ones(80, ">f4").tobytes()).run(1, 2)
    # The third row of 40: bytes 320 to 480, leaves 2 and 3.
    weights = program.constants[0].array
    row = openings.open_run(merkle.leaves_of(weights.astype(">f4").tobytes()), 2, 2)
    value, claimed = run.open_value(0), run.open_run(0, 0, 1).run
    opened = [value.root, *value.siblings, *claimed.leaves, *claimed.siblings]
    opened += [*asked.leaves, *asked.siblings, *row.leaves, *row.siblings]
    assert proof[32 + len(descriptors(program, 0)) :] == b"".join(opened)


def test_build_opens_an_input_behind_others_where_it_lies():
    """Of 3 and 40 numbers: the second begins 12 bytes into the payload, so that its number 29 is
    the first of the payload's second leaf; and whatever stands in the payload is opened."""
    program = lower(
        file(
            [node("Mul", ["x", "y"], ["z"])],
            [tensor("x", [3, 1]), tensor("y", [1, 40])],
            ["z"],
        )
    )
    inputs = [np.ones((3, 1), np.float32), np.zeros((1, 40), np.float32)]
    payload = np.array([1.0] * 3 + [-0.0] * 40, ">f4").tobytes()
    run = trace(Runner(program), inputs)
    proof = build(program, 0, 29, WholeTrace(run, inputs, Payloads(payload, run.output)))
    tree = merkle.payload_tree(payload)
    runs = [tree.run(0, 1), tree.run(1, 1)]
    assert proof.endswith(
        b"".join(part for each in runs for part in (*each.leaves, *each.siblings))
    )


def test_build_opens_a_claim_behind_other_outputs_where_it_lies():
    """Of 1 byte and then 8-byte numbers: number 15 lies in two leaves of the payload."""
    nodes = [node("Less", ["x", "x"], ["l"]), node("Neg", ["x"], ["n"])]
    x = tensor("x", [20], TensorProto.INT64)
    program = lower(
        file(
            [*nodes, node("Slice", ["l", "a", "b"], ["few"])],
            [x],
            ["few", "n"],
            a=np.array([0]),
            b=np.array([1]),
        )
    )
    inputs = [np.arange(20)]
    run = trace(Runner(program), inputs)
    [neg] = [at for at, each in enumerate(program.nodes) if each.op is Op.NEG]
    proof = build(program, neg, 15, WholeTrace(run, inputs), ClaimKind.OUTPUT, 1)
    claimed = merkle.payload_tree(run.output).run(0, 2)
    opened = b"".join([*claimed.leaves, *claimed.siblings])
    assert proof[32 + len(descriptors(program, neg)) :].startswith(opened)
    assert run.output[1 + 15 * 8 :][:8] == (-15 % (1 << 64)).to_bytes(8, "big")
