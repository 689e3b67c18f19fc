"""How the chain differs from what was read, wherever it goes. The store keeps what was read."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from oracle.chain.finality import Finality
from oracle.chain.replies import Block
from oracle.chain.view import Change, View
from oracle.errors import LogsUnknown, Reorganised
from oracle.state.store import Store
from tests.chains import World, eth_tester, undone, variant
from tests.unit.state.changes import ME, QUEUE, nothing, rows


@pytest.fixture
def store() -> Iterator[Store]:
    with_nothing = Store("sqlite:///:memory:", 1, QUEUE, ME)
    yield with_nothing
    with_nothing.close()


def view(world: World, depth: int = 100, confirmations: int = 0, chain=None) -> View:
    chain = chain or world.chain
    return View(chain, world.deployment, Finality(chain, depth), confirmations)


def follow(by: View, store: Store) -> list[Change]:
    found = []
    for change in by.changes(store):
        store.apply(change, nothing)
        found.append(change)
    return found


def agrees(world: World, store: Store) -> bool:
    """Whether the store holds what one does that reads the chain for the first time."""
    fresh = Store("sqlite:///:memory:", 1, QUEUE, ME)
    follow(view(world), fresh)
    same = rows(fresh, "events") == rows(store, "events")
    cursor, latest = store.cursor(), world.chain.block("latest")
    fresh.close()
    return same and cursor is not None and cursor.hash == latest.hash


def test_changes_begin_with_the_deployment(embedded: World, store: Store) -> None:
    model_id = embedded.publish()

    first, *_ = follow(view(embedded), store)

    assert first.first == embedded.deployment.first_block
    assert store.models() == [model_id] and agrees(embedded, store)


def test_changes_go_on_with_the_next_blocks_and_are_none_without(
    embedded: World, store: Store
) -> None:
    mine = view(embedded)
    follow(mine, store)
    assert follow(mine, store) == []
    embedded.publish()
    embedded.ask(embedded.publish(version="2"))

    [change] = follow(mine, store)

    assert (change.last, len(change.events)) == (embedded.head(), 3)
    assert agrees(embedded, store)


def test_changes_leave_confirmations_alone(embedded: World, store: Store) -> None:
    first = embedded.publish()
    embedded.publish(version="2")

    follow(view(embedded, confirmations=1), store)

    assert store.models() == [first]


@pytest.mark.parametrize("depth", [1, 2, 5, 10])
@pytest.mark.parametrize("grows", [-1, 0, 1])
def test_changes_follow_where_blocks_were_replaced(
    embedded: World, store: Store, depth: int, grows: int
) -> None:
    """By as many, by more, or by fewer."""
    mine = view(embedded)
    embedded.publish()
    with undone(embedded.chain):
        embedded.publish(version="gone")
        eth_tester(embedded.chain).mine_blocks(depth - 1)
        follow(mine, store)
    if depth + grows:
        eth_tester(embedded.chain).mine_blocks(7)
        eth_tester(embedded.chain).mine_blocks(max(0, depth + grows - 2))
        embedded.publish(version="new")

    follow(mine, store)
    embedded.publish(version="next")
    follow(mine, store)

    assert agrees(embedded, store)


def test_changes_follow_a_chain_that_goes_back_and_then_another_way(
    embedded: World, store: Store
) -> None:
    mine = view(embedded)
    with undone(embedded.chain):
        for version in "abc":
            embedded.publish(version=version)
        follow(mine, store)
    assert follow(mine, store) == []  # a node that is behind, as it seems
    for version in "xyz":
        embedded.publish(version=version)
        follow(mine, store)

    assert agrees(embedded, store)


class Lags:
    """A node that is a block behind the one that we read from before."""

    def block(self, number) -> Block:
        newest: Block = super().block("latest")  # type: ignore[misc]
        number = newest.number - 1 if number == "latest" else number
        return super().block(number)  # type: ignore[misc]


def test_changes_are_none_when_the_node_is_behind(embedded: World, store: Store) -> None:
    embedded.publish()
    follow(view(embedded), store)

    assert follow(view(embedded, chain=variant(embedded.chain, Lags)), store) == []


def test_changes_raise_when_what_was_final_was_replaced(embedded: World, store: Store) -> None:
    mine = view(embedded, depth=0)
    with undone(embedded.chain):
        embedded.publish(version="gone")
        follow(mine, store)
    embedded.publish(version="new")
    eth_tester(embedded.chain).mine_blocks(1)  # or the node may seem to be behind

    with pytest.raises(Reorganised, match="which was final when it was read"):
        follow(mine, store)


def test_changes_are_unknown_where_logs_name_another_block(embedded: World, store: Store) -> None:
    """In a range nothing else tells of which block a log is."""

    class Elsewhere:
        def logs_until(self, *asked):
            last, logs = super().logs_until(*asked)  # type: ignore[misc]
            return last, [replace(log, block_hash=last.hash) for log in logs]

    embedded.publish()
    eth_tester(embedded.chain).mine_blocks(1)

    with pytest.raises(LogsUnknown, match="gives logs of another block of that number"):
        follow(view(embedded, depth=0, chain=variant(embedded.chain, Elsewhere)), store)


def test_changes_read_again_what_has_become_final(embedded: World, store: Store) -> None:
    embedded.publish()
    follow(view(embedded), store)
    assert (store.settled() or 0) < embedded.deployment.first_block

    again = follow(view(embedded, depth=0), store)

    assert again and not any(change.ends for change in again)
    assert store.settled() == embedded.head() and agrees(embedded, store)
