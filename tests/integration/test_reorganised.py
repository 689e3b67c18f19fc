"""A chain that takes back what it said: nothing is lost, nothing done twice, nobody is slashed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from oracle.chain.connection import connect
from oracle.chain.events import PartRevealed, RequestCreated, ResultProposed
from oracle.chain.transactions import Outcome
from oracle.errors import ChainError
from oracle.state.duties import DutyKind, State
from oracle.types import Part, Status
from tests import courts
from tests.chains import OUTPUT, WINDOW, World, address, mine, taken_back
from tests.courts import Honest
from tests.integration import workers
from tests.integration.workers import Hire, Worker
from tests.nodes import Proxy, proxy

DEPTH = 3  # blocks behind the head that are final where a test goes beyond it
LEAVES = 0


@pytest.mark.parametrize("blocks", [1, 3])
def test_an_answer_that_was_taken_back_is_given_again(
    anvil: World, hire: Hire, blocks: int
) -> None:
    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(anvil)
    with taken_back(anvil):
        worker.work()
        assert anvil.status(asked) is Status.PROPOSED
        mine(anvil, blocks)
        worker.work()
    nonce = anvil.chain.nonce(address("operator"))

    worker.work()

    assert anvil.status(asked) is Status.PROPOSED
    assert anvil.chain.nonce(address("operator")) == nonce + 1
    assert worker.states() == [State.OPEN]  # to be settled
    anvil.skip(WINDOW)
    worker.work()
    assert anvil.status(asked) is Status.SETTLED and worker.rows() == []


def test_a_request_that_was_taken_back_is_no_duty_any_more(anvil: World, hire: Hire) -> None:
    anvil.stake()
    model_id = anvil.publish()
    worker = hire(anvil, dry=True)
    with taken_back(anvil):
        asked = anvil.ask(model_id)
        worker.tick(2)
        assert [row.duty.request_id for row in worker.rows()] == [asked.request_id]

    worker.tick()

    assert worker.rows() == [] and worker.store.request(asked.request_id) is None


def test_a_settlement_that_was_taken_back_is_made_again(anvil: World, hire: Hire) -> None:
    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(anvil)
    worker.work()
    anvil.skip(WINDOW)
    with taken_back(anvil):
        worker.work()
        assert anvil.status(asked) is Status.SETTLED

    worker.work()

    assert anvil.status(asked) is Status.SETTLED and worker.rows() == []


def test_what_another_answered_on_the_other_fork_is_left_to_it(anvil: World, hire: Hire) -> None:
    for who in ("operator", "rival"):
        anvil.stake(who)
    asked = anvil.ask(anvil.publish())
    worker = hire(anvil)
    snapshot = anvil.chain.rpc("evm_snapshot", [])
    worker.work()
    assert anvil.chain.rpc("evm_revert", [snapshot])
    anvil.propose(asked, "rival")
    mine(anvil)

    worker.work()

    [proposed] = anvil.all(ResultProposed)
    assert proposed.proposal.operator == address("rival")
    assert worker.rows() == []


def test_a_part_that_was_taken_back_is_shown_again(court: World, tmp_path: Path) -> None:
    """Or its operator would be slashed, honest as it is."""
    asked, worker = in_dispute(court, tmp_path)
    with taken_back(court):
        worker.work()
        assert len(court.all(PartRevealed)) == 1

    worker.work()

    assert len(court.all(PartRevealed)) == 1
    assert worker.states(DutyKind.REVEAL) == []


def test_a_part_is_shown_although_our_clock_is_ahead(court: World, tmp_path: Path) -> None:
    """By as much as a demand may take, and more."""
    _, worker = in_dispute(court, tmp_path)
    worker.wait(2 * courts.REVEAL)

    worker.work()

    assert len(court.all(PartRevealed)) == 1


def test_a_chain_that_goes_back_further_than_is_final_is_read_anew(
    anvil: World, tmp_path: Path
) -> None:
    anvil.stake()
    model_id = anvil.publish()
    worker = workers.hire(anvil, tmp_path, finality=DEPTH)
    with taken_back(anvil):
        gone = anvil.ask(model_id)
        mine(anvil, 2 * DEPTH)
        worker.work()
        assert anvil.status(gone) is Status.PROPOSED
        mine(anvil, 2 * DEPTH)
        worker.work()
    asked = anvil.ask(model_id)
    mine(anvil, 5 * DEPTH)

    with capture_logs() as logs:
        worker.work()

    assert [each["event"] for each in logs if each["log_level"] == "error"] == [
        "all is read anew; what we did is kept"
    ]
    assert worker.store.output(gone.request_id) == OUTPUT
    assert worker.store.request(gone.request_id) is None
    assert anvil.status(asked) is Status.PROPOSED


def test_a_transaction_is_followed_until_its_block_is_final(anvil: World, tmp_path: Path) -> None:
    anvil.stake()
    anvil.ask(anvil.publish())
    worker = workers.hire(anvil, tmp_path, finality=DEPTH)
    worker.work()
    [sent] = worker.store.followed()
    assert sent.outcome is Outcome.SUCCEEDED

    mine(anvil, DEPTH)
    worker.work()

    assert worker.store.followed() == []


# Nodes that say less than there is.


def test_logs_that_come_late_are_waited_for(anvil: World, tmp_path: Path) -> None:
    """A request was lost for good when a node answered with none for six seconds."""
    anvil.stake()
    model_id = anvil.publish()
    with behind(anvil, tmp_path) as (worker, node):
        worker.work()
        node.change = no_logs
        asked = anvil.ask(model_id)
        for _ in range(3):
            with pytest.raises(ChainError):
                worker.tick()
        mine(anvil, 3)
        node.change = lambda _, result: result
        worker.work()

        assert anvil.status(asked) is Status.PROPOSED


def test_what_was_read_is_not_taken_back_by_a_node_that_gives_no_logs(
    anvil: World, tmp_path: Path
) -> None:
    """All is read again once it is final, by when the node may have lost its index."""
    anvil.stake()
    asked = anvil.ask(anvil.publish())
    with behind(anvil, tmp_path, finality=DEPTH) as (worker, node):
        worker.tick()
        assert worker.store.request(asked.request_id) is not None
        node.change = no_logs
        mine(anvil, 2 * DEPTH)
        with suppress(ChainError):
            worker.tick()
        node.change = lambda _, result: result
        worker.work()

        assert anvil.status(asked) is Status.PROPOSED


def no_logs(method: str, result: Any) -> Any:
    """As of a node that has not indexed its newest block, and gives no receipts of it."""
    if method == "eth_getLogs":
        return []
    return None if method in ("eth_getBlockReceipts", "eth_getTransactionReceipt") else result


@contextmanager
def behind(world: World, folder: Path, **options: Any) -> Iterator[tuple[Worker, Proxy]]:
    """A worker whose node may be made to misbehave."""
    with proxy(world.chain.url) as node:
        yield workers.hire(world, folder, chain=connect(node.url), **options), node


def in_dispute(court: World, folder: Path) -> tuple[RequestCreated, Worker]:
    """A right answer, of which a part is demanded."""
    court.stake()
    asked = courts.ask(court, courts.publish(court))
    worker = workers.hire(court, folder, answers=Honest(), budgeted=False)
    worker.work()
    courts.demand(court, asked, Part(0, LEAVES, 0, 1))
    return asked, worker
