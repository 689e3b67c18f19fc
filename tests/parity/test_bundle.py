"""The proof in a bundle of evidence is what the referee on chain takes."""

from eth_utils.crypto import keccak

from oracle.audit.proof import Claim, prove
from tests.bundles import bundle
from tests.networks import network
from tests.parity.referee import Case, Referee


def test_judge_convicts_by_the_proof_of_a_bundle(referee: Referee) -> None:
    evidence = bundle(is_lie=True)
    assert evidence.proof is not None
    program = network().program
    trace_root = evidence.trace[:32]
    hashes = keccak(evidence.payload), keccak(evidence.output)
    case = Case(
        (program.root, trace_root, *hashes), evidence.proof, evidence.payload, evidence.output
    )

    [answer] = referee.judge([case])

    claim = Claim(program.root, trace_root, evidence.payload, evidence.output)
    found = prove(evidence.proof, claim, program.signature.inputs)
    assert not answer.error
    assert answer.claimed == int.from_bytes(found.claimed, "big")
    assert answer.expected == int.from_bytes(found.expected, "big") != answer.claimed
