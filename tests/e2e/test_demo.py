"""`exactum demo`: what it says happened did, by the chain that it leaves behind."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from oracle.chain import devnet
from oracle.chain.codec import dispute_key
from oracle.chain.connection import EMBEDDED, connect
from oracle.chain.contracts import Consumer
from oracle.chain.deployer import FACTORY_FEE, FACTORY_SIGNER
from oracle.chain.deployment import read_deployment
from oracle.chain.events import (
    FraudCommitted,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
)
from oracle.chain.histories import RequestHistory
from oracle.chain.node import Chain
from oracle.chain.proposals import Fate
from oracle.chain.watcher import Watcher
from oracle.cli import demo
from oracle.cli.demo.liar import with_neighbour
from oracle.cli.session import Session
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.samples import breast_cancer
from oracle.types import Address, RequestId, Status
from tests import chains
from tests.e2e.desk import Desk

ETHER = 10**18
PURSE = 10 * ETHER
DEAD = Address("0x000000000000000000000000000000000000dEaD")

T = TypeVar("T")


@dataclass(frozen=True)
class Played:
    """A chain on which the demo was played."""

    session: Session
    said: str

    @property
    def chain(self) -> Chain:
        return self.session.chain

    @cached_property
    def events(self) -> list[Any]:
        watcher = Watcher(self.chain, self.session.deployment, confirmations=0)
        return [event for step in watcher.steps(None) for event in step.events]

    def all(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def slashed(self) -> OperatorSlashed:
        """For the lie that took a window; the other is that by signature."""
        slashed, _ = self.all(OperatorSlashed)
        return slashed

    @property
    def proven(self) -> FraudProven:
        proven, _ = self.all(FraudProven)
        return proven

    @cached_property
    def signed(self) -> tuple[RequestHistory, RequestHistory]:
        """The requests that came with a signed answer: a right one, and a lie."""
        ids = [e.request_id for e in self.all(RequestCreated) if e.request.is_callers]
        right, lie = map(self.session.history.request, ids)
        return right, lie

    @cached_property
    def disputed(self) -> RequestHistory:
        return self.session.history.request(self.proven.request_id)

    def gas_of(self, account: Address) -> int:
        """Wei, in all blocks there are."""
        paid = 0
        for number in range(self.chain.block("latest").number + 1):
            for transaction in self.chain.transactions(number):
                if self.chain.sender_of(transaction) == account:
                    receipt = self.chain.receipt(transaction)
                    assert receipt is not None
                    paid += receipt.gas_used * receipt.gas_price
        return paid

    def wealth_of(self, account: Address) -> int:
        queue = self.session.queue
        inside = queue.account_of(account).staked + queue.unstaking_of(account).amount
        return self.chain.balance(account) + inside + queue.credit_of(account)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Played:
    settings = demo.settings_of(tmp_path_factory.mktemp("demo"))
    chain = connect(EMBEDDED)
    demo.perform(chain, settings)
    deployment = read_deployment(settings.deployments / f"{chain.id}.json")
    return Played(Session(settings, chain, deployment), "")


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """By the command, whose programs are processes of their own."""
    chains.require_anvil()
    with devnet.anvil() as url:
        folder = tmp_path_factory.mktemp("demo") / "kept"
        done = subprocess.run(
            [sys.executable, "-m", "oracle.cli", "demo", "--rpc", url, "--keep", str(folder)],
            capture_output=True,
            text=True,
            timeout=3600,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        chain = connect(url)
        settings = demo.settings_of(folder)
        deployment = read_deployment(settings.deployments / f"{chain.id}.json")
        yield Played(Session(settings, chain, deployment), done.stdout)


@pytest.fixture(params=["embedded", "anvil"])
def played(request: pytest.FixtureRequest) -> Played:
    return request.getfixturevalue(request.param)


def test_the_liar_is_slashed_for_one_unit_in_the_last_place(played: Played) -> None:
    verdict = played.proven.verdict
    claimed, right = (
        np.uint32(bits).view(np.float32) for bits in (verdict.claimed, verdict.expected)
    )

    assert claimed in (np.nextafter(right, np.float32(0)), np.nextafter(right, np.float32(1)))
    account = played.session.queue.account_of(played.slashed.operator)
    assert (account.epoch, account.locked) == (2, 0)
    assert account.staked == ETHER - sum(each.bond for each in played.all(OperatorSlashed))


def test_the_lie_is_in_a_probability_and_nothing_else(played: Played) -> None:
    payload = played.disputed.created.payload
    sample = breast_cancer()
    right = Runner(lower(sample.onnx)).infer(payload)
    lied, answered = (event.output for event in proposals(played))

    assert payload in {sample.payload(row) for row in range(len(sample.rows))}
    assert answered == right
    assert [at for at in range(len(right)) if lied[at] != right[at]] == [len(right) - 1]
    assert int.from_bytes(lied[-4:], "big") == played.proven.verdict.claimed
    assert int.from_bytes(right[-4:], "big") == played.proven.verdict.expected


def test_the_liar_defended_itself_and_the_challenger_proved_it(played: Played) -> None:
    lies = [proposals(played)[0], played.signed[1].claims[0]]
    keys = {dispute_key(lie.request_id, lie.proposal, lie.output) for lie in lies}
    demanded, revealed = played.all(PartDemanded), played.all(PartRevealed)
    liar, challenger = played.slashed.operator, played.slashed.challenger

    assert len(keys) == 2 and len(revealed) == len(demanded)
    assert {event.dispute for event in revealed} == keys
    assert {event.dispute for event in played.all(FraudProven)} == keys
    assert {played.chain.sender_of(event.where.transaction) for event in revealed} == {liar}
    assert {event.demand.demander for event in demanded} == {challenger}
    assert [event.challenger for event in played.all(FraudProven)] == [challenger] * 2
    assert [event.challenger for event in played.all(FraudCommitted)] == [challenger] * 2


def test_a_contract_acts_on_a_signed_answer_and_it_becomes_final(played: Played) -> None:
    """In one transaction, with the same bits as those for which it took a window."""
    signed, _ = played.signed
    [proposed] = signed.claims
    others = [e for e in played.all(RequestCreated) if e.payload == signed.created.payload]
    windowed = played.session.history.request(others[0].request_id)

    assert others[0].request_id != signed.created.request_id
    assert windowed.claims[0].output == proposed.output
    assert proposed.where.transaction == signed.created.where.transaction
    assert signed.created.request.operator == proposed.proposal.operator
    assert (signed.status, signed.created.request.callback_gas) == (Status.SETTLED, 0)


def test_a_lie_by_signature_is_convicted_and_its_fee_comes_back(played: Played) -> None:
    _, signed = played.signed
    request, [lie] = signed.created.request, signed.claims
    right = Runner(lower(breast_cancer().onnx)).infer(signed.created.payload)
    _, proven = played.all(FraudProven)
    [expired] = [e for e in signed.events if isinstance(e, RequestExpired)]
    consumer = Consumer(played.chain, "SignedConsumer", request.consumer)

    assert [at for at in range(len(right)) if lie.output[at] != right[at]] == [len(right) - 1]
    assert consumer.last_word() == lie.output.ljust(32, b"\0")
    assert (proven.request_id, request.operator) == (lie.request_id, played.slashed.operator)
    assert signed.fate(1) is Fate.SLASHED and signed.status is Status.EXPIRED
    assert (expired.refund_to, expired.refund) == (request.refund_to, request.fee)


def test_another_operator_answers_and_the_callback_writes_it(played: Played) -> None:
    request_id, found = played.proven.request_id, played.disputed
    lied, answered = proposals(played)
    consumer = Consumer(played.chain, "DiagnosisConsumer", found.created.request.consumer)
    probability = np.frombuffer(answered.output[-4:], ">f4")[0]

    reopened = [e.operator for e in found.events if isinstance(e, RequestReopened)]
    assert reopened == [played.slashed.operator]
    assert lied.proposal.operator == played.slashed.operator != answered.proposal.operator
    assert played.session.queue.status_of(request_id) == (Status.SETTLED, False)
    assert consumer.benign_probability(request_id) == int(float(probability) * 10**30) // 10**12


def test_every_wei_is_where_the_rules_send_it(played: Played) -> None:
    slashes, request = played.all(OperatorSlashed), played.disputed.created.request
    operator = proposals(played)[1].proposal.operator
    asked = {event.request_id: event.request for event in played.all(RequestCreated)}
    settled = [asked[event.request_id] for event in played.all(RequestSettled)]
    fees = sum(each.fee for each in settled)
    royalties = sum(each.terms.royalty for each in settled)
    bonds, rewards = sum(each.bond for each in slashes), sum(each.reward for each in slashes)
    burned = sum(each.burned for each in slashes)
    # Where there was no CREATE2 factory, the publisher paid for its presigned transaction.
    factory = FACTORY_FEE * played.chain.nonce(FACTORY_SIGNER)

    assert (rewards, burned) == (bonds * 3 // 10, bonds * 4 // 10)
    assert len(asked) - len(settled) == 2  # which nobody answered, or only the liar could
    people = {
        played.slashed.operator: -bonds,
        played.slashed.challenger: rewards,
        request.refund_to: bonds - rewards - burned - fees,
        operator: fees - royalties,
        request.terms.publisher: royalties - factory,
    }
    for account, earned in people.items():
        assert played.wealth_of(account) == PURSE + earned - played.gas_of(account)
    assert played.chain.balance(DEAD) == burned
    held = sum(played.wealth_of(each) - played.chain.balance(each) for each in people)
    assert played.chain.balance(played.session.queue.address) == held


def test_the_challenger_gets_back_what_it_prepaid(played: Played) -> None:
    prepaid = sum(event.demand.prepaid for event in played.all(PartDemanded))
    collected = played.all(PrepaidCollected)

    assert sum(event.amount for event in collected) == prepaid > 0
    assert {event.account for event in collected} == {played.slashed.challenger}
    assert played.chain.balance(played.session.deployment.disputes) == 0


def test_it_shows_what_the_chain_says(anvil: Played) -> None:
    verdict, slashes = anvil.proven.verdict, anvil.all(OperatorSlashed)

    for bits in (verdict.claimed, verdict.expected):
        assert f"{np.uint32(bits).view(np.float32)!s}  0x{bits:08x}" in anvil.said
    shares = ((each.reward, each.burned, each.bond) for each in slashes)
    reward, burned, bond = map(sum, zip(*shares, strict=True))
    for amount in (reward, burned, bond - reward - burned):
        assert f"{amount:,}" in anvil.said
    assert anvil.said.count("MATCH: all") == 5
    assert "credited to the patient" in anvil.said


def test_it_shows_what_both_ways_to_an_answer_took(anvil: Played) -> None:
    """Of a transaction about several requests, each has its share."""
    signed, _ = anvil.signed
    windowed = next(e for e in anvil.all(RequestCreated) if e.payload == signed.created.payload)

    def gas(request_id: RequestId, *kinds: type[Any]) -> int:
        found = 0
        for kind in kinds:
            [event] = [e for e in anvil.all(kind) if e.request_id == request_id]
            transaction = event.where.transaction
            receipt = anvil.chain.receipt(transaction)
            assert receipt is not None
            together = [e for e in anvil.all(kind) if e.where.transaction == transaction]
            found += round(receipt.gas_used / len(together))
        return found

    whole = gas(windowed.request_id, RequestCreated, ResultProposed, RequestSettled)
    posted = gas(signed.created.request_id, RequestCreated)
    settled = gas(signed.created.request_id, RequestCreated, RequestSettled)
    table = anvil.said.partition("before a contract may act")[2].splitlines()
    cells = [list(map(str.strip, line.split("│")[1:4])) for line in table[:8]]
    rows = {name: values for name, *values in filter(None, cells)}
    assert rows["gas"] == [f"{whole:,}", f"{posted:,}"]
    assert rows["gas, with settling"] == [f"{whole:,}", f"{settled:,}"]
    assert rows["transactions"] == ["3", "1"]


def test_what_it_keeps_is_for_the_other_commands(anvil: Played) -> None:
    desk = Desk(anvil.session.settings.home, anvil.chain.url)
    request = "0x" + anvil.proven.request_id.hex()

    assert desk.json("audit", request)["matches"]
    shown = desk.json("dispute", "show", request)
    assert (shown["proposal"], shown["state"]) == (1, "convicted")
    assert int(shown["slashed"]["bond"]) == anvil.slashed.bond
    answered = desk.json("dispute", "show", request, "--proposal", "2")
    assert (answered["state"], answered["differences"]) == ("undisputed", [])
    assert "2 proposals" in desk.run("dispute", "show", request, "--proposal", "3", code=1).stderr


@pytest.mark.parametrize(
    "options", [("--keep", "{folder}/new"), ("--rpc", "http://127.0.0.1:1", "--keep", "{folder}")]
)
def test_keep_is_refused_where_nothing_could_be_kept(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    said = Desk(tmp_path, "").run(
        "demo", *(each.format(folder=tmp_path) for each in options), code=2
    )

    assert "--keep" in said.stderr


def test_with_neighbour_changes_the_last_element_alone() -> None:
    value = np.array([[0.5, 1.0]], np.float32)

    changed = with_neighbour(value)

    assert changed[0, 0] == value[0, 0]
    assert changed[0, 1] == np.nextafter(np.float32(1), np.float32(2))


def proposals(played: Played) -> tuple[ResultProposed, ResultProposed]:
    """Of the disputed request: the lie, and the answer after it."""
    lied, answered = (e for e in played.disputed.events if isinstance(e, ResultProposed))
    return lied, answered
