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
from oracle.chain.contracts import Consumer, Subject
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
    RequestReopened,
    ResultProposed,
)
from oracle.chain.history import RequestHistory
from oracle.chain.node import Chain
from oracle.chain.watcher import Watcher
from oracle.cli import demo
from oracle.cli.demo.liar import with_neighbour
from oracle.cli.session import Session
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.samples import breast_cancer
from oracle.types import Address, Status
from tests import chains
from tests.e2e.test_cli import Desk

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
        [slashed] = self.all(OperatorSlashed)
        return slashed

    @property
    def proven(self) -> FraudProven:
        [proven] = self.all(FraudProven)
        return proven

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
    assert (account.epoch, account.locked) == (1, 0)
    assert account.staked == ETHER - played.slashed.bond


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
    demanded, revealed = played.all(PartDemanded), played.all(PartRevealed)
    lied, _ = proposals(played)
    subject = Subject(played.disputed.created.request, lied.proposal, lied.output)
    key = dispute_key(played.proven.request_id, subject.proposal, subject.output)

    assert demanded and len(revealed) == len(demanded)
    assert {event.dispute for event in revealed} | {played.proven.dispute} == {key}
    liar, challenger = played.slashed.operator, played.slashed.challenger
    assert {played.chain.sender_of(event.where.transaction) for event in revealed} == {liar}
    assert {event.demand.demander for event in demanded} == {challenger}
    assert played.proven.challenger == challenger
    assert [event.challenger for event in played.all(FraudCommitted)] == [challenger]


def test_another_operator_answers_and_the_callback_writes_it(played: Played) -> None:
    request_id, found = played.proven.request_id, played.disputed
    lied, answered = proposals(played)
    consumer = Consumer(played.chain, "DiagnosisConsumer", found.created.request.consumer)
    probability = np.frombuffer(answered.output[-4:], ">f4")[0]

    assert [event.operator for event in played.all(RequestReopened)] == [played.slashed.operator]
    assert lied.proposal.operator == played.slashed.operator != answered.proposal.operator
    assert played.session.queue.status_of(request_id) == (Status.SETTLED, False)
    assert consumer.benign_probability(request_id) == int(float(probability) * 10**30) // 10**12


def test_every_wei_is_where_the_rules_send_it(played: Played) -> None:
    slashed, request = played.slashed, played.disputed.created.request
    operator = proposals(played)[1].proposal.operator
    asked = [event.request for event in played.all(RequestCreated)]
    fees = sum(each.fee for each in asked if each.operator is None)
    royalties = sum(each.terms.royalty for each in asked if each.operator is None)
    compensation = slashed.bond - slashed.reward - slashed.burned
    # Where there was no CREATE2 factory, the publisher paid for its presigned transaction.
    factory = FACTORY_FEE * played.chain.nonce(FACTORY_SIGNER)

    assert (slashed.reward, slashed.burned) == (slashed.bond * 3 // 10, slashed.bond * 4 // 10)
    people = {
        slashed.operator: -slashed.bond,
        slashed.challenger: slashed.reward,
        request.refund_to: compensation - fees,
        operator: fees - royalties,
        request.terms.publisher: royalties - factory,
    }
    for account, earned in people.items():
        assert played.wealth_of(account) == PURSE + earned - played.gas_of(account)
    assert played.chain.balance(DEAD) == slashed.burned
    held = sum(played.wealth_of(each) - played.chain.balance(each) for each in people)
    assert played.chain.balance(played.session.queue.address) == held


def test_the_challenger_gets_back_what_it_prepaid(played: Played) -> None:
    prepaid = sum(event.demand.prepaid for event in played.all(PartDemanded))
    collected = played.all(PrepaidCollected)

    assert sum(event.amount for event in collected) == prepaid > 0
    assert {event.account for event in collected} == {played.slashed.challenger}
    assert played.chain.balance(played.session.deployment.disputes) == 0


def test_it_shows_what_the_chain_says(anvil: Played) -> None:
    verdict, slashed = anvil.proven.verdict, anvil.slashed

    for bits in (verdict.claimed, verdict.expected):
        assert f"{np.uint32(bits).view(np.float32)!s}  0x{bits:08x}" in anvil.said
    for amount in (slashed.reward, slashed.burned, slashed.bond - slashed.reward - slashed.burned):
        assert f"{amount:,}" in anvil.said
    assert anvil.said.count("MATCH: all") == 4
    assert "credited to the patient" in anvil.said


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
