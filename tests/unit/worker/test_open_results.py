"""What was kept up with is what one finds who adds up everything anew."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.chain.events import RequestSettled
from oracle.state.deeds import Signed
from oracle.types import RequestId
from oracle.worker.budget import Liability, Load
from oracle.worker.open_results import OpenResult, OpenResults
from tests.chains import proposed, where
from tests.events import FIRST
from tests.unit.state.changes import ME
from tests.unit.state.walks import ASKED, Step, Walker, stores

RUN_LIMIT = 60.0  # seconds


def found(results: OpenResults, read_until: int) -> Mapping[RequestId, OpenResult]:
    """Looks, and prices all that is not priced."""
    results.look(read_until)
    for request_id, result in results.unpriced():
        request, run = result.request, RUN_LIMIT if result.run is None else result.run
        price = 0.1 + run / 3  # which no float holds
        results.price(request_id, Liability(request.model, request.bond, price, names_us=price < 7))
    assert results.unpriced() == []
    return dict(results._open)


def sums(load: Load) -> object:
    return load.bonds, load._all, load._of_anybody, load._of_model


def both(walker: Walker, kept_up: OpenResults) -> tuple[object, object]:
    """What was kept up with, and what reading all anew gives."""
    fresh, at = OpenResults(walker.store), walker.read_until
    one, other = ((found(each, at), sums(each.load), each.models) for each in (kept_up, fresh))
    walker.store._followers.pop()
    return one, other


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_look_gives_at_each_step_what_reading_all_anew_gives(seed: int) -> None:
    with stores(1) as [store]:
        walker, kept_up = Walker(store, seed), OpenResults(store)
        for act in walker.walk(30):
            one, other = both(walker, kept_up)
            assert one == other, act


def signed(seconds: float) -> Signed:
    request = replace(ASKED[0].request, deadline=FIRST + 100)
    return Signed(ASKED[0].request_id, request, 0, seconds, b"output")


def test_look_counts_a_run_that_was_done_again_as_what_it_took() -> None:
    """What is signed anew after a slash was run anew."""
    with stores(1) as [store]:
        walker, kept_up = Walker(store, 0), OpenResults(store)
        store.keep_signed(signed(1.0))
        found(kept_up, FIRST)
        store.keep_signed(signed(50.0))

        one, other = both(walker, kept_up)

        assert one == other


def test_look_finds_again_what_was_posted_on_a_chain_that_is_no_more() -> None:
    """All is read anew, up to the same time, and what we had signed may be posted once more."""
    asked, ours = ASKED[0], proposed(ASKED[0])
    with stores(1) as [store]:
        walker, kept_up = Walker(store, 0), OpenResults(store)
        store.keep_signed(signed(1.0))
        settled = RequestSettled(where(), asked.request_id, ME)
        walker.go(Step(0, [[asked, ours, settled]], False, False, 0, None))
        found(kept_up, FIRST + 1)
        assert kept_up.load.bonds == 0
        store.reset()
        walker.chain = []
        walker.go(Step(0, [[]], False, False, 0, None))

        one, other = both(walker, kept_up)

        assert one == other
