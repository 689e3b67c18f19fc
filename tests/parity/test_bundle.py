"""The proof in a bundle of evidence is what the referee on chain takes."""

from oracle.audit.proof import Claim, prove
from oracle.merkle import payload_root
from tests.bundles import bundle
from tests.networks import network
from tests.parity.referee import Case, Referee


def test_judge_convicts_by_the_proof_of_a_bundle(referee: Referee) -> None:
    evidence = bundle(is_lie=True)
    assert evidence.proof is not None
    program = network().program
    trace_root = evidence.trace[:32]
    asked, answered = evidence.payload, evidence.output
    roots = payload_root(asked), payload_root(answered)
    bound = (program.root, trace_root, roots[0], len(asked), roots[1], len(answered))

    [answer] = referee.judge([Case(bound, evidence.proof)])

    claim = Claim(program.root, trace_root, evidence.payload, evidence.output)
    found = prove(evidence.proof, claim, program.signature.inputs)
    assert not answer.error
    assert answer.claimed == int.from_bytes(found.claimed, "big")
    assert answer.expected == int.from_bytes(found.expected, "big") != answer.claimed
