"""What an operator owes, event by event, and what it declines. Pure: no chain, no store."""

from dataclasses import replace
from typing import Any

import pytest

from oracle.chain.disputes import demand_id, replay
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
    StakeAdded,
    UnstakeStarted,
    WindowMoved,
    Withdrawn,
)
from oracle.state.duties import Close, Decline, Duty, DutyKind, Finish, State
from oracle.types import (
    VALUE_TREE,
    AccountId,
    Address,
    Demand,
    ModelId,
    Part,
    Request,
    RequestId,
    Verdict,
    Wei,
)
from oracle.worker.policy import (
    ANSWER_GAS,
    GAS_PER_OUTPUT_BYTE,
    Policy,
    answer_gas,
    decide,
    objection,
    shortfall,
)
from tests.chains import BOND, ETHER, FEE, GWEI, ROYALTY, address, created, proposed, request, where
from tests.events import KEY, PART, STRANGER, demand, of_others

ME = address("operator")
ACCOUNT = AccountId(bytes.fromhex(ME[2:]))
MODEL = ModelId(b"\x33" * 32)
GAS_PRICE = Wei(GWEI)
ASKED = created()
ID = ASKED.request_id


def policy(**changes: Any) -> Policy:
    return replace(Policy(ME), **changes)


def decided(event: Event, *known: RequestCreated, by: Policy | None = None) -> list[Any]:
    requests = {asked.request_id: asked.request for asked in known}
    return list(decide(event, by or policy(), GAS_PRICE, requests.get))


# Requests.


def test_decide_proposes_by_the_deadline_when_a_request_is_created() -> None:
    assert decided(ASKED) == [Duty(DutyKind.PROPOSE, ID, 0, ASKED.request.deadline)]


def test_decide_declines_with_the_objection_when_there_is_one() -> None:
    foreign = created(operator=address("rival"))

    assert decided(foreign) == [Decline(ID, f"it is for {address('rival')}")]


def test_decide_settles_after_the_window_when_our_result_is_proposed() -> None:
    answer = proposed(ASKED)

    assert decided(answer) == [
        Close(DutyKind.PROPOSE, ID, State.DONE),
        Duty(DutyKind.SETTLE, ID, not_before=answer.proposal.settle_at),
    ]


def test_decide_gives_up_when_another_has_proposed() -> None:
    [close] = decided(proposed(ASKED, who="rival"))

    assert close == Close(DutyKind.PROPOSE, ID, State.SUPERSEDED, f"answered by {address('rival')}")


def test_decide_is_done_when_the_request_is_settled() -> None:
    assert decided(RequestSettled(where(), ID, ME)) == [Close(DutyKind.SETTLE, ID, State.DONE)]


def test_decide_answers_again_when_a_rival_was_slashed() -> None:
    reopened = RequestReopened(where(), ID, address("rival"))

    [close, duty] = decided(reopened, ASKED)

    assert (close.kind, close.state) == (DutyKind.SETTLE, State.SUPERSEDED)
    assert duty == Duty(DutyKind.PROPOSE, ID, 0, ASKED.request.deadline)


def test_decide_declines_a_reopened_request_when_the_policy_objects() -> None:
    reopened = RequestReopened(where(), ID, address("rival"))
    asked = created(bond=Wei(ETHER))

    [_, decline] = decided(reopened, asked, by=policy(max_bond=BOND))

    assert isinstance(decline, Decline) and "above our" in decline.reason


def test_decide_only_stops_settling_when_we_were_slashed() -> None:
    [close] = decided(RequestReopened(where(), ID, ME), ASKED)

    assert (close.kind, close.state) == (DutyKind.SETTLE, State.SUPERSEDED)


def test_decide_only_stops_settling_when_a_reopened_request_is_unknown() -> None:
    [close] = decided(RequestReopened(where(), ID, address("rival")))

    assert close.kind is DutyKind.SETTLE


def test_decide_has_missed_when_the_request_expired() -> None:
    closes = decided(RequestExpired(where(), ID, address("requester"), FEE))

    assert [(each.kind, each.state) for each in closes] == [
        (DutyKind.PROPOSE, State.MISSED),
        (DutyKind.SETTLE, State.SUPERSEDED),
    ]


# Stake.


def test_decide_withdraws_after_the_delay_when_we_unstaked() -> None:
    [close, duty] = decided(UnstakeStarted(where(), ME, Wei(5), 777))

    assert (close.kind, close.state) == (DutyKind.WITHDRAW, State.SUPERSEDED)
    assert duty == Duty(DutyKind.WITHDRAW, ACCOUNT, not_before=777)


def test_decide_is_done_when_we_were_paid() -> None:
    [close] = decided(Withdrawn(where(time=900), ME, Wei(5)))

    assert (close.kind, close.subject, close.state) == (DutyKind.WITHDRAW, ACCOUNT, State.DONE)


def test_decide_keeps_a_withdrawal_that_was_not_due_when_credits_were_paid() -> None:
    """Anyone may call withdraw for us, and before the delay is over it pays credits alone."""
    [close] = decided(Withdrawn(where(time=900), ME, Wei(5)))

    assert close.due_by == 900


# Disputes.


@pytest.mark.parametrize(
    "end",
    [
        RequestSettled(where(9), ID, ME),
        RequestReopened(where(9), ID, ME),
        RequestExpired(where(9), ID, STRANGER, FEE),
    ],
    ids=lambda event: type(event).__name__,
)
def test_decide_collects_what_was_prepaid_however_the_request_ends(end: Event) -> None:
    """A slash for another result voids one that we answered demands for; its request may expire."""
    part = Part(VALUE_TREE, 0, 0, 1)
    demand = Demand(bytes(32), part, bytes(32), 1, 0, 0, STRANGER, Wei(7), 100)
    disputed = replay(bytes(32), [PartDemanded(where(8), ID, ME, demand)])

    found = list(decide(end, policy(), GAS_PRICE, lambda _: None, lambda _: [disputed]))

    assert Duty(DutyKind.COLLECT, demand_id(bytes(32), part), not_before=end.where.time) in found


def demanded(operator: Address = ME) -> PartDemanded:
    return PartDemanded(where(8), ID, operator, demand(STRANGER, deadline=100))


def test_decide_settles_later_when_the_window_moved() -> None:
    moved = replace(proposed(ASKED).proposal, settle_at=12345)

    assert decided(WindowMoved(where(), ID, ME, moved)) == [
        Close(DutyKind.SETTLE, ID, State.SUPERSEDED, "a dispute moved the window"),
        Duty(DutyKind.SETTLE, ID, not_before=12345),
    ]


def test_decide_answers_a_demand_until_its_deadline() -> None:
    """Known request or not, void or not: who does not answer is slashed."""
    assert decided(demanded()) == [Duty(DutyKind.REVEAL, demand_id(KEY, PART), deadline=100)]


def test_decide_has_answered_when_a_part_is_revealed_by_anybody() -> None:
    event = PartRevealed(where(), ID, KEY, PART, b"", ())

    assert decided(event) == [Close(DutyKind.REVEAL, demand_id(KEY, PART), State.DONE)]


@pytest.mark.parametrize(
    "event",
    [
        FraudProven(where(), ID, KEY, STRANGER, Verdict(0, 0, 1, 2)),
        DemandTimedOut(where(), ID, KEY, PART),
    ],
    ids=lambda event: type(event).__name__,
)
def test_decide_answers_nothing_more_when_we_were_convicted(event: Event) -> None:
    ours = [replay(KEY, [demanded()])]
    found = list(decide(event, policy(), GAS_PRICE, lambda _: None, lambda _: ours))
    assert found == [
        Close(DutyKind.REVEAL, demand_id(KEY, PART), State.SUPERSEDED, "we were convicted")
    ]


def test_decide_has_collected_when_we_were_paid_back() -> None:
    assert decided(PrepaidCollected(where(), KEY, ME, Wei(7))) == [
        Finish(DutyKind.COLLECT, where().transaction)
    ]


@pytest.mark.parametrize(
    "event",
    [
        *of_others(ASKED),
        WindowMoved(where(), ID, STRANGER, proposed(ASKED, who="rival").proposal),
        StakeAdded(where(), ME, Wei(1), Wei(1)),
        OperatorSlashed(where(), ME, STRANGER, BOND, Wei(1), Wei(1), 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_decide_owes_nothing_for(event: Event) -> None:
    assert decided(event, ASKED) == []


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


def test_decide_declines_what_does_not_pay_until_its_deadline() -> None:
    poor = created(fee=ROYALTY)

    [decline] = decided(poor)

    assert isinstance(decline, Decline) and "it earns 0 wei" in decline.reason
    assert decline.until == poor.request.deadline


def test_objection_refuses_an_output_that_fits_no_transaction() -> None:
    """Nodes take no transaction above 128 KiB: its nonce would be blocked for good."""
    large = replace(request().terms, output_length=200_000)

    assert "200000 bytes" in objects(request(terms=large, fee=Wei(100 * ETHER)))


def test_decide_answers_under_the_id_that_it_was_given() -> None:
    other = RequestId(b"\x77" * 32)

    [duty] = decided(replace(ASKED, request_id=other))

    assert duty.subject == other
