"""Recorded before it leaves, sent until it is mined, mined once: against a real node."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from eth_utils import keccak
from structlog.testing import capture_logs

from oracle.chain import transactions
from oracle.chain.connection import connect
from oracle.chain.node import Call, Chain
from oracle.chain.replies import Receipt
from oracle.chain.transactions import (
    GAS_MARGIN,
    GIVE_UP,
    LATE,
    MAX_RAISE,
    MOST_FILLED,
    RESEND,
    Outcome,
    Parcel,
    Sender,
    Sent,
    transact,
)
from oracle.errors import ChainError, FeeAboveCap, NoRoom, Reverted, RpcUnavailable, TooDear
from oracle.state.duties import Key
from oracle.state.schema import BLOCKS
from oracle.state.store import Store
from oracle.types import Wei
from tests.chains import PEOPLE, STAKE, World, address, variant

ME = PEOPLE["operator"]
PATIENCE = 30.0
NOTHING = -1  # is final


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/state.db", 1, address("dead"), ME.address)
    yield store
    store.close()


def sender(world: World, outbox: Any, chain: Chain | None = None, **options: Any) -> Sender:
    return Sender(chain or world.chain, ME, outbox, PATIENCE, **options)


def stake(world: World, amount: int = 5) -> Call:
    return world.queue.stake(Wei(amount))


def staked(world: World) -> int:
    return world.queue.account_of(ME.address).staked


def mine(world: World) -> None:
    world.chain.rpc("evm_mine", [])


def hold(world: World) -> None:
    """Nothing is mined any more unless asked for."""
    world.chain.rpc("evm_setAutomine", [False])


def finish(us: Sender, now: float) -> int:
    """Follows until nothing waits: under load anvil answers before it mines."""
    for _ in range(200):
        if (left := us.follow(now, NOTHING)) == 0:
            break
        time.sleep(0.01)
    return left


def outcomes(outbox: Store) -> list[tuple[int, int, bool]]:
    """Nonce, outcome, and whether it is the one that was mined; for each transaction."""
    from sqlalchemy import text

    query = "SELECT nonce, outcome, is_mined FROM transactions ORDER BY nonce, sent_at"
    with outbox._engine.begin() as connection:
        return [(n, o, bool(m)) for n, o, m in connection.execute(text(query))]


def test_send_records_before_it_broadcasts(world: World, outbox: Store) -> None:
    recorded: list[int] = []

    class Watches:
        def broadcast(self, raw):
            recorded.append(len(outbox.waiting()))
            super().broadcast(raw)  # type: ignore[misc]

    sender(world, outbox, variant(world.chain, Watches)).send(stake(world), (), 0.0)

    assert recorded == [1]


def test_follow_closes_what_is_mined(world: World, outbox: Store) -> None:
    us = sender(world, outbox)
    us.send(stake(world), (), 0.0)

    assert finish(us, 0.0) == 0
    assert (outcomes(outbox), staked(world)) == ([(0, Outcome.SUCCEEDED, True)], 5)


def test_follow_asks_nothing_when_nothing_waits(embedded: World, outbox: Store) -> None:
    class Silent:
        def nonce(self, _):
            raise AssertionError("asked")

    assert sender(embedded, outbox, variant(embedded.chain, Silent)).follow(0.0, NOTHING) == 0


def test_send_records_nothing_when_the_call_would_fail(world: World, outbox: Store) -> None:
    with pytest.raises(Reverted, match="InsufficientStake"):
        sender(world, outbox).send(world.queue.unstake(Wei(1)), (), 0.0)

    assert (outbox.waiting(), world.chain.nonce(ME.address)) == ([], 0)


def test_send_leaves_gas_above_the_estimate(world: World, outbox: Store) -> None:
    estimate = world.chain.estimate(stake(world), ME.address)

    sent = sender(world, outbox).send(stake(world), (), 0.0, spare=1000)

    assert sent.gas == estimate * GAS_MARGIN // 100 + 1000


@pytest.mark.parametrize(("estimate", "gas"), [(16_000_000, 1 << 24), (20_000_000, 20_000_000)])
def test_send_leaves_no_margin_beyond_what_a_transaction_may_take(
    anvil: World, outbox: Store, estimate: int, gas: int
) -> None:
    """The dearest proofs would be refused for it. A chain without that limit may take more."""

    class Dear:
        def estimate(self, _call, _sender):
            return estimate

    assert sender(anvil, outbox, variant(anvil.chain, Dear)).send(stake(anvil), (), 0.0).gas == gas


def test_send_takes_nonces_in_a_row(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    sent = [us.send(stake(anvil), (), 0.0) for _ in range(5)]
    mine(anvil)

    assert [each.nonce for each in sent] == [0, 1, 2, 3, 4]
    assert (finish(us, 0.0), staked(anvil)) == (0, 25)


def test_send_lets_no_more_wait_than_nodes_keep(
    anvil: World, outbox: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What replaces another takes no room of its own."""
    monkeypatch.setattr(transactions, "MAX_WAITING", 3)
    hold(anvil)
    us = sender(anvil, outbox)
    for _ in range(2):
        us.send(stake(anvil), (), 0.0)
    us.follow(PATIENCE + 1, NOTHING)
    us.send(stake(anvil), (), PATIENCE + 1)
    assert len(outbox.waiting()) == 5

    with pytest.raises(NoRoom) as error:
        us.send(stake(anvil), (), PATIENCE + 1)

    assert (error.value.waiting, error.value.most, len(outbox.waiting())) == (3, 3, 5)


class Dies(Exception):
    """Stands for the end of the process."""


class DiesBeforeBroadcast:
    def broadcast(self, _raw):
        raise Dies


class DiesAfterBroadcast:
    def broadcast(self, raw):
        super().broadcast(raw)  # type: ignore[misc]
        raise Dies


# Several at once.


class Shaky:
    """Refuses a batch now and then, answers a part of it with what cannot be read, or dies."""

    refuses: set[str] = set()  # methods
    garbles: set[str] = set()  # methods, in the first answer
    dies: set[str] = set()  # methods

    def _batch(self, questions):
        methods = {method for method, _ in questions}
        if methods & self.dies:
            raise Dies
        if methods & self.refuses:
            return [{"error": {"code": -32005, "message": "too many"}} for _ in questions]
        replies = super()._batch(questions)  # type: ignore[misc]
        if methods & self.garbles:
            replies[0] = {"result": None}
        return replies


def parcels(world: World, *amounts: int) -> list[Parcel[Key]]:
    return [Parcel(stake(world, amount), ()) for amount in amounts]


def reverting(world: World) -> Parcel[Key]:
    return Parcel(world.queue.unstake(Wei(10**18)), ())


def test_send_all_sends_what_would_not_revert(world: World, outbox: Store) -> None:
    given = [*parcels(world, 1), reverting(world), *parcels(world, 2)]

    one, failed, other = sender(world, outbox).send_all(given, 0.0)

    assert isinstance(failed, Reverted) and failed.name == "InsufficientStake"
    assert isinstance(one, Sent) and isinstance(other, Sent)
    assert (one.nonce, other.nonce, len(outbox.waiting())) == (0, 1, 2)
    assert (finish(sender(world, outbox), 0.0), staked(world)) == (0, 3)


def test_send_all_sends_nothing_that_costs_more_than_it_may(world: World, outbox: Store) -> None:
    [cheap] = parcels(world, 1)
    fees, estimate = world.chain.fees(), world.chain.estimate(cheap.call, ME.address)
    cost = estimate * (fees.base + (fees.priority or 0))
    below, enough = replace(cheap, most=Wei(cost * 9 // 10)), replace(cheap, most=Wei(cost * 2))

    dear, sent = sender(world, outbox).send_all([below, enough], 0.0)

    assert isinstance(dear, TooDear) and isinstance(sent, Sent)
    assert sent.nonce == 0  # nothing is left out in front of it


def test_send_all_leaves_what_finds_no_room(
    anvil: World, outbox: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "MAX_WAITING", 3)
    hold(anvil)
    us = sender(anvil, outbox)
    us.send(stake(anvil), (), 0.0)

    found = us.send_all(parcels(anvil, 1, 2, 3, 4), 0.0)

    assert [type(each) for each in found] == [Sent, Sent, NoRoom, NoRoom]
    assert [each.nonce for each in outbox.waiting()] == [0, 1, 2]


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_sendRawTransaction"])
def test_send_all_asks_alone_what_is_refused_together(
    anvil: World, outbox: Store, method: str
) -> None:
    node = variant(anvil.chain, type("Refusing", (Shaky,), {"refuses": {method}}))
    us = sender(anvil, outbox, node)

    one, failed, other = us.send_all([*parcels(anvil, 1), reverting(anvil), *parcels(anvil, 2)], 0)

    assert isinstance(one, Sent) and isinstance(other, Sent) and isinstance(failed, Reverted)
    assert (finish(us, 0.0), staked(anvil)) == (0, 3)


def test_send_all_sends_the_rest_where_a_part_of_the_answer_cannot_be_read(
    anvil: World, outbox: Store
) -> None:
    """Else one duty that a node stumbles over would keep answers to demands from being sent."""
    node = variant(anvil.chain, type("Garbling", (Shaky,), {"garbles": {"eth_estimateGas"}}))
    us = sender(anvil, outbox, node)

    assert all(isinstance(each, Sent) for each in us.send_all(parcels(anvil, 1, 2), 0.0))
    assert (finish(us, 0.0), staked(anvil)) == (0, 3)


def test_follow_sends_each_once_where_a_crash_came_between(anvil: World, outbox: Store) -> None:
    """All of them are recorded before the first leaves."""
    node = variant(anvil.chain, type("Dying", (Shaky,), {"dies": {"eth_sendRawTransaction"}}))
    with pytest.raises(Dies):
        sender(anvil, outbox, node).send_all(parcels(anvil, 1, 2, 4), 0.0)
    assert (len(outbox.waiting()), anvil.chain.nonce(ME.address)) == (3, 0)

    restarted = sender(anvil, outbox)
    assert finish(restarted, 1.0) == 0

    assert (staked(anvil), anvil.chain.nonce(ME.address)) == (7, 3)
    assert [outcome for _, outcome, _ in outcomes(outbox)] == [Outcome.SUCCEEDED] * 3


@pytest.mark.parametrize("death", [DiesBeforeBroadcast, DiesAfterBroadcast])
def test_follow_sends_once_what_a_crash_had_left(world: World, outbox: Store, death: type) -> None:
    with pytest.raises(Dies):
        sender(world, outbox, variant(world.chain, death)).send(stake(world), (), 0.0)

    restarted = sender(world, outbox)
    finish(restarted, 1.0)
    restarted.follow(1.0, NOTHING)

    assert (staked(world), world.chain.nonce(ME.address)) == (5, 1)
    assert outcomes(outbox) == [(0, Outcome.SUCCEEDED, True)]


def test_send_repeats_nothing_when_a_crash_came_before_the_record(
    world: World, outbox: Store
) -> None:
    class Full:
        """A disk without room."""

        def nonces(self, *_: Outcome) -> set[int]:
            return set()

        def record(self, *_: object) -> None:
            raise Dies

    with pytest.raises(Dies):
        sender(world, Full()).send(stake(world), (), 0.0)
    assert world.chain.nonce(ME.address) == 0

    us = sender(world, outbox)
    us.send(stake(world), (), 0.0)
    finish(us, 0.0)

    assert (staked(world), world.chain.nonce(ME.address)) == (5, 1)


def test_follow_loses_nothing_when_the_node_is_down_between(anvil: World, outbox: Store) -> None:
    class Down:
        def broadcast(self, _raw):
            raise RpcUnavailable("down")

    with pytest.raises(RpcUnavailable):
        sender(anvil, outbox, variant(anvil.chain, Down)).send(stake(anvil), (), 0.0)
    us = sender(anvil, outbox)

    assert us.follow(0.0, NOTHING) == 1  # sends it again
    assert finish(us, 0.0) == 0
    assert staked(anvil) == 5


def test_follow_sends_again_what_the_node_forgot(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    sent = us.send(stake(anvil), (), 0.0)
    anvil.chain.rpc("anvil_dropTransaction", ["0x" + sent.hash.hex()])
    assert not anvil.chain.knows(sent.hash)

    us.follow(1.0, NOTHING)
    mine(anvil)

    assert (finish(us, 1.0), staked(anvil)) == (0, 5)


def test_follow_lets_wait_what_is_young(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    us.send(stake(anvil), (), 0.0)

    us.follow(PATIENCE - 1, NOTHING)

    assert len(outbox.waiting()) == 1


def test_follow_replaces_what_waits_too_long_with_a_higher_fee(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    first = us.send(stake(anvil), (), 0.0)
    us.follow(PATIENCE, NOTHING)
    second = outbox.waiting()[-1]
    mine(anvil)

    assert finish(us, PATIENCE) == 0
    assert (second.nonce, second.call, second.gas) == (first.nonce, first.call, first.gas)
    assert second.fees.maximum >= first.fees.maximum * 1.1
    assert first.fees.priority is not None and second.fees.priority is not None
    assert second.fees.priority >= first.fees.priority * 1.1
    assert (staked(anvil), anvil.chain.nonce(ME.address)) == (5, 1)
    assert [mined for _, _, mined in outcomes(outbox)] == [False, True]


def test_follow_raises_no_fee_beyond_all_measure(anvil: World, outbox: Store) -> None:
    """A chain that stood still for a day must not find a transaction that pays all we have."""
    hold(anvil)
    us = sender(anvil, outbox)
    us.send(stake(anvil), (), 0.0)
    for attempt in range(1, 60):
        us.follow(attempt * PATIENCE, NOTHING)

    last = outbox.waiting()[-1]

    assert last.fees.maximum <= 1.3 * MAX_RAISE * anvil.chain.fees().maximum
    mine(anvil)
    assert (finish(us, 10_000.0), staked(anvil)) == (0, 5)


def test_follow_finds_the_attempt_that_was_mined_whichever_it_is(
    anvil: World, outbox: Store
) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    us.send(stake(anvil), (), 0.0)

    class Lost:
        """The replacement never arrives."""

        def broadcast(self, raw):
            pass

    sender(anvil, outbox, variant(anvil.chain, Lost)).follow(PATIENCE, NOTHING)
    mine(anvil)
    us.follow(PATIENCE, NOTHING)

    assert [mined for _, _, mined in outcomes(outbox)] == [True, False]


def test_follow_opens_what_another_transaction_displaced(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox)
    sent = us.send(stake(anvil), (), 0.0)
    anvil.chain.rpc("anvil_dropTransaction", ["0x" + sent.hash.hex()])
    anvil.chain.rpc("evm_setAutomine", [True])
    transact(anvil.chain, ME, stake(anvil, 7))  # by hand, with the same key

    assert finish(us, 0.0) == 0
    assert outcomes(outbox) == [(0, Outcome.DISPLACED, False)]

    us.send(stake(anvil), (), 0.0)
    assert (finish(us, 0.0), staked(anvil)) == (0, 12)


def test_a_receipt_that_comes_late_is_waited_for(anvil: World, outbox: Store) -> None:
    """Or what was done would be sent again, and paid for. Whatever it seems to be in the end, it is
    followed until its block is final."""
    late = [True]

    class Late:
        def receipt(self, transaction):
            return None if late[0] else super().receipt(transaction)  # type: ignore[misc]

    us = sender(anvil, outbox, variant(anvil.chain, Late))
    us.send(stake(anvil), (), 0.0)
    finish(us, 0.0)
    us.follow(LATE - 1, NOTHING)
    assert outcomes(outbox) == [(0, Outcome.WAITING, False)]
    us.follow(LATE, NOTHING)
    assert outcomes(outbox) == [(0, Outcome.DISPLACED, False)]

    late[0] = False
    us.follow(LATE, NOTHING)
    assert outcomes(outbox) == [(0, Outcome.SUCCEEDED, True)]

    us.follow(LATE, anvil.head())
    assert (outbox.followed(), staked(anvil)) == ([], 5)


def test_a_receipt_of_a_block_that_replaced_another_is_waited_for(
    anvil: World, outbox: Store
) -> None:
    late = [False]

    class Late:
        def receipt(self, transaction):
            return None if late[0] else super().receipt(transaction)  # type: ignore[misc]

    us = sender(anvil, outbox, variant(anvil.chain, Late))
    sent = us.send(stake(anvil), (), 0.0)
    finish(us, 0.0)
    with outbox._begin() as connection:
        block = {"number": anvil.head(), "hash": bytes(32), "time": 0}
        connection.execute(BLOCKS.insert(), [block])  # as it was read before it was replaced

    late[0] = True
    us.follow(0.0, NOTHING)

    assert [each.hash for each in outbox.waiting()] == [sent.hash]


def test_a_transaction_whose_block_was_replaced_waits_again(anvil: World, outbox: Store) -> None:
    snapshot = anvil.chain.rpc("evm_snapshot", [])
    us = sender(anvil, outbox)
    us.send(stake(anvil), (), 0.0)
    finish(us, 0.0)
    assert anvil.chain.rpc("evm_revert", [snapshot])
    mine(anvil)

    assert us.follow(0.0, NOTHING) == 1  # sends it again
    assert (finish(us, 0.0), staked(anvil)) == (0, 5)
    assert outcomes(outbox) == [(0, Outcome.SUCCEEDED, True)]


def test_what_no_node_takes_leaves_its_nonce_to_others(anvil: World, outbox: Store) -> None:
    """Or nothing that is sent after it would ever be mined."""

    class Refuses:
        def broadcast(self, _raw):
            raise ChainError("it is not to our taste")

    refused = sender(anvil, outbox, variant(anvil.chain, Refuses)).send(stake(anvil, 7), (), 0.0)
    us = sender(anvil, outbox, variant(anvil.chain, Refuses))
    us.follow(1.0, NOTHING)
    us.follow(1.0 + GIVE_UP, NOTHING)
    assert outcomes(outbox) == [(0, Outcome.REFUSED, False)] and outbox.waiting() == []

    us = sender(anvil, outbox)
    assert us.send(stake(anvil), (), 2 * GIVE_UP).nonce == refused.nonce
    assert (finish(us, 2 * GIVE_UP), staked(anvil)) == (0, 5)


# What waits behind a nonce that nobody has.


class Picky:
    """Takes no transaction that is long, as where the account could not pay for it."""

    def hand_over(self, raws):
        return [False for _ in raws]

    def broadcast(self, raw):
        if len(raw) > 400:
            raise ChainError("insufficient funds for gas * price + value")
        super().broadcast(raw)  # type: ignore[misc]


def long(world: World) -> Call:
    call = stake(world, 7)
    return replace(call, data=call.data + bytes(500))


def lying(world: World, said: list[int]) -> Chain:
    """A node that says these counts of our transactions first."""

    class Lying:
        def nonce(self, account):
            return said.pop(0) if said else super().nonce(account)  # type: ignore[misc]

    return variant(world.chain, Lying)


def test_what_waits_behind_a_transaction_that_is_refused_for_good_is_mined(
    anvil: World, outbox: Store
) -> None:
    """What is refused is sent again at once, and takes no nonce for good."""
    us = sender(anvil, outbox, variant(anvil.chain, Picky))
    us.send(long(anvil), (), 0.0)
    reveal = us.send(stake(anvil), (), 0.0)
    us.follow(1.0, NOTHING)
    assert (reveal.nonce, staked(anvil)) == (1, 0)

    us.follow(GIVE_UP, NOTHING)
    us.send(long(anvil), (), GIVE_UP)
    us.follow(GIVE_UP + 1, NOTHING)

    assert (staked(anvil), anvil.chain.nonce(ME.address)) == (5, 2)
    assert [nonce for nonce, _, is_mined in outcomes(outbox) if is_mined] == [0, 1]
    assert {each.nonce for each in outbox.waiting()} == {2}


def test_what_fills_nonces_is_not_refused_because_of_what_was_there_before(
    anvil: World, outbox: Store
) -> None:
    class TakesMany(Picky):
        def hand_over(self, raws):
            if any(len(raw) > 400 for raw in raws):
                return super().hand_over(raws)
            return super(Picky, self).hand_over(raws)  # type: ignore[misc]

    us = sender(anvil, outbox, variant(anvil.chain, TakesMany))
    for _ in range(2):
        us.send(long(anvil), (), 0.0)
    us.send(stake(anvil), (), 0.0)
    us.follow(1.0, NOTHING)
    hold(anvil)

    for now in (GIVE_UP, GIVE_UP + 1, GIVE_UP + 2):
        us.follow(now, NOTHING)

    filled = [each for each in outbox.waiting() if each.nonce < 2]
    assert len(filled) == 2 and {each.sent_at for each in filled} == {GIVE_UP}


def test_what_was_sent_after_a_count_that_was_too_high_is_mined(
    anvil: World, outbox: Store
) -> None:
    us = sender(anvil, outbox, lying(anvil, [MOST_FILLED]))
    sent = us.send(stake(anvil), (), 0.0)

    us.follow(0.0, NOTHING)

    assert (sent.nonce, finish(us, 0.0), staked(anvil)) == (MOST_FILLED, 0, 5)
    assert anvil.chain.nonce(ME.address) == MOST_FILLED + 1


def test_what_waits_above_nonces_that_a_chain_took_back_is_mined(
    anvil: World, outbox: Store
) -> None:
    """What they were for may be owed no more."""
    snapshot = anvil.chain.rpc("evm_snapshot", [])
    us = sender(anvil, outbox)
    for _ in range(3):
        us.send(stake(anvil), (), 0.0)
    finish(us, 0.0)
    us.follow(0.0, anvil.head())
    hold(anvil)
    sent = us.send(stake(anvil, 7), (), 0.0, spare=50_000)
    assert anvil.chain.rpc("evm_revert", [snapshot])
    anvil.chain.rpc("evm_setAutomine", [True])

    us.follow(0.0, NOTHING)

    assert (sent.nonce, finish(us, 0.0), staked(anvil)) == (3, 0, 7)


@pytest.mark.parametrize("count", [MOST_FILLED + 1, 1 << 40])
def test_what_was_sent_after_a_count_that_was_far_too_high_is_sent_again(
    anvil: World, outbox: Store, count: int
) -> None:
    """It would take too many transactions to get there. One short answer is not enough to say so:
    a node may be far behind."""
    us = sender(anvil, outbox, lying(anvil, [count]))
    us.send(stake(anvil), (), 0.0)
    us.follow(0.0, NOTHING)
    us.follow(GIVE_UP - 1, NOTHING)
    assert {each.nonce for each in outbox.waiting()} == {count}

    us.follow(GIVE_UP, NOTHING)

    assert (outbox.waiting(), anvil.chain.nonce(ME.address)) == ([], 0)
    assert us.send(stake(anvil), (), GIVE_UP).nonce == 0
    for _ in range(50):
        us.follow(GIVE_UP, NOTHING)
        time.sleep(0.01)
    assert (outbox.waiting(), staked(anvil)) == ([], 5)


def test_a_count_that_is_too_low_costs_nothing(anvil: World, outbox: Store) -> None:
    """Nor does it keep back what waits, or take its place."""
    us = sender(anvil, outbox)
    for _ in range(MOST_FILLED + 3):
        us.send(stake(anvil), (), 0.0)
    finish(us, 0.0)
    us.follow(0.0, anvil.head())
    assert outbox.followed() == []
    hold(anvil)
    sent = us.send(stake(anvil), (), 0.0)

    liar = sender(anvil, outbox, lying(anvil, [MOST_FILLED + 1, 0, 1]))
    for _ in range(3):
        liar.follow(0.0, NOTHING)
    assert sent.hash in {each.hash for each in outbox.waiting()}
    anvil.chain.rpc("evm_setAutomine", [True])
    mine(anvil)

    assert (finish(us, 0.0), staked(anvil)) == (0, 5 * (MOST_FILLED + 4))
    assert anvil.chain.nonce(ME.address) == sent.nonce + 1


def test_no_nonce_is_filled_above_the_cap(anvil: World, outbox: Store) -> None:
    """It waits, like all else, until gas is cheaper; and offers no more than the cap then."""
    base = anvil.chain.fees().base
    us = sender(anvil, outbox, lying(anvil, [1]))
    sent = us.send(stake(anvil), (), 0.0)

    assert sender(anvil, outbox, max_fee=Wei(base - 1)).follow(0.0, NOTHING) == 1
    assert outbox.waiting() == [sent]
    hold(anvil)
    sender(anvil, outbox, max_fee=Wei(base + 1)).follow(0.0, NOTHING)

    [filled, _] = outbox.waiting()
    assert (filled.nonce, filled.fees.maximum, filled.call.value) == (0, base + 1, 0)


def test_a_nonce_is_filled_where_there_is_no_room_for_more(
    anvil: World, outbox: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "MAX_WAITING", 2)
    us = sender(anvil, outbox, lying(anvil, [1]))
    us.send_all(parcels(anvil, 1, 2), 0.0)

    us.follow(0.0, NOTHING)

    assert (finish(us, 0.0), staked(anvil)) == (0, 3)


# A receipt of no block.


def test_a_receipt_of_a_block_that_is_nowhere_is_asked_for_again(
    anvil: World, outbox: Store
) -> None:
    """Whoever said it may say, or have said, that its head is as far; a restart changes nothing."""
    far = 1 << 40

    class Lying:
        def receipts(self, hashes):
            found = super().receipts(hashes)  # type: ignore[misc]
            return [replace(each, block=far, block_hash=bytes(32)) for each in found if each]

    sent = sender(anvil, outbox).send(stake(anvil), (), 0.0)
    sender(anvil, outbox, variant(anvil.chain, Lying)).follow(0.0, NOTHING)
    assert [each.block for each in outbox.followed()] == [far]

    us = sender(anvil, outbox)
    finish(us, 0.0)

    assert [(each.hash, each.block) for each in outbox.followed()] == [(sent.hash, anvil.head())]


def test_a_receipt_of_a_block_that_is_nowhere_keeps_nothing_from_being_sent_again(
    anvil: World, outbox: Store
) -> None:
    """As where another transaction took the nonce in the end, so that no receipt ever comes."""
    hold(anvil)
    sent = sender(anvil, outbox).send(stake(anvil), (), 0.0)
    outbox.mark_mined({0: Receipt(sent.hash, 1 << 40, bytes(32), True, 1, Wei(1), None, ())})
    anvil.chain.rpc("anvil_dropTransaction", ["0x" + sent.hash.hex()])
    anvil.chain.rpc("evm_setAutomine", [True])
    transact(anvil.chain, ME, stake(anvil, 7))

    finish(sender(anvil, outbox), 0.0)

    assert outcomes(outbox) == [(0, Outcome.DISPLACED, False)]


def test_follow_jumps_to_the_going_fee(anvil: World, outbox: Store) -> None:
    """What waits may be so far below it that raising it step by step would take too long."""

    class Dear:
        def fees(self):
            return super().fees().raised(900)  # type: ignore[misc]

    hold(anvil)
    sent = sender(anvil, outbox).send(stake(anvil), (), 0.0)

    sender(anvil, outbox, variant(anvil.chain, Dear)).follow(PATIENCE, NOTHING)

    last = outbox.waiting()[-1]
    assert (last.nonce, last.fees.maximum) == (sent.nonce, sent.fees.raised(900).maximum)


def test_follow_closes_as_failed_what_reverted(anvil: World, outbox: Store) -> None:
    anvil.stake(amount=STAKE)
    hold(anvil)
    us = sender(anvil, outbox)
    us.send(anvil.queue.unstake(STAKE), (), 0.0)

    class Blind:
        """A node whose pending state lacks what is pending."""

        def estimate(self, _call, _sender):
            return 100_000

    sender(anvil, outbox, variant(anvil.chain, Blind)).send(anvil.queue.unstake(STAKE), (), 0.0)
    mine(anvil)

    assert finish(us, 0.0) == 0
    assert [outcome for _, outcome, _ in outcomes(outbox)] == [Outcome.SUCCEEDED, Outcome.FAILED]


def test_send_survives_a_node_that_refuses(anvil: World, outbox: Store) -> None:
    """What it refuses stays recorded and is offered again: another node may have taken it."""
    anvil.chain.rpc("anvil_setBalance", [ME.address, hex(10**9)])

    class Estimates:
        def estimate(self, _call, _sender):
            return 60_000

    us = sender(anvil, outbox, variant(anvil.chain, Estimates))
    with capture_logs() as logs:
        us.send(stake(anvil), (), 0.0)
        assert [us.follow(0.0, NOTHING) for _ in range(3)] == [1, 1, 1]
    [refused] = logs  # not once a round
    assert refused["account"] == ME.address and "funds" in refused["why"]

    anvil.chain.rpc("anvil_setBalance", [ME.address, hex(10**18)])
    us.follow(0.0, NOTHING)

    assert (finish(us, 0.0), staked(anvil)) == (0, 5)


def test_send_survives_a_refusal_of_the_embedded_chain(embedded: World, outbox: Store) -> None:
    poor = PEOPLE["dead"]

    class Estimates:
        def estimate(self, _call, _sender):
            return 60_000

    us = Sender(variant(embedded.chain, Estimates), poor, outbox, PATIENCE)
    us.send(stake(embedded), (), 0.0)

    assert us.follow(0.0, NOTHING) == 1


def test_send_works_on_a_chain_without_eip_1559(anvil: World, outbox: Store) -> None:
    from oracle.chain.node import Fees

    class Legacy:
        def fees(self):
            return Fees(Wei(20 * 10**9), None)

    us = sender(anvil, outbox, variant(anvil.chain, Legacy))
    us.send(stake(anvil), (), 0.0)

    assert (finish(us, 0.0), staked(anvil)) == (0, 5)


# Commands that a person runs.


# A cap on fees


def test_send_offers_no_more_than_the_cap(anvil: World, outbox: Store) -> None:
    going = anvil.chain.fees()
    cap = Wei(going.base + 1)
    assert going.maximum > cap

    sent = sender(anvil, outbox, max_fee=cap).send(stake(anvil), (), 0.0)

    assert (sent.fees.maximum, sent.fees.priority) == (cap, min(cap, going.priority or 0))


def test_send_sends_nothing_where_gas_costs_more_than_the_cap(anvil: World, outbox: Store) -> None:
    base = anvil.chain.fees().base
    us = sender(anvil, outbox, max_fee=Wei(base - 1))

    with pytest.raises(FeeAboveCap, match=f"costs {base} wei now, above the {base - 1} wei"):
        us.send(stake(anvil), (), 0.0)

    assert outbox.waiting() == []


def test_follow_raises_no_fee_beyond_the_cap(anvil: World, outbox: Store) -> None:
    hold(anvil)
    us = sender(anvil, outbox, max_fee=Wei(anvil.chain.fees().maximum * 11 // 10))
    first = us.send(stake(anvil), (), 0.0)

    with capture_logs() as said:
        for times in (1, 2, 3):
            us.follow(times * (PATIENCE + 1), NOTHING)

    assert [each.hash for each in outbox.waiting()] == [first.hash]
    assert [each["event"] for each in said] == ["waits: its fee is at our cap"]


# A relay


class Relay:
    """An endpoint that takes transactions and shows nobody what it holds, on a port of its own."""

    def __init__(self, chain: Chain):
        self.chain = chain
        self.methods: list[str] = []
        self.held: list[str] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                relay.methods.append(request["method"])
                answer = json.dumps(
                    {"jsonrpc": "2.0", "id": request["id"], **relay.answer(request)}
                )
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://user:secret@127.0.0.1:{self.server.server_port}/key"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_chainId":
            return {"result": hex(self.chain.id)}
        if request["method"] == "eth_sendRawTransaction":
            self.held += request["params"]
            return {"result": "0x" + keccak(hexstr=request["params"][0]).hex()}
        return {"error": {"code": -32601, "message": "we do not say"}}

    def publish(self) -> None:
        """As a builder includes it."""
        for raw in self.held:
            self.chain.broadcast(bytes.fromhex(raw[2:]))


@contextmanager
def relaying(chain: Chain) -> Iterator[Relay]:
    relay = Relay(chain)
    try:
        yield relay
    finally:
        relay.server.shutdown()
        relay.server.server_close()


def test_send_hands_what_it_sends_to_the_relay_alone(anvil: World, outbox: Store) -> None:
    with relaying(anvil.chain) as relay:
        us = sender(anvil, outbox, relay=connect(relay.url))
        sent = us.send(stake(anvil), (), 0.0)

        assert not anvil.chain.knows(sent.hash) and staked(anvil) == 0
        for now in (1.0, 2.0, RESEND + 1):
            assert us.follow(now, NOTHING) == 1
        assert relay.methods == ["eth_chainId", *["eth_sendRawTransaction"] * 2]

        relay.held = relay.held[:1]
        relay.publish()
        assert finish(us, RESEND + 2) == 0
        assert staked(anvil) == 5


def test_connect_shows_no_secret_of_a_relay(anvil: World) -> None:
    with relaying(anvil.chain) as relay:
        name = connect(relay.url).name
    assert "127.0.0.1" in name and "secret" not in name and "key" not in name


def test_transact_waits_for_its_receipt(world: World) -> None:
    receipt = transact(world.chain, ME, stake(world))

    assert receipt.succeeded and receipt.gas_used > 21_000 and len(receipt.logs) == 1


def test_transact_sends_nothing_when_the_call_would_fail(world: World) -> None:
    with pytest.raises(Reverted, match="NothingToWithdraw"):
        transact(world.chain, ME, world.queue.withdraw(ME.address))

    assert world.chain.nonce(ME.address) == 0


def test_transact_says_why_when_the_chain_reverted_it(anvil: World) -> None:
    class Optimist:
        def estimate(self, _call, _sender):
            return 100_000

    with pytest.raises(Reverted, match="NothingToWithdraw"):
        transact(variant(anvil.chain, Optimist), ME, anvil.queue.withdraw(ME.address))


def test_transact_is_one_sentence_when_the_account_has_no_funds(world: World) -> None:
    with pytest.raises(ChainError):
        transact(world.chain, PEOPLE["dead"], stake(world))


def test_transact_reaches_a_node_by_its_url(anvil: World) -> None:
    receipt = transact(connect(anvil.chain.url), ME, replace(stake(anvil), value=Wei(9)))

    assert receipt.succeeded and staked(anvil) == 9
