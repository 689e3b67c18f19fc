"""What a challenger owes, event by event, and what it pursues. Pure: no chain, no store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from oracle.chain.disputes import Dispute, demand_id, replay
from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
    Event,
    FraudCommitted,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    WindowMoved,
    Withdrawn,
)
from oracle.challenger.policy import (
    COURTESY,
    PURSUIT_GAS,
    STEPS,
    TRANSACTIONS,
    Income,
    Policy,
    decide,
    income,
    least_bond,
    next_duty,
    objection,
    patience,
    reward,
    timeouts,
)
from oracle.exact.proofs.evidence import ClaimKind
from oracle.inference.findings import Finding, Fraud, Question
from oracle.state.duties import Close, Duty, DutyKind, Finish, Postpone, State
from oracle.types import AccountId, Address, ModelId, Part, Verdict, Wei
from tests.chains import BOND, FEE, GWEI, address, created, proposed, request, where
from tests.events import KEY, PART, STRANGER, demand, of_others

ME, OPERATOR = address("challenger"), address("operator")
ACCOUNT = AccountId(bytes.fromhex(ME[2:]))
ASKED = created()
ID = ASKED.request_id
OTHER_KEY, HASH = b"\x0e" * 32, b"\x0f" * 32
WRONG = [DutyKind.PURSUE, DutyKind.CHECK, *STEPS]


def policy(**changes: Any) -> Policy:
    return replace(Policy(ME), **changes)


def decided(
    event: Event, by: Policy | None = None, disputes: Sequence[Dispute] = (), *, known: bool = True
) -> list[Any]:
    requests = {ID: ASKED.request} if known else {}
    return list(decide(event, by or policy(), requests.get, lambda _: disputes))


def demanded(who: Address = ME, part: Part = PART, key: bytes = KEY) -> PartDemanded:
    return PartDemanded(where(8, time=1000), ID, OPERATOR, demand(who, part, key))


def dispute(*events: DisputeEvent, key: bytes = KEY) -> Dispute:
    return replay(key, events)


# Results of others.


def test_decide_checks_a_result_of_another_until_it_is_final() -> None:
    result = proposed(ASKED)

    assert decided(result) == [Duty(DutyKind.CHECK, ID, deadline=result.proposal.settle_at)]


def test_decide_checks_no_result_of_its_own() -> None:
    assert decided(proposed(ASKED, who="challenger")) == []


def test_decide_checks_no_result_of_a_request_that_it_does_not_know() -> None:
    assert decided(proposed(ASKED), known=False) == []


def test_decide_checks_the_models_that_are_watched_alone() -> None:
    watched, other = ModelId(ASKED.request.model), ModelId(b"\x99" * 32)

    assert decided(proposed(ASKED), policy(models=frozenset([watched, other]))) != []
    assert decided(proposed(ASKED), policy(models=frozenset([other]))) == []


def test_decide_checks_no_vanilla_result() -> None:
    terms = replace(ASKED.request.terms, is_exact=False)
    vanilla = replace(ASKED.request, terms=terms)

    assert list(decide(proposed(ASKED), policy(), lambda _: vanilla, lambda _: [])) == []


def test_decide_postpones_all_when_the_window_moves() -> None:
    moved = replace(proposed(ASKED).proposal, settle_at=12345)

    found = decided(WindowMoved(where(), ID, OPERATOR, moved))

    kinds = [DutyKind.CHECK, DutyKind.PURSUE, *STEPS]
    assert found == [Postpone(kind, ID, deadline=12345) for kind in kinds]


# Steps.


def test_decide_has_demanded_when_its_demand_is_taken() -> None:
    assert decided(demanded()) == [Close(DutyKind.DEMAND, ID, State.DONE)]


def test_decide_needs_no_timeout_when_a_demand_is_answered() -> None:
    event = PartRevealed(where(), ID, KEY, PART, b"", ())

    asked = demand_id(KEY, PART)
    assert decided(event) == [Close(DutyKind.TIMEOUT, asked, State.SUPERSEDED, "answered")]


def test_decide_has_committed_when_its_commitment_is_taken() -> None:
    event = FraudCommitted(replace(where(), transaction=HASH), b"\1" * 32, ME)

    assert decided(event) == [Finish(DutyKind.COMMIT, HASH)]


@pytest.mark.parametrize(("who", "state"), [(ME, State.DONE), (STRANGER, State.SUPERSEDED)])
def test_decide_is_done_when_the_fraud_is_proven(who: Address, state: State) -> None:
    event = FraudProven(where(), ID, KEY, who, Verdict(0, 0, 1, 2))

    first, *rest = decided(event)

    assert first == Close(DutyKind.PROVE, ID, state)
    assert [(each.kind, each.state) for each in rest] == [
        (DutyKind.PURSUE, State.DONE),
        *((kind, State.SUPERSEDED) for kind in (DutyKind.CHECK, *STEPS)),
    ]


CONVICTIONS: list[FraudProven | DemandTimedOut] = [
    FraudProven(where(9, time=2000), ID, KEY, STRANGER, Verdict(0, 0, 1, 2)),
    DemandTimedOut(where(9, time=2000), ID, KEY, PART),
]


@pytest.mark.parametrize("event", CONVICTIONS, ids=lambda event: type(event).__name__)
def test_decide_collects_its_own_demands_of_that_dispute_when_it_ends(event: Event) -> None:
    mine, theirs = PART, Part(3, 0, 0, 1)
    disputes = [
        dispute(demanded(part=mine), demanded(STRANGER, theirs)),
        dispute(demanded(key=OTHER_KEY), key=OTHER_KEY),
    ]

    found = decided(event, disputes=disputes)

    closed = [each for each in found if isinstance(each, Close) and each.kind is DutyKind.TIMEOUT]
    assert {each.subject for each in closed} == {demand_id(KEY, mine), demand_id(KEY, theirs)}
    collected = [each for each in found if isinstance(each, Duty)]
    assert collected == [Duty(DutyKind.COLLECT, demand_id(KEY, mine), not_before=2000)]


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (RequestSettled(where(), ID, OPERATOR), State.MISSED),
        (RequestReopened(where(), ID, OPERATOR), State.SUPERSEDED),
        (RequestExpired(where(), ID, STRANGER, FEE), State.SUPERSEDED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_decide_ends_all_when_the_result_is_final_or_void(event: Event, state: State) -> None:
    """A wrong result that was settled is a pursuit that was missed, which is an alert."""
    found = decided(event)

    assert [each.kind for each in found] == WRONG
    assert [each.state for each in found] == [state, *[State.SUPERSEDED] * 4]


# Money.


def test_decide_has_collected_when_it_was_paid() -> None:
    event = PrepaidCollected(replace(where(), transaction=HASH), KEY, ME, Wei(7))

    assert decided(event) == [Finish(DutyKind.COLLECT, HASH)]


def test_decide_withdraws_once_when_it_earned_a_reward() -> None:
    event = OperatorSlashed(where(time=2000), OPERATOR, ME, BOND, Wei(3), Wei(4), 1)

    assert decided(event) == [
        Close(DutyKind.WITHDRAW, ACCOUNT, State.SUPERSEDED, "more was earned"),
        Duty(DutyKind.WITHDRAW, ACCOUNT, not_before=2000),
    ]


def test_decide_is_done_when_it_withdrew() -> None:
    assert decided(Withdrawn(where(), ME, Wei(5))) == [
        Close(DutyKind.WITHDRAW, ACCOUNT, State.DONE)
    ]


@pytest.mark.parametrize(
    "event", [ASKED, *of_others(ASKED)], ids=lambda event: type(event).__name__
)
def test_decide_owes_nothing_for(event: RequestCreated | Event) -> None:
    assert decided(event, disputes=[dispute(demanded())]) == []


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


def test_timeouts_come_a_second_after_the_deadline_for_our_own_demand() -> None:
    [(duty, at)] = timeouts(dispute(demanded()), ME)

    assert duty == Duty(DutyKind.TIMEOUT, demand_id(KEY, PART), 1101)
    assert at == demanded().where


def test_timeouts_leave_a_stranger_a_while_for_its_own_demand() -> None:
    [(duty, _)] = timeouts(dispute(demanded(STRANGER)), ME)

    assert duty.not_before == 1101 + 1 + 100 // COURTESY


def test_timeouts_are_none_for_what_was_answered_or_is_over() -> None:
    answered = PartRevealed(where(), ID, KEY, PART, b"", ())

    assert list(timeouts(dispute(demanded(), answered), ME)) == []
    assert list(timeouts(dispute(demanded(), CONVICTIONS[0]), ME)) == []


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
