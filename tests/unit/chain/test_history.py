"""What the chain says about one model or one request, from its logs alone."""

from dataclasses import replace

import pytest

from oracle.chain.codec import dispute_key
from oracle.chain.events import DemandTimedOut, Event, RequestReopened, ResultProposed, WindowMoved
from oracle.chain.histories import RequestHistory
from oracle.chain.node import Call
from oracle.chain.proposals import Fate
from oracle.errors import NotFound
from oracle.types import LEAVES, SUSPENDED, ModelId, Part, RequestId, Status, Wei
from tests.chains import (
    OUTPUT,
    TIMEOUT,
    URI,
    WINDOW,
    World,
    address,
    created,
    proposed,
    where,
)


def test_model_tells_what_was_published(embedded: World) -> None:
    model_id = embedded.publish()
    embedded.publish(version="2")

    found = embedded.history.model(model_id)

    assert (found.model_id, found.model.version, found.uris) == (model_id, "1", (URI,))
    assert (found.is_deprecated, found.successor) == (False, None)


def test_model_tells_each_uri_once_in_order(embedded: World) -> None:
    model_id, other = embedded.publish(), embedded.publish(version="2")
    for id_, uri in [(model_id, "b"), (other, "c"), (model_id, URI), (model_id, "a")]:
        embedded.send("publisher", embedded.registry.add_uri(id_, uri))

    assert embedded.history.model(model_id).uris == (URI, "b", "a")


def test_model_tells_the_last_deprecation(embedded: World) -> None:
    model_id, successor = embedded.publish(), embedded.publish(version="2")
    embedded.send("publisher", embedded.registry.deprecate(model_id, successor))
    assert embedded.history.model(model_id).successor == successor

    embedded.send("publisher", embedded.registry.deprecate(model_id, None))

    found = embedded.history.model(model_id)
    assert (found.is_deprecated, found.successor) == (True, None)


def test_models_are_all_the_oldest_first(embedded: World) -> None:
    published = [embedded.publish(version=str(number)) for number in range(3)]

    assert [each.model_id for each in embedded.history.models()] == published


def test_model_is_not_found_when_it_was_never_published(embedded: World) -> None:
    with pytest.raises(NotFound, match="knows no model 0x0101"):
        embedded.history.model(ModelId(b"\x01" * 32))


def test_request_is_not_found_when_it_was_never_made(embedded: World) -> None:
    with pytest.raises(NotFound, match="knows no request 0x0101"):
        embedded.history.request(RequestId(b"\x01" * 32))


def test_request_is_not_found_under_the_id_of_a_model(embedded: World) -> None:
    with pytest.raises(NotFound):
        embedded.history.request(RequestId(embedded.publish()))


def test_request_is_requested_at_first(embedded: World) -> None:
    asked = embedded.ask(embedded.publish())

    found = embedded.history.request(asked.request_id)

    assert (found.created, found.events, found.status) == (asked, (), Status.REQUESTED)
    assert (found.proposed, found.callback_failed) == (None, None)


def test_request_is_proposed_with_its_proposal(embedded: World) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    answer = embedded.propose(asked)

    found = embedded.history.request(asked.request_id)

    assert (found.status, found.proposed) == (Status.PROPOSED, answer)


def settled(world: World) -> tuple[RequestHistory, ResultProposed]:
    """A request that was settled, and its proposal."""
    world.stake()
    asked = world.ask(world.publish())
    answer = world.propose(asked)
    world.skip(WINDOW)
    world.settle(asked, answer)
    return world.history.request(asked.request_id), answer


def test_request_is_settled_with_the_proposal_that_stood(embedded: World) -> None:
    found, answer = settled(embedded)

    assert (found.status, found.proposed) == (Status.SETTLED, answer)


def test_request_is_expired_without_a_proposal(embedded: World) -> None:
    asked = embedded.ask(embedded.publish())
    embedded.skip(TIMEOUT)
    embedded.send("stranger", embedded.queue.expire(asked.request))

    found = embedded.history.request(asked.request_id)

    assert (found.status, found.proposed) == (Status.EXPIRED, None)


def test_request_is_requested_again_after_a_slash(embedded: World) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    embedded.slash(asked, embedded.propose(asked))

    found = embedded.history.request(asked.request_id)

    assert (found.status, found.proposed) == (Status.REQUESTED, None)


def test_request_has_the_second_proposal_after_a_slash(embedded: World) -> None:
    embedded.stake()
    embedded.stake("rival")
    asked = embedded.ask(embedded.publish())
    embedded.slash(asked, embedded.propose(asked, output=bytes(8)))
    honest = embedded.propose(asked, "rival")

    found = embedded.history.request(asked.request_id)

    assert (found.status, found.proposed) == (Status.PROPOSED, honest)


def test_request_is_expired_when_it_was_slashed_after_its_deadline(embedded: World) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish(), timeout=30)
    answer = embedded.propose(asked)
    embedded.skip(40)
    embedded.slash(asked, answer)

    assert embedded.history.request(asked.request_id).status is Status.EXPIRED


def test_request_tells_a_failed_callback_until_it_is_repaired(embedded: World) -> None:
    embedded.stake()
    contract = embedded.consumer()
    asked = embedded.ask_by(contract, embedded.publish(), callback_gas=50_000)
    answer = embedded.propose(asked)
    embedded.skip(WINDOW)
    embedded.settle(asked, answer)
    failed = embedded.history.request(asked.request_id)
    embedded.send("stranger", Call(contract, b"", Wei(0)))
    embedded.send("stranger", embedded.queue.retry_callback(asked.request, answer.proposal, OUTPUT))
    repaired = embedded.history.request(asked.request_id)

    assert failed.callback_failed is not None and failed.callback_failed.reason == b"no"
    assert (failed.status, repaired.status) == (Status.SETTLED, Status.SETTLED)
    assert repaired.callback_failed is None


def test_request_status_agrees_with_the_contract_all_along(embedded: World) -> None:
    embedded.stake()
    model_id = embedded.publish()
    settled, lied, open_, expired = (
        embedded.ask(model_id, timeout=TIMEOUT + extra) for extra in (0, 1, 100_000, 2)
    )
    answer, lie = embedded.propose(settled), embedded.propose(lied)
    embedded.skip(WINDOW)
    embedded.settle(settled, answer)
    embedded.skip(TIMEOUT)
    embedded.send("stranger", embedded.queue.expire(expired.request))

    for asked in (settled, lied, open_, expired):
        assert embedded.history.request(asked.request_id).status == embedded.status(asked)
    assert embedded.status(lied) is Status.PROPOSED and lie.proposal


# Several proposals.


def test_claim_gives_each_proposal_by_its_number_and_the_last_without_one(embedded: World) -> None:
    """A lie that was slashed and answered again is to be audited still."""
    for who in ("operator", "rival"):
        embedded.stake(who)
    asked = embedded.ask(embedded.publish())
    lie = embedded.propose(asked, "operator", bytes(len(OUTPUT)))
    embedded.slash(asked, lie)
    embedded.propose(asked, "rival", OUTPUT)

    found = embedded.history.request(asked.request_id)

    assert [found.claim(number)[1].output for number in (1, 2)] == [bytes(len(OUTPUT)), OUTPUT]
    assert found.claim() == found.claim(2)
    for number in (0, 3):
        with pytest.raises(NotFound, match=f"there are 2 proposals, not {number}"):
            found.claim(number)


def test_claim_says_when_there_is_none(embedded: World) -> None:
    asked = embedded.ask(embedded.publish())

    with pytest.raises(NotFound, match="No result was ever proposed"):
        embedded.history.request(asked.request_id).claim()


def test_fate_is_slashed_where_a_demand_timed_out_and_no_longer_disputed() -> None:
    """Nothing says any more when its window ends, for it has none."""
    asked = created()
    first, second = proposed(asked), proposed(asked, "rival")
    me = first.proposal.operator
    suspended = replace(first.proposal, settle_at=SUSPENDED)
    key = dispute_key(asked.request_id, first.proposal, OUTPUT)
    events: list[Event] = [
        first,
        WindowMoved(where(101), asked.request_id, me, suspended),
        DemandTimedOut(where(102), asked.request_id, key, Part(0, LEAVES, 0, 1)),
        RequestReopened(where(102, 1), asked.request_id, me),
    ]

    def fates(count: int) -> list[Fate]:
        found = RequestHistory(asked, tuple(events[:count]))
        return [found.fate(number) for number in range(1, len(found.claims) + 1)]

    assert fates(2) == [Fate.PROPOSED]
    assert fates(3) == fates(4) == [Fate.SLASHED]
    events.append(second)
    assert fates(5) == [Fate.SLASHED, Fate.PROPOSED]


def test_fate_is_void_where_another_result_was_the_wrong_one() -> None:
    asked = created()
    reopened = RequestReopened(where(101), asked.request_id, address("operator"))
    found = RequestHistory(asked, (proposed(asked), reopened))

    assert found.fate(1) is Fate.VOID


def test_fate_is_settled_in_the_end(embedded: World) -> None:
    assert settled(embedded)[0].fate(1) is Fate.SETTLED
