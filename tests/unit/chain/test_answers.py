"""What an operator signs is what the queue takes, word by word."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.chain.answers import Answer, AnswerSignature
from oracle.chain.codec import request_id
from oracle.chain.contracts import SignedOptions
from oracle.chain.events import RequestCreated, ResultProposed, SignerSet
from oracle.chain.keys import from_key
from oracle.errors import Reverted
from oracle.types import RequestId, Status, Wei
from tests.chains import BOND, FEE, OUTPUT, PAYLOAD, PEOPLE, WINDOW, World, address

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def asked_by(world: World, who: str, **changes: object) -> SignedOptions:
    options = SignedOptions(
        operator=address(who), bond=BOND, window=WINDOW, deadline=world.time() + 600, nonce=7
    )
    return replace(options, **changes)  # type: ignore[arg-type]


def answer_to(world: World, id_: RequestId, epoch: int = 0, output: bytes = OUTPUT) -> Answer:
    return Answer(id_, output, epoch, world.queue.chain_id, world.queue.address)


def test_infer_takes_what_sign_signed(embedded: World) -> None:
    embedded.stake()
    model_id = embedded.publish()
    options = asked_by(embedded, "operator", refund_to=address("stranger"), callback_gas=50_000)
    terms = embedded.terms_of(model_id)
    request = options.request(model_id, terms, PAYLOAD, address("requester"), FEE)
    id_ = embedded.queue.id_of(request)
    signature = answer_to(embedded, id_).sign(PEOPLE["operator"])

    call = embedded.queue.infer(model_id, PAYLOAD, FEE, options, OUTPUT, signature)
    receipt = embedded.send("requester", call)

    assert embedded.of(receipt, RequestCreated).request == request
    assert embedded.of(receipt, RequestCreated).request_id == id_
    proposed = embedded.of(receipt, ResultProposed)
    assert (proposed.proposal.operator, proposed.output) == (address("operator"), OUTPUT)
    assert proposed.proposal.output_length == len(OUTPUT)


@pytest.mark.parametrize("changes", [{}, {"refund_to": address("stranger"), "callback_gas": 9}])
def test_options_of_a_request_make_it_again(embedded: World, changes: dict[str, object]) -> None:
    model_id = embedded.publish()
    options = asked_by(embedded, "operator", **changes)
    terms = embedded.terms_of(model_id)

    request = options.request(model_id, terms, PAYLOAD, address("requester"), FEE)

    assert SignedOptions.of(request) == options


def test_propose_signed_and_settle_by_root_are_anybodys(embedded: World) -> None:
    embedded.stake()
    asked = [embedded.ask(embedded.publish(version=version)) for version in "12"]
    results = []
    for each in asked:
        signature = answer_to(embedded, each.request_id).sign(PEOPLE["operator"])
        operator = address("operator")
        call = embedded.queue.propose_signed(each.request, operator, OUTPUT, signature)
        proposed = embedded.of(embedded.send("stranger", call), ResultProposed)
        results.append((each.request, proposed.proposal, OUTPUT))
    embedded.skip(WINDOW)

    embedded.send("stranger", embedded.queue.settle_by_root(results[:1]))
    embedded.send("stranger", embedded.queue.settle_by_root(results))

    assert [embedded.status(each) for each in asked] == [Status.SETTLED] * 2


def test_a_signer_is_named_and_signs(embedded: World) -> None:
    embedded.stake()
    assert embedded.queue.signer_of(address("operator")) is None

    call = embedded.queue.set_signer(address("stranger"), Wei(BOND))
    event = embedded.of(embedded.send("operator", call), SignerSet)

    found = embedded.queue.signer_of(address("operator"))
    assert found is not None
    assert (found.signer, found.max_locked) == (address("stranger"), BOND)
    assert (event.operator, event.epoch) == (address("operator"), 0)
    assert (event.signer, event.max_locked) == (address("stranger"), BOND)
    asked = embedded.ask(embedded.publish())
    signature = answer_to(embedded, asked.request_id).sign(PEOPLE["stranger"])
    call = embedded.queue.propose_signed(asked.request, address("operator"), OUTPUT, signature)
    embedded.send("requester", call)
    assert embedded.status(asked) is Status.PROPOSED

    removed = embedded.of(
        embedded.send("operator", embedded.queue.set_signer(None, Wei(0))), SignerSet
    )
    assert removed.signer is None


@pytest.mark.parametrize("changes", [{"epoch": 1}, {"output": bytes(8)}, {"chain_id": 5}])
def test_propose_signed_refuses_other_words(embedded: World, changes: dict[str, object]) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    answer = replace(answer_to(embedded, asked.request_id), **changes)  # type: ignore[arg-type]
    signature = answer.sign(PEOPLE["operator"])

    call = embedded.queue.propose_signed(asked.request, address("operator"), OUTPUT, signature)
    with pytest.raises(Reverted, match="WrongSigner"):
        embedded.send("stranger", call)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_signer_of_finds_who_signed(id_: bytes, epoch: int, output: bytes) -> None:
    signer = from_key(b"\x07" * 32)
    answer = Answer(RequestId(id_), output, epoch, 31337, address("stranger"))

    assert answer.signer_of(answer.sign(signer)) == signer.address


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_signer_of_finds_nobody_or_somebody_in_any_words(r: int, vs: int) -> None:
    answer = Answer(RequestId(bytes(32)), b"", 0, 31337, address("stranger"))

    found = answer.signer_of(AnswerSignature(r.to_bytes(32, "big"), vs.to_bytes(32, "big")))

    assert found is None or found != address("operator")


@pytest.mark.parametrize("r", [0, ORDER, 2**256 - 1])
def test_signer_of_no_signature_is_nobody(r: int) -> None:
    answer = Answer(RequestId(bytes(32)), b"", 0, 31337, address("stranger"))

    assert answer.signer_of(AnswerSignature(r.to_bytes(32, "big"), bytes(32))) is None


def test_the_id_is_of_the_chain_that_was_deployed_on(embedded: World) -> None:
    asked = embedded.ask(embedded.publish())

    assert asked.request_id == request_id(asked.request, embedded.chain.id, embedded.queue.address)
