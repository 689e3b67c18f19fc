"""Duties are there for as long as they follow from what was read, with what we make of them."""

from dataclasses import replace

import pytest

from oracle.chain.events import FraudCommitted, RequestReopened, UnstakeStarted
from oracle.chain.histories import RequestHistory
from oracle.chain.transactions import Outcome
from oracle.state.agenda import Row
from oracle.state.duties import Due, Duty, DutyKind, Key, State, account_id
from oracle.state.facts import History
from oracle.state.store import Store
from oracle.types import RequestId, Wei
from tests.chains import address, created, proposed, where
from tests.unit.state.changes import (
    ME,
    Open,
    change,
    nothing,
    owing,
    propose,
    read,
    receipt,
    sent,
    undo,
)

ASKED, OTHER = created(1, where(1, 3)), created(2)
ID, OTHER_ID = ASKED.request_id, OTHER.request_id
KEY: Key = (DutyKind.PROPOSE, ID)
OTHER_KEY: Key = (DutyKind.PROPOSE, OTHER_ID)
DUTY = Duty(DutyKind.PROPOSE, ID, deadline=ASKED.request.deadline)
NOTES = [State.DECLINED, State.DROPPED, State.MISSED]


def states(store: Store) -> dict[Key, State]:
    return {row.key: row.state for row in store.duties(*State)}


# What follows.


def test_a_duty_is_open_as_soon_as_it_follows(open_store: Open) -> None:
    read(open_store(), ASKED)

    assert open_store().duties(State.OPEN) == [Row(DUTY, State.OPEN, "", (1, 3))]
    assert open_store().duty(KEY) == Row(DUTY, State.OPEN, "", (1, 3))


def test_a_duty_is_not_there_any_more_when_it_does_not_follow(store: Store) -> None:
    read(store, ASKED, OTHER, proposed(ASKED, "rival"))

    assert states(store) == {OTHER_KEY: State.OPEN}
    assert store.duty(KEY) is None


def test_a_duty_is_there_again_when_what_ended_it_is_undone(store: Store) -> None:
    read(store, ASKED, proposed(ASKED, "rival"))

    store.apply(undo(100), owing({ID: [DUTY]}))

    assert states(store) == {KEY: State.OPEN}


def test_a_duty_is_not_there_when_its_request_is_undone(store: Store) -> None:
    read(store, ASKED)

    store.apply(undo(1), owing({ID: [DUTY]}))

    assert states(store) == {}


def test_a_duty_moves_with_the_event_that_gave_rise_to_it(store: Store) -> None:
    read(store, ASKED, proposed(ASKED, "rival"))
    reopened = RequestReopened(where(101, 5), ID, address("rival"))
    read(store, reopened)

    [row] = store.duties(State.OPEN)

    assert (row.duty, row.place) == (DUTY, (101, 5))


def test_a_duty_changes_when_it_follows_otherwise(store: Store) -> None:
    """It is the same duty, whatever the chain says of its time."""
    store.apply(change(ASKED), owing({ID: [propose(ID, 100)]}))
    store.set_opinion([KEY], State.DECLINED, "too cheap")

    store.renew([ID], owing({ID: [replace(propose(ID, 200), not_before=50)]}))

    duty = Duty(DutyKind.PROPOSE, ID, not_before=50, deadline=200)
    assert store.duties(*State) == [Row(duty, State.DECLINED, "too cheap", (1, 3))]


def test_duties_follow_from_the_account_also(store: Store) -> None:
    read(store, UnstakeStarted(where(4), ME, Wei(5), 777))

    [row] = store.duties(State.OPEN)

    assert row.duty == Duty(DutyKind.WITHDRAW, account_id(ME), not_before=777)


def test_no_duties_follow_from_models_commitments_and_strangers(store: Store) -> None:
    def fails(_: History) -> list[Due]:
        raise AssertionError("nobody asks")

    rival = UnstakeStarted(where(4), address("rival"), Wei(5), 777)
    read(store, FraudCommitted(where(3), b"\1" * 32, ME), rival, owed=fails)

    assert store.stuck() == 0


def test_renew_changes_nothing_about_other_histories(store: Store) -> None:
    read(store, ASKED, OTHER)

    store.renew([ID], nothing)

    assert states(store) == {OTHER_KEY: State.OPEN}


def test_renew_owes_nothing_by_a_history_that_was_never_read(store: Store) -> None:
    store.renew([ID], owing({ID: [DUTY]}))

    assert states(store) == {}


# What we make of it.


@pytest.mark.parametrize("state", NOTES)
def test_an_opinion_stays_for_as_long_as_its_duty(open_store: Open, state: State) -> None:
    store = open_store()
    read(store, ASKED, OTHER)
    store.set_opinion([KEY], state, "why")
    read(store, created(3))
    store.renew([ID], owing({ID: [DUTY]}))

    store = open_store()

    assert store.duty(KEY) == Row(DUTY, state, "why", (1, 3))
    assert (store.opinion(*KEY), store.opinion(*OTHER_KEY)) == ("why", None)  # type: ignore[arg-type]
    assert states(store)[OTHER_KEY] is State.OPEN


@pytest.mark.parametrize("state", NOTES)
def test_an_opinion_is_gone_with_its_duty(store: Store, state: State) -> None:
    """If the duty comes back, it is another time, and another answer may be right."""
    read(store, ASKED, OTHER)
    store.set_opinion([KEY, OTHER_KEY], state, "why")

    read(store, proposed(ASKED, "rival"))
    assert (store.opinion(*KEY), store.opinion(*OTHER_KEY)) == (None, "why")  # type: ignore[arg-type]
    store.apply(undo(100), owing({ID: [DUTY]}))

    assert states(store) == {KEY: State.OPEN, OTHER_KEY: state}


def test_an_opinion_stays_when_its_duty_is_replaced_in_one_step(store: Store) -> None:
    """Blocks are replaced all the time, and nobody is to be asked again about the same."""
    read(store, ASKED)
    store.set_opinion([KEY], State.DROPPED, "why")

    other = replace(ASKED, where=replace(where(1, 7), block_hash=b"\x07" * 32))
    store.apply(change(other, first=1, last=1), owing({ID: [DUTY]}))

    assert store.duty(KEY) == Row(DUTY, State.DROPPED, "why", (1, 7))


def test_set_opinion_replaces_what_was_thought_before(store: Store) -> None:
    read(store, ASKED)
    for state in NOTES:
        store.set_opinion([KEY], state, state.value)

    assert store.duty(KEY) == Row(DUTY, State.MISSED, "missed", (1, 3))


def test_set_opinion_of_nothing_changes_nothing(store: Store) -> None:
    read(store, ASKED)

    store.set_opinion([], State.MISSED, "why")

    assert states(store) == {KEY: State.OPEN}


def test_drop_opinion_opens_a_duty_and_no_other(store: Store) -> None:
    read(store, ASKED, OTHER)
    store.set_opinion([KEY, OTHER_KEY], State.DECLINED, "gas is dear")

    store.drop_opinion(KEY)

    assert states(store) == {KEY: State.OPEN, OTHER_KEY: State.DECLINED}


def test_an_opinion_goes_before_what_was_sent(store: Store) -> None:
    read(store, ASKED)
    store.record((sent(), [KEY]))

    store.set_opinion([KEY], State.MISSED, "why")

    assert states(store) == {KEY: State.MISSED}


# What was sent.


def test_a_duty_is_sent_while_a_transaction_of_it_waits(open_store: Open) -> None:
    store = open_store()
    read(store, ASKED, OTHER)
    store.record((sent(), [KEY]))

    assert states(open_store()) == {KEY: State.SENT, OTHER_KEY: State.OPEN}
    assert [store.is_sent(each) for each in (KEY, OTHER_KEY)] == [True, False]


def test_a_duty_is_sent_until_the_block_was_read_in_which_it_was_done(store: Store) -> None:
    """Else it would be sent again, as nothing that was read says that it is done."""
    read(store, ASKED, OTHER)
    one = sent()
    store.record((one, [KEY]))
    store.mark_mined({0: receipt(one, 5)})

    found = []
    for block in (4, 5):
        store.apply(change(first=block, last=block), nothing)
        found.append(states(store)[KEY])

    assert found == [State.SENT, State.OPEN]


def test_a_duty_is_sent_again_when_the_block_that_was_read_is_undone(store: Store) -> None:
    read(store, ASKED)
    one = sent()
    store.record((one, [KEY]))
    store.mark_mined({0: receipt(one, 5)})
    store.apply(change(first=2, last=5), nothing)
    assert not store.is_sent(KEY)

    store.apply(undo(5), nothing)
    assert store.is_sent(KEY)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DISPLACED])
def test_a_duty_is_open_when_its_transaction_did_not_do_it(store: Store, outcome: Outcome) -> None:
    read(store, ASKED)
    store.record((sent(), [KEY]))

    store.mark(0, outcome, 50)

    assert (states(store), store.is_sent(KEY)) == ({KEY: State.OPEN}, False)


def test_a_duty_is_open_when_no_node_takes_its_transaction(store: Store) -> None:
    read(store, ASKED)
    store.record((sent(), [KEY]))

    store.mark_one(sent().hash, Outcome.REFUSED)

    assert states(store) == {KEY: State.OPEN}


def test_a_duty_is_sent_when_its_transaction_waits_once_more(store: Store) -> None:
    read(store, ASKED)
    store.record((sent(), [KEY]))
    store.mark_mined({0: receipt(sent(), 1)})
    assert states(store) == {KEY: State.OPEN}

    store.mark_waiting(0)

    assert states(store) == {KEY: State.SENT}


def test_a_duty_is_sent_while_one_of_its_transactions_is(store: Store) -> None:
    read(store, ASKED)
    store.record((sent(0), [KEY]))
    store.record((sent(1), [KEY]))

    store.mark(0, Outcome.FAILED, 50)
    assert states(store) == {KEY: State.SENT}
    store.mark(1, Outcome.FAILED, 50)
    assert states(store) == {KEY: State.OPEN}


def test_is_sent_says_so_of_a_duty_that_is_kept_nowhere(store: Store) -> None:
    """Steps of a pursuit follow from the pursuit, and are worked out in each round."""
    step: Key = (DutyKind.DEMAND, ID)
    store.record((sent(), [step]))

    assert store.is_sent(step) and not store.is_sent((DutyKind.COMMIT, ID))
    store.mark_mined({0: receipt(sent(), 9)})
    assert store.is_sent(step)
    store.apply(change(first=9, last=9), nothing)
    assert not store.is_sent(step)


# Looking up.


def several(store: Store, *deadlines: int | None) -> list[RequestId]:
    """As many requests, whose answers are due by these."""
    asked = [created(number) for number in range(1, len(deadlines) + 1)]
    ids = [each.request_id for each in asked]
    due: dict[bytes, list[Duty]] = {
        id_: [propose(id_, each)] for id_, each in zip(ids, deadlines, strict=True)
    }
    store.apply(change(*asked), owing(due))
    return ids


def numbers(rows: list[Row]) -> list[int]:
    return [row.duty.subject[-1] for row in rows]


def test_duties_come_by_deadline_and_those_without_one_last(store: Store) -> None:
    several(store, 300, None, 100, 200, None, 100)

    assert numbers(store.duties(State.OPEN)) == [3, 6, 4, 1, 2, 5]


def test_duties_can_be_of_one_kind_and_some_states(store: Store) -> None:
    settle, collect = Duty(DutyKind.SETTLE, ID), Duty(DutyKind.CHECK, ID)
    store.apply(change(ASKED), owing({ID: [propose(ID), settle, collect]}))
    store.record((sent(), [settle.key]))
    store.set_opinion([collect.key], State.MISSED, "")

    def kinds(*states: State, kind: DutyKind | None = None) -> set[DutyKind]:
        return {row.duty.kind for row in store.duties(*states, kind=kind)}

    assert kinds(State.OPEN, State.SENT) == {DutyKind.PROPOSE, DutyKind.SETTLE}
    assert kinds(State.SENT, kind=DutyKind.PROPOSE) == set()
    assert kinds(State.SENT, kind=DutyKind.SETTLE) == {DutyKind.SETTLE}
    assert kinds(State.MISSED) == {DutyKind.CHECK}


def test_duties_can_be_those_whose_deadline_is_later_or_has_come(store: Store) -> None:
    several(store, 99, 100, 101, None)

    assert numbers(store.duties(State.OPEN, due_after=100)) == [3]
    assert numbers(store.duties(State.OPEN, over_by=100)) == [1, 2]


def test_duties_can_be_those_that_may_be_done_by_a_time(store: Store) -> None:
    duties = [Duty(DutyKind.SETTLE, each, not_before=at) for at, each in ((9, ID), (11, OTHER_ID))]
    store.apply(change(ASKED, OTHER), owing({each.subject: [each] for each in duties}))

    found = [numbers(store.duties(State.OPEN, due_by=time)) for time in (8, 9, 10.9, 11)]

    assert found == [[], [1], [1], [1, 2]]


def test_tallies_are_of_kinds_and_states_with_their_nearest_deadlines(store: Store) -> None:
    ids = several(store, 50, 80, 60, None, 55)
    store.set_opinion([(DutyKind.PROPOSE, ids[0])], State.MISSED, "")
    store.set_opinion([(DutyKind.PROPOSE, ids[4])], State.DECLINED, "")
    store.record((sent(), [(DutyKind.PROPOSE, ids[2])]))

    found = {each.state: (each.kind, each.count, each.nearest) for each in store.tallies(0)}

    assert found == {
        State.MISSED: (DutyKind.PROPOSE, 1, 50),
        State.DECLINED: (DutyKind.PROPOSE, 1, 55),
        State.OPEN: (DutyKind.PROPOSE, 2, 80),
        State.SENT: (DutyKind.PROPOSE, 1, 60),
    }


def test_tallies_say_since_when_the_first_may_be_done(store: Store) -> None:
    """What has to wait for its time waits for nobody yet."""
    settle = [Duty(DutyKind.SETTLE, each, not_before=at) for at, each in ((9, ID), (11, OTHER_ID))]
    store.apply(change(ASKED, OTHER), owing({each.subject: [each] for each in settle}))

    found = [[(each.count, each.since) for each in store.tallies(time)] for time in (8, 10, 12)]

    assert found == [[(2, None)], [(2, 9)], [(2, 9)]]


def test_tallies_name_the_first_block_of_what_could_be_done_since(store: Store) -> None:
    read(store, ASKED, OTHER)

    assert [each.block for each in store.tallies(0)] == [ASKED.where.block]
    assert store.time_of(ASKED.where.block) == ASKED.where.time


def test_tallies_of_nothing(store: Store) -> None:
    assert (store.tallies(0), store.stuck(), store.time_of(1)) == ([], 0, None)


def test_missed_counts_by_kind_what_could_not_be_done(store: Store) -> None:
    ids = several(store, 50, 80, 60)
    store.set_opinion([(DutyKind.PROPOSE, each) for each in ids[:2]], State.MISSED, "")
    store.set_opinion([(DutyKind.PROPOSE, ids[2])], State.DROPPED, "")

    assert store.missed == {DutyKind.PROPOSE: 2}


# What is poisonous.


def poisoned(history: History) -> list[Due]:
    assert isinstance(history, RequestHistory)
    if history.request_id == ID:
        raise ValueError("poison")
    return [Due(propose(history.request_id), history.created.where)]


def test_a_poisonous_history_is_stuck_and_the_others_go_on(open_store: Open) -> None:
    third = created(3)
    store = open_store()
    store.apply(change(ASKED, OTHER, third), poisoned)
    read(store, proposed(ASKED), owed=poisoned)

    store = open_store()

    assert states(store) == dict.fromkeys(
        [OTHER_KEY, (DutyKind.PROPOSE, third.request_id)], State.OPEN
    )
    assert (store.stuck(), store.request(ID)) == (1, ASKED.request)


def test_a_poisonous_history_keeps_what_followed_from_it_before(store: Store) -> None:
    read(store, ASKED)
    read(store, proposed(ASKED), owed=poisoned)

    assert (states(store), store.stuck()) == ({KEY: State.OPEN}, 1)
