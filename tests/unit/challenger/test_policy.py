"""What a challenger owes, by all that happened, and what it pursues. Pure: no chain, no store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from oracle.chain.codec import dispute_key
from oracle.chain.disputes import Dispute, demand_id, replay
from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
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
from oracle.challenger.policy import (
    COURTESY,
    PURSUIT_GAS,
    TRANSACTIONS,
    Income,
    Policy,
    income,
    least_bond,
    next_duty,
    objection,
    owed,
    patience,
    reward,
)
from oracle.exact.proofs.evidence import ClaimKind
from oracle.inference.findings import Finding, Fraud, Question
from oracle.state.duties import Due, Duty, DutyKind
from oracle.types import AccountId, Address, Part, Status, Verdict, Wei
from tests.chains import BOND, FEE, GWEI, OUTPUT, address, created, proposed, request, where
from tests.events import PART, STRANGER, demand, of_others, tales

ME, OPERATOR = address("challenger"), address("operator")
ACCOUNT = AccountId(bytes.fromhex(ME[2:]))
ASKED = created()
ID = ASKED.request_id
RESULT = proposed(ASKED)
KEY = dispute_key(ID, RESULT.proposal, OUTPUT)
OTHER_KEY, OTHER_PART = b"\x0e" * 32, Part(3, 0, 0, 1)


def policy(**changes: Any) -> Policy:
    return replace(Policy(ME), **changes)


def due(*events: Event, right: bool | None = None, asked: RequestCreated = ASKED) -> list[Due]:
    """What is owed when this has happened to a request, whose first result was `right`, or was not,
    or was not run again yet."""
    history = RequestHistory(asked, events)
    return list(owed(history, ME, lambda key: right if key == KEY else None))


def of(kind: DutyKind, *events: Event, right: bool | None = None) -> list[Due]:
    return [each for each in due(*events, right=right) if each.duty.kind is kind]


def demanded(who: Address = ME, part: Part = PART, key: bytes = KEY) -> PartDemanded:
    return PartDemanded(where(101, time=1000), ID, OPERATOR, demand(who, part, key))


def dispute(*events: DisputeEvent, key: bytes = KEY) -> Dispute:
    return replay(key, events)


# Results of others.

CHECK = Duty(DutyKind.CHECK, ID, deadline=RESULT.proposal.settle_at)
PURSUE = replace(CHECK, kind=DutyKind.PURSUE)


def test_owed_is_nothing_for_a_request_without_a_result() -> None:
    assert due() == []


def test_owed_is_to_check_a_result_of_another_until_it_is_final() -> None:
    assert due(RESULT) == [Due(CHECK, RESULT.where)]


def test_owed_is_to_pursue_what_was_wrong_when_we_ran_it_again() -> None:
    assert due(RESULT, right=False) == [Due(PURSUE, RESULT.where)]


def test_owed_is_nothing_for_what_was_right_when_we_ran_it_again() -> None:
    assert due(RESULT, right=True) == []


@pytest.mark.parametrize("right", [None, False])
def test_owed_is_nothing_for_a_result_of_its_own(right: bool | None) -> None:
    assert due(proposed(ASKED, who="challenger"), right=right) == []


@pytest.mark.parametrize("right", [None, False])
def test_owed_is_nothing_for_a_vanilla_result(right: bool | None) -> None:
    terms = replace(ASKED.request.terms, is_exact=False)

    assert due(RESULT, right=right, asked=created(terms=terms)) == []


@pytest.mark.parametrize("right", [None, False])
def test_owed_is_due_when_the_window_ends_that_a_dispute_moved(right: bool | None) -> None:
    """The verdict stays: whoever is disputed is the same, whenever its window ends."""
    moved = WindowMoved(where(101), ID, OPERATOR, replace(RESULT.proposal, settle_at=12345))

    [found] = due(RESULT, moved, right=right)

    assert found.duty == replace(CHECK if right is None else PURSUE, deadline=12345)


@pytest.mark.parametrize("right", [None, False])
@pytest.mark.parametrize(
    "event",
    [
        RequestSettled(where(102), ID, OPERATOR),
        RequestReopened(where(102), ID, OPERATOR),
        RequestExpired(where(102), ID, STRANGER, FEE),
    ],
    ids=lambda event: type(event).__name__,
)
def test_owed_is_nothing_when_the_result_is_final_or_void(event: Event, right: bool | None) -> None:
    assert due(RESULT, event, right=right) == []


@pytest.mark.parametrize("right", [True, False])
def test_owed_is_to_check_the_next_result_whatever_the_one_before_was(right: bool) -> None:
    reopened, second = RequestReopened(where(102), ID, OPERATOR), proposed(ASKED, "rival")

    assert due(RESULT, reopened, second, right=right) == [Due(CHECK, second.where)]


# Timeouts.

TIMEOUT = Duty(DutyKind.TIMEOUT, demand_id(KEY, PART), not_before=1101)
REVEALED = PartRevealed(where(102), ID, KEY, PART, b"", ())
CONVICTIONS: list[FraudProven | DemandTimedOut] = [
    FraudProven(where(103, time=2000), ID, KEY, STRANGER, Verdict(0, 0, 1, 2)),
    DemandTimedOut(where(103, time=2000), ID, KEY, PART),
]


def test_owed_is_a_timeout_a_second_after_the_deadline_of_our_own_demand() -> None:
    assert of(DutyKind.TIMEOUT, RESULT, demanded()) == [Due(TIMEOUT, demanded().where)]


def test_owed_is_a_timeout_of_our_own_demand_though_the_result_is_right_or_void() -> None:
    """Whoever does not answer is slashed."""
    reopened = RequestReopened(where(102), ID, OPERATOR)

    assert [each.duty for each in due(RESULT, demanded(), reopened, right=True)] == [TIMEOUT]


def test_owed_leaves_a_stranger_a_while_for_its_own_demand_about_what_is_wrong() -> None:
    [found] = of(DutyKind.TIMEOUT, RESULT, demanded(STRANGER), right=False)

    assert found.duty == replace(TIMEOUT, not_before=1101 + 1 + 100 // COURTESY)


@pytest.mark.parametrize("right", [None, True])
def test_owed_leaves_strangers_alone_about_what_is_not_wrong(right: bool | None) -> None:
    assert of(DutyKind.TIMEOUT, RESULT, demanded(STRANGER), right=right) == []


@pytest.mark.parametrize("right", [None, False])
def test_owed_is_no_timeout_when_a_demand_is_answered(right: bool | None) -> None:
    assert of(DutyKind.TIMEOUT, RESULT, demanded(), REVEALED, right=right) == []
    assert of(DutyKind.TIMEOUT, RESULT, demanded(STRANGER), REVEALED, right=right) == []


@pytest.mark.parametrize("event", CONVICTIONS, ids=lambda event: type(event).__name__)
def test_owed_is_no_timeout_when_the_operator_was_convicted(event: Event) -> None:
    assert of(DutyKind.TIMEOUT, RESULT, demanded(), event, right=False) == []


# Money.


@pytest.mark.parametrize("event", CONVICTIONS, ids=lambda event: type(event).__name__)
def test_owed_is_to_collect_our_own_demands_of_the_dispute_that_convicted(event: Event) -> None:
    events = [
        *(RESULT, demanded(), demanded(STRANGER, OTHER_PART), demanded(key=OTHER_KEY)),
        *(REVEALED, event, RequestReopened(where(103, 1), ID, OPERATOR)),
    ]

    assert of(DutyKind.COLLECT, *events, right=False) == [
        Due(Duty(DutyKind.COLLECT, demand_id(KEY, PART), not_before=2000), demanded().where)
    ]


def test_owed_is_to_collect_nothing_where_nobody_was_convicted() -> None:
    """What was prepaid is the operator's, whose result stood."""
    settled = RequestSettled(where(102), ID, OPERATOR)

    assert of(DutyKind.COLLECT, RESULT, demanded(), REVEALED, settled) == []


@pytest.mark.parametrize(
    ("who", "amount", "is_ours"), [(ME, 7, True), (STRANGER, 7, False), (ME, 8, False)]
)
def test_owed_is_to_collect_until_it_was_paid(who: Address, amount: int, is_ours: bool) -> None:
    paid = PrepaidCollected(where(104), KEY, who, Wei(amount))

    found = of(DutyKind.COLLECT, RESULT, demanded(), CONVICTIONS[0], paid)

    assert (found == []) is is_ours


def account(*events: UnstakeStarted | Withdrawn | OperatorSlashed) -> list[Due]:
    return list(owed(AccountHistory(ME, events), ME, lambda _: None))


SLASHED = OperatorSlashed(where(time=2000), OPERATOR, ME, BOND, Wei(3), Wei(4), 1)
WITHDRAW = Due(Duty(DutyKind.WITHDRAW, ACCOUNT, not_before=2000), SLASHED.where)


def test_owed_is_a_withdrawal_when_it_earned_a_reward() -> None:
    assert account(SLASHED) == [WITHDRAW]


def test_owed_is_one_withdrawal_for_all_that_it_earned() -> None:
    more = replace(SLASHED, where=where(2, time=3000))

    assert account(SLASHED, more) == [Due(replace(WITHDRAW.duty, not_before=3000), more.where)]


def test_owed_is_no_withdrawal_when_it_withdrew_since() -> None:
    paid = Withdrawn(where(2), ME, Wei(5))

    assert account(SLASHED, paid) == []
    assert account(paid, replace(SLASHED, where=where(3, time=2000))) != []


def test_owed_is_no_withdrawal_for_a_slash_of_its_own_or_what_it_unstaked() -> None:
    slashed = replace(SLASHED, operator=ME, challenger=STRANGER)

    assert account(slashed, UnstakeStarted(where(2), ME, Wei(5), 777)) == []


@pytest.mark.parametrize("event", of_others(ASKED), ids=lambda event: type(event).__name__)
def test_owed_is_not_changed_by(event: Event) -> None:
    for before in ([], [RESULT], [RESULT, demanded()]):
        assert due(*before, event) == due(*before)


# Whatever happens.


@given(tales(ASKED, ME))
@pytest.mark.parametrize("right", [None, True, False])
def test_owed_follows_from_anything_that_is_said_to_have_happened(
    right: bool | None, events: Sequence[Event]
) -> None:
    history = RequestHistory(ASKED, tuple(events))

    found = list(owed(history, ME, lambda _: right))

    about = [each for each in found if each.duty.kind in (DutyKind.CHECK, DutyKind.PURSUE)]
    assert len({each.duty.key for each in found}) == len(found)  # the store keeps one of each
    assert len(about) <= (right is not True and history.status is Status.PROPOSED)
    assert {each.where for each in found} <= {each.where for each in events}


# The next step.

QUESTION = Finding(False, question=Question(PART, 5, 0, b""))
FRAUD = Finding(False, fraud=Fraud(ClaimKind.VALUE, 0, "ADD", 0, 0, b"1", b"2", b"p"))


@pytest.mark.parametrize(
    ("finding", "committed", "kind"),
    [
        (QUESTION, False, DutyKind.DEMAND),
        (FRAUD, False, DutyKind.COMMIT),
        (FRAUD, True, DutyKind.PROVE),
    ],
)
def test_next_duty_follows_from_what_was_found(
    finding: Finding, committed: bool, kind: DutyKind
) -> None:
    assert next_duty(ID, 99, dispute(), finding, committed) == Duty(kind, ID, deadline=99)


def test_next_duty_is_none_when_the_part_was_demanded_by_anybody() -> None:
    assert next_duty(ID, 99, dispute(demanded(STRANGER)), QUESTION, False) is None


def test_next_duty_is_none_when_nothing_is_wrong() -> None:
    assert next_duty(ID, 99, dispute(), Finding(is_right=True), False) is None


@pytest.mark.parametrize("finding", [QUESTION, FRAUD])
@pytest.mark.parametrize("event", CONVICTIONS, ids=lambda event: type(event).__name__)
def test_next_duty_is_none_when_the_operator_was_convicted(
    event: DisputeEvent, finding: Finding
) -> None:
    assert next_duty(ID, 99, dispute(event), finding, True) is None


# What it is worth.


def test_reward_is_three_tenths_of_the_bond() -> None:
    assert reward(request(bond=Wei(1000))) == 300
    assert reward(request(bond=Wei(9))) == 2


def test_income_is_certain_only_where_the_requesters_share_is_ours() -> None:
    asked = request(bond=Wei(1000), refund_to=STRANGER)

    assert income(asked, policy()) == Income(Wei(0), Wei(300))
    assert income(asked, policy(refund_to=frozenset([ME]))) == Income(Wei(0), Wei(300))
    assert income(asked, policy(refund_to=frozenset([ME, STRANGER]))) == Income(Wei(300), Wei(300))


@pytest.mark.parametrize("refund_to", [frozenset(), frozenset([STRANGER])])
def test_objection_weighs_one_share_against_the_gas_to_the_wei(refund_to: frozenset) -> None:
    """The challenger's share is never added to the requester's: a liar may take it away."""
    cost = PURSUIT_GAS * GWEI
    enough = request(bond=Wei(-(-cost * 10 // 3)), refund_to=STRANGER)
    short = replace(enough, bond=Wei(enough.bond - 4))
    by = policy(refund_to=refund_to)

    assert objection(enough, by, Wei(GWEI)) is None
    assert f"below the {cost} wei" in (objection(short, by, Wei(GWEI)) or "")
    assert objection(short, replace(by, even_at_a_loss=True), Wei(GWEI)) is None


# Time.


def test_patience_doubles_and_ends_with_what_the_deadline_leaves() -> None:
    day = 86400.0

    assert patience(day, 600, 0) == 0
    assert [patience(day, 600, times) for times in (1, 2, 3)] == [1200, 2400, 4800]
    assert patience(day, 600, 7) == (day - TRANSACTIONS) * 2 / 3  # and half as long to confirm it
    assert patience(40, 600, 1) == 20


@pytest.mark.parametrize("gas_price", [1, GWEI, 7 * GWEI + 3])
def test_least_bond_is_the_least_that_is_pursued(gas_price: int) -> None:
    least = least_bond(Wei(gas_price))

    assert least == PURSUIT_GAS * gas_price * 100 // 30
    assert objection(request(bond=least), policy(), Wei(gas_price)) is None
    assert objection(request(bond=Wei(least - 1)), policy(), Wei(gas_price)) is not None
