"""Events in, in order, once, from the cursor on, however little a node gives at a time."""

from dataclasses import replace

import pytest

from oracle.chain.events import ModelPublished, ResultProposed, StakeAdded
from oracle.chain.node import Call, Chain
from oracle.chain.replies import Block
from oracle.chain.watcher import Cursor, Watcher
from oracle.errors import ChainError, Reorganised, RpcUnavailable
from oracle.types import Wei
from tests.chains import World, address, amounts, embedded, eth_tester, undone, variant


def watcher(
    world: World, confirmations: int = 0, span: int = 0, chain: Chain | None = None, near: int = 0
):
    return Watcher(chain or world.chain, world.deployment, confirmations, span, near)


def stake(world: World, *stakes: int) -> None:
    for amount in stakes:
        world.stake(amount=amount)


def test_steps_begin_with_the_deployment(embedded: World) -> None:
    stake(embedded, 1, 2)

    steps = list(watcher(embedded).steps(None))

    assert amounts(steps) == [1, 2]
    assert steps[-1].cursor == Cursor(embedded.head(), embedded.chain.block("latest").hash)


def test_steps_go_on_after_the_cursor(embedded: World) -> None:
    stake(embedded, 1)
    *_, last = watcher(embedded).steps(None)
    stake(embedded, 2)

    assert amounts(list(watcher(embedded).steps(last.cursor))) == [2]


def test_steps_are_none_when_the_chain_has_not_moved(embedded: World) -> None:
    *_, last = watcher(embedded).steps(None)

    assert list(watcher(embedded).steps(last.cursor)) == []


def test_steps_pass_over_empty_blocks_with_the_cursor(embedded: World) -> None:
    *_, last = watcher(embedded).steps(None)
    eth_tester(embedded.chain).mine_blocks(3)

    steps = list(watcher(embedded).steps(last.cursor))

    assert amounts(steps) == []
    assert steps[-1].cursor.number == embedded.head()


def test_steps_leave_confirmations_alone(embedded: World) -> None:
    stake(embedded, 1, 2, 3)

    steps = list(watcher(embedded, confirmations=1).steps(None))

    assert amounts(steps) == [1, 2]
    assert steps[-1].cursor.number == embedded.head() - 1


def test_steps_are_none_when_all_blocks_wait_for_confirmations(embedded: World) -> None:
    assert list(watcher(embedded, confirmations=10_000).steps(None)) == []


@pytest.mark.parametrize(("span", "near"), [(1, 0), (2, 0), (3, 0), (3, 4), (100, 0), (1, 100)])
def test_steps_tell_the_same_whatever_the_span(embedded: World, span: int, near: int) -> None:
    stake(embedded, *range(1, 8))

    steps = list(watcher(embedded, span=span, near=near).steps(None))

    numbers = [step.cursor.number for step in steps]
    assert amounts(steps) == list(range(1, 8))
    assert numbers == sorted(set(numbers)) and numbers[-1] == embedded.head()


@pytest.mark.parametrize("near", [0, 2, 100])
def test_steps_can_be_of_one_subject(embedded: World, near: int) -> None:
    stake(embedded, 1)
    embedded.stake("rival", 2)
    model_id = embedded.publish()

    def about(subject: bytes) -> list[type]:
        steps = watcher(embedded, near=near).steps(None, subject)
        return [type(event) for step in steps for event in step.events]

    assert about(bytes.fromhex(address("rival")[2:])) == [StakeAdded]
    assert about(model_id) == [ModelPublished]
    assert about(b"\x66" * 32) == []


class TakesTwoBlocks:
    """A node that refuses a query over more than two blocks."""

    refusal: Exception = ChainError("query returned more than 10000 results")

    def logs(self, addresses, first, last, *more, **others):
        if last - first >= 2:
            raise self.refusal
        return super().logs(addresses, first, last, *more, **others)  # type: ignore[misc]


class TimesOutAboveTwoBlocks(TakesTwoBlocks):
    refusal = RpcUnavailable("504")


@pytest.mark.parametrize("node", [TakesTwoBlocks, TimesOutAboveTwoBlocks])
def test_steps_ask_for_less_when_the_node_refuses_the_span(embedded: World, node: type) -> None:
    stake(embedded, *range(1, 8))

    steps = watcher(embedded, span=100, chain=variant(embedded.chain, node)).steps(None)

    assert amounts(list(steps)) == list(range(1, 8))


class RefusesLogs:
    def logs(self, *_, **__):
        raise ChainError("no logs here")

    def outcome(self, _):
        raise ChainError("no receipts here")


@pytest.mark.parametrize("near", [0, 100])
def test_steps_raise_what_the_node_says_when_it_refuses_a_single_block(
    embedded: World, near: int
) -> None:
    stake(embedded, 1)

    with pytest.raises(ChainError, match="no logs here"):
        list(watcher(embedded, chain=variant(embedded.chain, RefusesLogs), near=near).steps(None))


class IsDown:
    def block(self, _):
        raise RpcUnavailable("down")


def test_steps_raise_when_the_node_is_down(embedded: World) -> None:
    with pytest.raises(RpcUnavailable):
        list(watcher(embedded, chain=variant(embedded.chain, IsDown)).steps(None))


def test_steps_raise_when_a_block_that_was_read_was_replaced() -> None:
    with embedded() as world:
        with undone(world.chain):
            world.stake(amount=1)
            *_, last = watcher(world).steps(None)
        world.stake(amount=2)

        with pytest.raises(Reorganised, match=f"replaced block {last.cursor.number}"):
            list(watcher(world).steps(last.cursor))


class Lags:
    """A node that is a block behind the one that we read from before."""

    def block(self, number) -> Block:
        newest: Block = super().block("latest")  # type: ignore[misc]
        if number == newest.number:
            return super().block(10**9)  # type: ignore[misc]
        number = newest.number - 1 if number == "latest" else number
        return super().block(number)  # type: ignore[misc]


def test_steps_are_none_when_the_node_is_behind_the_cursor(embedded: World) -> None:
    stake(embedded, 1)
    *_, last = watcher(embedded).steps(None)

    assert list(watcher(embedded, chain=variant(embedded.chain, Lags)).steps(last.cursor)) == []


def test_events_pass_over_logs_of_strangers(embedded: World) -> None:
    """A contract of the same code at another address is not ours."""
    code = embedded.chain.code(embedded.deployment.queue)
    size = len(code).to_bytes(3, "big").hex()
    creation = bytes.fromhex(f"62{size}80600d6000396000f3") + code
    fake = embedded.send("stranger", Call(None, creation)).contract
    receipt = embedded.send("stranger", replace(embedded.queue.stake(Wei(5)), to=fake))

    assert len(receipt.logs) == 1
    assert embedded.all(StakeAdded) == []


def test_events_of_one_block_are_in_order(embedded: World) -> None:
    embedded.stake()
    model_id = embedded.publish()
    asked = [embedded.ask(model_id) for _ in range(3)]
    batch = embedded.queue.propose([(each.request, b"\0" * 8) for each in asked])
    receipt = embedded.send("operator", batch)

    found = embedded.events(receipt.block, receipt.block)

    assert [event.request_id for event in found if isinstance(event, ResultProposed)] == [
        each.request_id for each in asked
    ]
    assert [event.where.index for event in found] == [0, 1, 2]
