"""Proofs are read by code that shares nothing with what builds them but the hashes."""

import pytest

from oracle.audit.proof import Claim, prove
from oracle.errors import WrongEvidence
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.proofs import evidence
from oracle.exact.proofs.evidence import ClaimKind, Payloads, WholeTrace
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from oracle.samples import digits, gradient_boosting
from oracle.tensor import decode, to_bytes
from tests.networks import network

MODELS = {
    "network": lambda: (network().onnx, network().payload()),
    "trees": lambda: (gradient_boosting().onnx, gradient_boosting().payload(0)),
    "digits": lambda: (digits().onnx, digits().payload(0)),
}


def traced(onnx: bytes, payload: bytes) -> tuple[Program, Trace, WholeTrace, Claim]:
    program = lower(onnx)
    runner = Runner(program)
    inputs = decode(payload, program.signature.inputs)
    ours = trace(runner, inputs)
    claim = Claim(program.root, ours.root, payload, runner.infer(payload))
    return program, ours, WholeTrace(ours, inputs), claim


@pytest.mark.parametrize("name", MODELS)
def test_prove_recomputes_each_value_from_what_is_opened(name: str) -> None:
    program, ours, sources, claim = traced(*MODELS[name]())

    for index, node in enumerate(program.nodes):
        for element in {0, node.output.elements // 2, node.output.elements - 1}:
            proof = evidence.build(program, index, element, sources)
            found = prove(proof, claim, program.signature.inputs)

            value = ours.values[index].reshape(-1)[element : element + 1]
            assert (found.node, found.element, found.op) == (index, element, node.op.name)
            assert found.claimed == found.expected == to_bytes(value)


def test_prove_reads_the_claim_from_the_output() -> None:
    program, ours, _, claim = traced(network().onnx, network().payload())
    asked = claim.payload, program.signature.inputs
    lie = Claim(claim.program_root, claim.trace_root, claim.payload, bytes(len(claim.output)))
    node = program.outputs[0].index
    sources = WholeTrace(ours, decode(*asked), Payloads(lie.payload, lie.output))
    proof = evidence.build(program, node, 2, sources, ClaimKind.OUTPUT, 0)

    found = prove(proof, lie, program.signature.inputs)

    assert (found.claimed, found.expected) == (bytes(4), claim.output[8:12])


def test_prove_refuses_a_proof_with_any_other_byte() -> None:
    program, _, sources, claim = traced(network().onnx, network().payload())
    proof = evidence.build(program, 2, 3, sources)
    honest = prove(proof, claim, program.signature.inputs)

    for at in range(len(proof)):
        changed = bytearray(proof)
        changed[at] ^= 1
        try:
            found = prove(bytes(changed), claim, program.signature.inputs)
        except WrongEvidence:
            continue
        # The element is the challenger's to choose, and one of the same leaf has the same proof.
        assert at < 32 and found.claimed == found.expected and found != honest


@pytest.mark.parametrize("data", [b"", b"\0", bytes(32), b"\2" + bytes(31), bytes(10_000)])
def test_prove_refuses_what_is_no_proof(data: bytes) -> None:
    program, _, _, claim = traced(network().onnx, network().payload())

    with pytest.raises(WrongEvidence):
        prove(data, claim, program.signature.inputs)
