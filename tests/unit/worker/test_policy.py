"""What an operator owes, by all that happened, and what it declines. Pure: no chain, no store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from oracle.chain.disputes import demand_id
from oracle.chain.events import (
    DemandTimedOut,
    Event,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    UnstakeStarted,
    WindowMoved,
    Withdrawn,
)
from oracle.chain.histories import AccountHistory, RequestHistory
from oracle.state.duties import Due, Duty, DutyKind
from oracle.types import (
    AccountId,
    Address,
    ModelId,
    Part,
    Request,
    RequestId,
    Status,
    Verdict,
    Wei,
)
from oracle.worker.policy import (
    ANSWER_GAS,
    GAS_PER_OUTPUT_BYTE,
    Policy,
    answer_gas,
    objection,
    owed,
    shortfall,
)
from tests.chains import BOND, ETHER, FEE, GWEI, ROYALTY, address, created, proposed, request, where
from tests.events import KEY, PART, STRANGER, demand, of_others, tales

ME, RIVAL = address("operator"), address("rival")
ACCOUNT = AccountId(bytes.fromhex(ME[2:]))
MODEL = ModelId(b"\x33" * 32)
GAS_PRICE = Wei(GWEI)
ASKED = created()
ID = ASKED.request_id
OURS, THEIRS = proposed(ASKED), proposed(ASKED, who="rival")


def policy(**changes: Any) -> Policy:
    return replace(Policy(ME), **changes)


def due(*events: Event, asked: RequestCreated = ASKED) -> list[Due]:
    """What is owed when this has happened to a request."""
    return list(owed(RequestHistory(asked, events), ME))


def duties(*events: Event, asked: RequestCreated = ASKED) -> list[Duty]:
    return [each.duty for each in due(*events, asked=asked)]


# Requests.


def test_owed_is_an_answer_by_the_deadline_when_a_request_is_created() -> None:
    assert due() == [Due(Duty(DutyKind.PROPOSE, ID, 0, ASKED.request.deadline), ASKED.where)]


def test_owed_is_an_answer_to_who_chose_us_and_none_to_who_chose_another() -> None:
    assert [each.kind for each in duties(asked=created(operator=ME))] == [DutyKind.PROPOSE]
    assert duties(asked=created(operator=RIVAL)) == []


def test_owed_is_under_the_id_that_the_request_was_given() -> None:
    other = RequestId(b"\x77" * 32)

    [duty] = duties(asked=replace(ASKED, request_id=other))

    assert duty.subject == other


def test_owed_is_to_settle_after_the_window_when_our_result_stands() -> None:
    settle = Duty(DutyKind.SETTLE, ID, not_before=OURS.proposal.settle_at)

    assert due(OURS) == [Due(settle, OURS.where)]


def test_owed_is_nothing_when_another_has_proposed() -> None:
    assert duties(THEIRS) == []


@pytest.mark.parametrize("result", [OURS, THEIRS], ids=["ours", "theirs"])
def test_owed_is_nothing_when_the_request_is_settled(result: Event) -> None:
    assert duties(result, RequestSettled(where(101), ID, ME)) == []


def test_owed_is_nothing_when_the_request_expired() -> None:
    expired = RequestExpired(where(101), ID, address("requester"), FEE)

    assert duties(expired) == duties(OURS, expired) == []


def test_owed_is_an_answer_again_when_a_rival_was_slashed() -> None:
    reopened = RequestReopened(where(101), ID, RIVAL)

    assert due(THEIRS, reopened) == [
        Due(Duty(DutyKind.PROPOSE, ID, 0, ASKED.request.deadline), reopened.where)
    ]


def test_owed_is_to_settle_our_own_when_a_rival_was_slashed_before() -> None:
    reopened = RequestReopened(where(101), ID, RIVAL)
    ours = proposed(ASKED, at=where(102))

    assert due(THEIRS, reopened, ours) == [
        Due(Duty(DutyKind.SETTLE, ID, ours.proposal.settle_at), ours.where)
    ]


def test_owed_is_no_second_answer_when_we_were_slashed() -> None:
    """Whoever was slashed for a request has nothing better to say about it, ever."""
    first, second = (RequestReopened(where(at), ID, who) for at, who in ((101, ME), (103, RIVAL)))

    assert duties(OURS, first) == []
    assert duties(OURS, first, proposed(ASKED, "rival", where(102)), second) == []


def test_owed_is_to_settle_when_the_window_ends_that_a_dispute_moved() -> None:
    moved = WindowMoved(where(101), ID, ME, replace(OURS.proposal, settle_at=12345))
    again = WindowMoved(where(102), ID, ME, replace(OURS.proposal, settle_at=12346))

    assert due(OURS, moved) == [Due(Duty(DutyKind.SETTLE, ID, 12345), OURS.where)]
    assert duties(OURS, moved, again) == [Duty(DutyKind.SETTLE, ID, 12346)]


def test_owed_is_nothing_when_a_rivals_window_moved() -> None:
    assert duties(THEIRS, WindowMoved(where(101), ID, RIVAL, THEIRS.proposal)) == []


# Stake.


def account(*events: UnstakeStarted | Withdrawn | OperatorSlashed) -> list[Due]:
    return list(owed(AccountHistory(ME, events), ME))


UNSTAKED = UnstakeStarted(where(1), ME, Wei(5), 777)
WITHDRAW = Duty(DutyKind.WITHDRAW, ACCOUNT, not_before=777)


def test_owed_is_a_withdrawal_after_the_delay_when_we_unstaked() -> None:
    assert account(UNSTAKED) == [Due(WITHDRAW, UNSTAKED.where)]


def test_owed_is_one_withdrawal_when_we_unstaked_twice() -> None:
    """The second starts the delay anew for both."""
    second = UnstakeStarted(where(2), ME, Wei(6), 888)

    assert account(UNSTAKED, second) == [Due(replace(WITHDRAW, not_before=888), second.where)]


@pytest.mark.parametrize(("time", "is_paid"), [(776, False), (777, True), (900, True)])
def test_owed_is_a_withdrawal_until_one_was_due_when_it_was_made(time: int, is_paid: bool) -> None:
    """Anyone may call withdraw for us, and before the delay is over it pays credits alone."""
    assert (account(UNSTAKED, Withdrawn(where(2, time=time), ME, Wei(5))) == []) is is_paid


def test_owed_is_a_withdrawal_when_only_what_was_unstaked_before_was_paid() -> None:
    paid = Withdrawn(where(2, time=900), ME, Wei(5))
    again = UnstakeStarted(where(2, 1), ME, Wei(6), 800)

    assert account(UNSTAKED, paid, again) == [Due(replace(WITHDRAW, not_before=800), again.where)]


def test_owed_is_no_withdrawal_for_a_slash() -> None:
    assert account(OperatorSlashed(where(), ME, STRANGER, BOND, Wei(1), Wei(1), 1)) == []


# Disputes.

OTHER_PART = Part(PART.value, 0, 4, 4)
ASKED_ID = demand_id(KEY, PART)
REVEAL = Duty(DutyKind.REVEAL, ASKED_ID, deadline=100)
REVEALED = PartRevealed(where(102), ID, KEY, PART, b"", ())
ENDS: list[Event] = [
    RequestSettled(where(110, time=99), ID, ME),
    RequestReopened(where(110, time=99), ID, ME),
    RequestExpired(where(110, time=99), ID, STRANGER, FEE),
]
CONVICTIONS: list[Event] = [
    FraudProven(where(105), ID, KEY, STRANGER, Verdict(0, 0, 1, 2)),
    DemandTimedOut(where(105), ID, KEY, PART),
]


def demanded(part: Part = PART, operator: Address = ME, at: int = 101) -> PartDemanded:
    return PartDemanded(where(at), ID, operator, demand(STRANGER, part, deadline=100))


def of(kind: DutyKind, *events: Event) -> list[Due]:
    return [each for each in due(*events) if each.duty.kind is kind]


def test_owed_is_the_answer_to_each_demand_until_its_deadline() -> None:
    first, second = demanded(), demanded(OTHER_PART, at=103)

    assert of(DutyKind.REVEAL, OURS, first, second) == [
        Due(REVEAL, first.where),
        Due(replace(REVEAL, subject=demand_id(KEY, OTHER_PART)), second.where),
    ]


@pytest.mark.parametrize("end", ENDS, ids=lambda event: type(event).__name__)
def test_owed_is_the_answer_to_a_demand_when_the_result_is_void_or_settled(end: Event) -> None:
    """Who does not answer is slashed."""
    assert of(DutyKind.REVEAL, OURS, demanded(), end) == [Due(REVEAL, demanded().where)]


def test_owed_is_no_answer_to_what_was_revealed_by_anybody() -> None:
    found = of(DutyKind.REVEAL, OURS, demanded(), demanded(OTHER_PART), REVEALED)

    assert [each.duty.subject for each in found] == [demand_id(KEY, OTHER_PART)]


def test_owed_is_no_answer_to_what_others_were_asked() -> None:
    assert duties(THEIRS, demanded(operator=RIVAL)) == []


@pytest.mark.parametrize("end", ENDS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("conviction", CONVICTIONS, ids=lambda event: type(event).__name__)
def test_owed_is_nothing_in_a_dispute_that_convicted_us(conviction: Event, end: Event) -> None:
    assert duties(OURS, demanded(), conviction, end) == []


@pytest.mark.parametrize("end", ENDS, ids=lambda event: type(event).__name__)
def test_owed_is_to_collect_what_was_prepaid_however_the_request_ends(end: Event) -> None:
    """A slash for another result voids one that we answered demands for; its request may expire."""
    assert due(OURS, demanded(), REVEALED, end) == [
        Due(Duty(DutyKind.COLLECT, ASKED_ID, not_before=99), demanded().where)
    ]


def test_owed_is_to_collect_nothing_while_the_result_stands() -> None:
    assert of(DutyKind.COLLECT, OURS, demanded(), REVEALED) == []


def test_owed_is_to_collect_since_the_first_end_of_our_result() -> None:
    """Others may answer the request, and settle, long after."""
    reopened = RequestReopened(where(110, time=99), ID, ME)
    theirs = proposed(ASKED, "rival", where(111))
    settled = RequestSettled(where(112, time=500), ID, RIVAL)

    [found] = due(OURS, demanded(), REVEALED, reopened, theirs, settled)

    assert found.duty == Duty(DutyKind.COLLECT, ASKED_ID, not_before=99)


def collected(at: int, who: Address = ME, amount: int = 7, key: bytes = KEY) -> PrepaidCollected:
    return PrepaidCollected(where(at), key, who, Wei(amount))


def test_owed_is_to_collect_nothing_when_we_were_paid_back() -> None:
    assert duties(OURS, demanded(), REVEALED, ENDS[0], collected(111)) == []


@pytest.mark.parametrize(
    "other",
    [collected(111, STRANGER), collected(111, amount=8), collected(111, key=b"\x0e" * 32)],
    ids=["who", "amount", "dispute"],
)
def test_owed_is_to_collect_when_something_else_was_collected(other: Event) -> None:
    assert of(DutyKind.COLLECT, OURS, demanded(), REVEALED, ENDS[0], other) != []


def test_owed_is_to_collect_two_of_one_sum_until_both_were() -> None:
    """An event of what was collected tells the sum, and not the demand."""
    events = (OURS, demanded(), REVEALED, demanded(OTHER_PART), ENDS[0])
    paid = [collected(block) for block in (111, 112)]
    found = [of(DutyKind.COLLECT, *events, *paid[:count]) for count in range(3)]

    assert [len(each) for each in found] == [2, 2, 0]


@pytest.mark.parametrize("event", of_others(ASKED), ids=lambda event: type(event).__name__)
def test_owed_is_not_changed_by(event: Event) -> None:
    for before in ([], [THEIRS], [OURS]):
        assert due(*before, event) == due(*before)


# Whatever happens.


@given(tales(ASKED, ME))
def test_owed_follows_from_anything_that_is_said_to_have_happened(events: Sequence[Event]) -> None:
    found = due(*events)

    status = RequestHistory(ASKED, tuple(events)).status
    kinds = [each.duty.kind for each in found]
    assert len({each.duty.key for each in found}) == len(found)  # the store keeps one of each
    assert (DutyKind.PROPOSE in kinds) <= (status is Status.REQUESTED)
    assert (DutyKind.SETTLE in kinds) <= (status is Status.PROPOSED)
    assert not {DutyKind.PROPOSE, DutyKind.SETTLE} <= set(kinds)
    assert {each.where for each in found} <= {each.where for each in (ASKED, *events)}


# Objections.


def objects(what: Request, by: Policy | None = None) -> str:
    return objection(what, by or policy()) or ""


def lacks(what: Request, by: Policy | None = None, price: int = GAS_PRICE, defence: int = 0) -> str:
    return shortfall(what, by or policy(), Wei(price), Wei(defence)) or ""


def test_objection_is_none_for_a_request_that_anybody_may_answer() -> None:
    assert objection(request(), policy()) is None


def test_objection_is_none_when_we_are_the_chosen_operator() -> None:
    assert objects(request(operator=ME)) == ""


def test_objection_names_the_chosen_operator_when_it_is_another() -> None:
    assert objects(request(operator=STRANGER)) == f"it is for {STRANGER}"


def test_objection_is_none_for_a_model_that_we_serve() -> None:
    assert objects(request(), policy(models=frozenset([MODEL]))) == ""


def test_objection_refuses_a_model_that_we_do_not_serve() -> None:
    assert "do not serve" in objects(request(), policy(models=frozenset()))


def test_objection_refuses_vanilla_unless_the_policy_answers_it() -> None:
    vanilla = request(terms=replace(request().terms, is_exact=False))

    assert "VANILLA" in objects(vanilla)
    assert objects(vanilla, policy(answers_vanilla=True)) == ""


def test_objection_refuses_a_bond_above_the_maximum_alone() -> None:
    assert objects(request(bond=Wei(8)), policy(max_bond=Wei(8))) == ""
    assert (
        objects(request(bond=Wei(9)), policy(max_bond=Wei(8))) == "its bond of 9 wei is above our 8"
    )


def test_objection_refuses_a_bond_above_all_that_we_put_at_risk() -> None:
    assert objects(request(bond=Wei(8)), policy(max_exposure=Wei(8))) == ""
    assert "exposure of 8" in objects(request(bond=Wei(9)), policy(max_exposure=Wei(8)))


def test_objection_refuses_a_window_above_the_maximum_alone() -> None:
    assert objects(request(window=60), policy(max_window=60)) == ""
    assert (
        objects(request(window=61), policy(max_window=60)) == "its window of 61 s is above our 60 s"
    )


def test_answer_gas_counts_an_output_once_where_its_root_settles() -> None:
    assert answer_gas(request(callback_gas=0)) == ANSWER_GAS + 8 * GAS_PER_OUTPUT_BYTE
    assert answer_gas(request(callback_gas=1)) == ANSWER_GAS + 2 * 8 * GAS_PER_OUTPUT_BYTE + 1


def test_shortfall_counts_royalty_gas_callback_and_margin_to_the_wei() -> None:
    gas = ANSWER_GAS + 2 * 8 * GAS_PER_OUTPUT_BYTE + 70_000
    needed = gas * GAS_PRICE * 150 // 100
    enough = request(fee=Wei(needed + ROYALTY), callback_gas=70_000)
    short = replace(enough, fee=Wei(enough.fee - 1))
    by = policy(margin=50)

    assert lacks(enough, by) == ""
    assert lacks(short, by) == (
        f"it earns {needed - 1} wei, below the {needed} wei that gas and margin need now"
    )


def test_shortfall_is_none_for_no_fee_when_gas_is_free() -> None:
    assert lacks(request(fee=ROYALTY), price=0) == ""


def test_shortfall_counts_the_defence_to_the_wei() -> None:
    asked = request(fee=Wei(ROYALTY + 1000))

    assert lacks(asked, price=0, defence=1000) == ""
    assert lacks(asked, price=0, defence=1001) == (
        "it earns 1000 wei: gas and margin need 0 wei now, and to be ready to defend it another"
        " 1001 wei"
    )


def test_objection_refuses_an_output_that_fits_no_transaction() -> None:
    """Nodes take no transaction above 128 KiB: its nonce would be blocked for good."""
    large = replace(request().terms, output_length=200_000)

    assert "200000 bytes" in objects(request(terms=large, fee=Wei(100 * ETHER)))
