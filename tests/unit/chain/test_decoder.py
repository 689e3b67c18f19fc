"""Every event of the contracts, decoded from a real chain."""

from dataclasses import replace

import pytest

from oracle.chain.artifacts import artifact
from oracle.chain.decoder import Decoder
from oracle.chain.events import (
    CallbackFailed,
    CallbackRetried,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    StakeAdded,
    UnstakeStarted,
    Withdrawn,
)
from oracle.chain.node import Call
from oracle.chain.replies import Log
from oracle.errors import MalformedData
from oracle.merkle import payload_root
from oracle.types import Assurance, DType, Proposal, Request, Signature, TensorType, Wei
from tests.chains import (
    BOND,
    DELAY,
    FEE,
    OUTPUT,
    PAYLOAD,
    STAKE,
    TIMEOUT,
    URI,
    WINDOW,
    World,
    address,
    model,
    options,
    raw_call,
)


def test_decode_reads_model_published_with_everything_in_it(embedded: World) -> None:
    signature = Signature(
        (TensorType("α", DType.INT64, ()), TensorType("", DType.BOOL, (2, 3, 4))),
        (TensorType("y", DType.DOUBLE, (7,)), TensorType("z", DType.BFLOAT16, (1, 1))),
    )
    what = model(address("publisher"), name="naïve 🦊", version="1.0-β", signature=signature)
    receipt = embedded.send("publisher", embedded.registry.publish(what, URI))

    event = embedded.of(receipt, ModelPublished)

    assert event.model == what
    assert (event.model_id, event.uri) == (embedded.registry.id_of(what), URI)


def test_decode_reads_a_vanilla_model_without_uri(embedded: World) -> None:
    vanilla = {"assurance": Assurance.VANILLA, "program_root": bytes(32), "royalty": Wei(0)}
    embedded.publish("", **vanilla)

    [event] = embedded.all(ModelPublished)

    assert event.model == model(address("publisher"), **vanilla)
    assert event.uri == ""


def test_decode_reads_where_an_event_is(embedded: World) -> None:
    receipt = embedded.send("operator", embedded.queue.stake(STAKE))

    where = embedded.of(receipt, StakeAdded).where

    assert (where.block, where.transaction) == (receipt.block, receipt.transaction)
    assert where.time == embedded.chain.block(receipt.block).time


def test_decode_reads_added_uris(embedded: World) -> None:
    model_id = embedded.publish()
    receipt = embedded.send("publisher", embedded.registry.add_uri(model_id, "ipfs://x"))

    event = embedded.of(receipt, ModelUriAdded)

    assert (event.model_id, event.uri) == (model_id, "ipfs://x")


def test_decode_reads_deprecation_with_and_without_successor(embedded: World) -> None:
    old, new = embedded.publish(), embedded.publish(version="2")
    embedded.send("publisher", embedded.registry.deprecate(old, new))
    embedded.send("publisher", embedded.registry.deprecate(new, None))

    found = embedded.all(ModelDeprecated)

    assert [(event.model_id, event.successor) for event in found] == [(old, new), (new, None)]


def test_decode_reads_a_request_with_every_option(embedded: World) -> None:
    model_id = embedded.publish()
    asked = embedded.ask(
        model_id, operator=address("operator"), callback_gas=70_000, refund_to=address("stranger")
    )

    assert asked.payload == PAYLOAD
    assert asked.request == Request(
        model=model_id,
        terms=embedded.terms_of(model_id),
        input_root=payload_root(PAYLOAD),
        consumer=address("requester"),
        fee=FEE,
        operator=address("operator"),
        bond=BOND,
        refund_to=address("stranger"),
        input_length=len(PAYLOAD),
        max_output_length=len(OUTPUT),
        deadline=asked.where.time + TIMEOUT,
        window=WINDOW,
        callback_gas=70_000,
        nonce=0,
        entropy=asked.request.entropy,
    )


def test_decode_reads_a_proposal(embedded: World) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())

    event = embedded.propose(asked)

    at = event.where.time
    assert event.proposal == Proposal(address("operator"), 0, at, at + WINDOW, len(OUTPUT))
    assert (event.request_id, event.output) == (asked.request_id, OUTPUT)


def test_decode_reads_a_settlement(embedded: World) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    answer = embedded.propose(asked)
    embedded.skip(WINDOW)

    event = embedded.of(embedded.settle(asked, answer), RequestSettled)

    assert (event.request_id, event.operator) == (asked.request_id, address("operator"))


def test_decode_reads_a_failed_callback_and_its_repair(embedded: World) -> None:
    embedded.stake()
    contract = embedded.consumer()
    asked = embedded.ask_by(contract, embedded.publish(), callback_gas=50_000)
    answer = embedded.propose(asked)
    embedded.skip(WINDOW)
    failed = embedded.of(embedded.settle(asked, answer), CallbackFailed)
    embedded.send("stranger", Call(contract, b""))  # cured
    retry = embedded.queue.retry_callback(asked.request, answer.proposal, OUTPUT)
    retried = embedded.of(embedded.send("stranger", retry), CallbackRetried)

    assert (failed.request_id, failed.consumer, failed.reason) == (
        asked.request_id,
        contract,
        b"no",
    )
    assert (retried.request_id, retried.consumer) == (asked.request_id, contract)


def test_decode_reads_expiry(embedded: World) -> None:
    asked = embedded.ask(embedded.publish(), refund_to=address("stranger"))
    embedded.skip(TIMEOUT)
    receipt = embedded.send("rival", embedded.queue.expire(asked.request))

    event = embedded.of(receipt, RequestExpired)

    assert (event.request_id, event.refund_to, event.refund) == (
        asked.request_id,
        address("stranger"),
        FEE,
    )


def test_decode_reads_stake_unstake_and_withdrawal(embedded: World) -> None:
    embedded.stake(amount=STAKE)
    embedded.stake(amount=5)
    started = embedded.of(embedded.send("operator", embedded.queue.unstake(Wei(7))), UnstakeStarted)
    embedded.skip(DELAY)
    paid = embedded.of(
        embedded.send("stranger", embedded.queue.withdraw(address("operator"))), Withdrawn
    )

    stakes = [(event.operator, event.amount, event.staked) for event in embedded.all(StakeAdded)]
    operator = address("operator")
    assert stakes == [(operator, STAKE, STAKE), (operator, 5, STAKE + 5)]
    assert (started.operator, started.amount) == (operator, 7)
    assert started.available_at == started.where.time + DELAY
    assert (paid.account, paid.amount) == (operator, 7)


def test_decode_reads_a_slash_and_what_it_opens_again(embedded: World) -> None:
    embedded.stake()
    model_id = embedded.publish()
    lied, other = embedded.ask(model_id), embedded.ask(model_id)
    lie, voided = embedded.propose(lied), embedded.propose(other)
    receipt = embedded.slash(lied, lie)
    slashed = embedded.of(receipt, OperatorSlashed)
    embedded.skip(WINDOW)
    reopen = embedded.queue.reopen(other.request, voided.proposal, payload_root(OUTPUT))
    embedded.send("stranger", reopen)

    assert (slashed.operator, slashed.challenger) == (address("operator"), address("challenger"))
    assert (slashed.bond, slashed.epoch) == (BOND, 1)
    assert (slashed.reward, slashed.burned) == (BOND * 3 // 10, BOND * 4 // 10)
    reopened = [(event.request_id, event.operator) for event in embedded.all(RequestReopened)]
    assert reopened == [(asked.request_id, address("operator")) for asked in (lied, other)]


def test_decode_refuses_times_that_no_chain_comes_to(embedded: World) -> None:
    """Of 64 bits, a state's database holds 63, and what follows may be due a while later."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    [log] = embedded.chain.logs([embedded.queue.address], asked.where.block, asked.where.block)
    request = asked.request
    answered = embedded.send("operator", embedded.queue.propose([(request, OUTPUT)]))
    proposal = embedded.of(answered, ResultProposed).proposal
    unstaked = embedded.send("operator", embedded.queue.unstake(Wei(7)))
    times = [
        (log, request.deadline),
        (answered.logs[0], proposal.proposed_at),
        (answered.logs[0], proposal.settle_at),
        (unstaked.logs[0], embedded.of(unstaked, UnstakeStarted).available_at),
    ]

    for log, time in times:
        assert log.data.count(time.to_bytes(8, "big")) == 1
        data = log.data.replace(time.to_bytes(8, "big"), (2**53).to_bytes(8, "big"))
        Decoder().decode(log, 1)
        with pytest.raises(MalformedData, match="names a time that no chain comes to"):
            Decoder().decode(replace(log, data=data), 1)


def test_decode_knows_every_event_of_the_contracts() -> None:
    names = {
        entry["name"]
        for contract in ("ModelRegistry", "InferenceQueue", "Disputes")
        for entry in artifact(contract).abi
        if entry["type"] == "event"
    }

    assert {layout.name for layout in Decoder()._layouts.values()} == names


@pytest.mark.parametrize("topics", [(), (b"\x55" * 32,)])
def test_decode_passes_over_a_log_that_is_none_of_ours(topics: tuple[bytes, ...]) -> None:
    log = Log(address("stranger"), topics, b"", 1, bytes(32), 0, bytes(32))

    assert Decoder().decode(log, 0) is None


def test_decode_passes_over_an_event_of_our_name_with_other_topics(embedded: World) -> None:
    receipt = embedded.send("operator", embedded.queue.stake(STAKE))
    [found] = receipt.logs
    log = replace(found, topics=found.topics[:1])

    assert Decoder().decode(log, 0) is None


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x00b", b"\xed\xa0\x80"])
def test_decode_reads_a_model_whose_name_is_no_text(embedded: World, name: bytes) -> None:
    """Solidity's strings are any bytes: nobody may blind every worker for the price of one."""
    marker = "@" * len(name)
    what = model(address("publisher"), name=marker)
    call = embedded.registry.publish(what, marker)
    call = replace(call, data=call.data.replace(marker.encode(), name))
    receipt = embedded.send("publisher", call)

    event = embedded.of(receipt, ModelPublished)

    text = event.model.name + event.uri
    assert text.encode() and "\x00" not in text
    assert event.model.source_hash == what.source_hash


def test_decode_reads_equal_requests_of_one_second_apart(embedded: World) -> None:
    """The twin has a nonce, for its id must be another."""
    model_id = embedded.publish()
    contract = embedded.send("requester", Call(None, twice(embedded))).contract
    call = embedded.queue.request(model_id, PAYLOAD, Wei(0), options())
    receipt = embedded.send("requester", replace(call, to=contract, value=Wei(2 * FEE)))

    found = [event for event in embedded.all(RequestCreated) if event.where.block == receipt.block]

    assert [event.request.nonce for event in found] == [0, 1]
    assert [embedded.queue.id_of(event.request) for event in found] == [
        event.request_id for event in found
    ]


def twice(world: World) -> bytes:
    """Creation code of a contract that hands a call on twice, each time with half of the value."""
    code = bytearray.fromhex("365f5f37")  # calldatacopy(0, 0, size)
    for _ in range(2):
        # call(gas, queue, value / 2, 0, size, 0, 0), and revert unless it succeeds
        code += bytes.fromhex("5f5f365f6002340473" + world.deployment.queue[2:] + "5af1")
        code += bytes((0x60, len(code) + 6, 0x57, 0x5F, 0x5F, 0xFD, 0x5B))
    return bytes.fromhex(f"60{len(code):02x}8060095f395ff3") + bytes(code)


def test_reopen_of_raw_calls_is_the_contracts(embedded: World) -> None:
    """The helper of these tests encodes as the product does."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    answer = embedded.propose(asked)
    arguments = asked.request, answer.proposal, payload_root(OUTPUT)

    assert raw_call(embedded.queue, "reopen", *arguments) == embedded.queue.reopen(*arguments)
