"""What open results take of an operator, by a real store; children answer when the test says so."""

from collections.abc import Iterator
from concurrent.futures import Future
from math import inf
from pathlib import Path

import pytest

from oracle import serialization
from oracle.chain.view import Change
from oracle.errors import InferenceFailed, InferenceTooSlow
from oracle.exact.proofs.cost import Calibration, TraceWork, Unit
from oracle.state.store import Store
from oracle.types import Address, ModelId, Wei
from oracle.worker.budget import PASSES, Budget, Load, Standing
from oracle.worker.ledger import Ledger
from oracle.worker.policy import Policy, owed
from oracle.worker.prices import Prices
from tests.chains import address, created, proposed

ME, RETRY, GLANCE, RUN_LIMIT = address("operator"), 10, 2.0, 60.0
QUEUE = Address("0x" + "Ab" * 20)
ASKED = created()
OURS = proposed(ASKED)


class World:
    """One result of ours whose window is open, after a restart: nothing is priced yet."""

    def __init__(self, folder: Path):
        self.asked: list[Future[bytes]] = []
        self.store = Store(f"sqlite:///{folder}/state.db", 31337, QUEUE, ME)
        read = Change(1, 100, (), (ASKED, OURS), final=100, settled=100)
        self.store.apply(read, lambda history: owed(history, ME))
        prices = Prices(self.ask, Calibration({Unit.NODE: 1.0}), RETRY, GLANCE)
        self.ledger = Ledger(self.store, Policy(ME), Budget(2, 900), prices, RUN_LIMIT)

    def ask(self, _model: ModelId, _most: float) -> "Future[bytes]":
        self.asked.append(Future())
        return self.asked[-1]

    def seconds(self, now: float) -> float | None:
        load = self.ledger.load(OURS.where.time, (), now)
        return None if load is None else load.seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


def test_load_is_unknown_until_open_results_are_priced(world: World) -> None:
    assert world.seconds(0) is None
    world.asked[0].set_result(serialization.dump(TraceWork({Unit.NODE: 7}, {})))
    assert world.seconds(1) == PASSES * 7


def test_load_counts_a_result_whose_price_could_not_be_had_at_once(world: World) -> None:
    """A child that died once must not make it free until its window is over; and who waits for the
    price again goes on answering."""
    world.seconds(0)
    world.asked[0].set_exception(InferenceFailed("Loading the model took more than 300 s"))
    assert world.seconds(1) == 0
    assert world.seconds(1 + RETRY) == world.seconds(2 + RETRY) == 0
    world.asked[1].set_result(serialization.dump(TraceWork({Unit.NODE: 7}, {})))
    assert world.seconds(3 + RETRY) == PASSES * 7


def test_weigh_fetches_nothing_for_a_bond_that_our_stake_does_not_cover(world: World) -> None:
    load = Load(standing=Standing(Wei(ASKED.request.bond - 1)))

    found = world.ledger.weigh(ASKED.request, load, Wei(0), now=0)

    assert "above our stake" in str(found) and not world.asked


def test_is_short_goes_by_all_that_holds_a_slot(world: World) -> None:
    """Whoever publishes a model on which onnxruntime stalls, and that runs in no time, would have
    the slot of short ones. In the first run, what is loaded is kept."""
    ledger, model = world.ledger, ASKED.request.model
    ledger.note_run(model, 0.1, held=9.0)
    assert ledger.is_short(model, GLANCE)
    ledger.note_run(model, 0.1, held=9.0)
    assert not ledger.is_short(model, GLANCE)


def test_is_short_takes_what_is_new_for_short_until_it_is_found_out(world: World) -> None:
    ledger, model = world.ledger, ASKED.request.model
    assert (ledger.is_new(model), ledger.is_short(model, GLANCE)) == (True, True)
    world.seconds(0)
    world.asked[0].set_exception(InferenceTooSlow("2 s"))
    world.seconds(0)
    assert (ledger.is_new(model), ledger.is_short(model, GLANCE)) == (False, False)
    world.seconds(0)
    world.asked[1].set_result(serialization.dump(TraceWork({Unit.NODE: 2}, {})))
    world.seconds(0)
    assert (ledger.is_new(model), ledger.is_short(model, GLANCE)) == (False, True)
    ledger.note_run(model, inf)
    assert (ledger.is_new(model), ledger.is_short(model, GLANCE)) == (False, False)


def test_load_counts_nothing_whose_window_was_over_when_it_was_read(world: World) -> None:
    load = world.ledger.load(OURS.proposal.settle_at, (), 0)

    assert load is not None and (load.seconds, load.bonds, world.asked) == (0, 0, [])
