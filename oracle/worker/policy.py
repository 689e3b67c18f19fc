"""What an operator owes: events in, duties out. Sends nothing, stores nothing, knows no clock."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from oracle.chain.disputes import Dispute, demand_id
from oracle.chain.events import (
    DemandTimedOut,
    Event,
    FraudProven,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    UnstakeStarted,
    WindowMoved,
    Withdrawn,
)
from oracle.state.duties import Close, Decision, Decline, Duty, DutyKind, Finish, State, account_id
from oracle.types import Address, DemandId, ModelId, Request, RequestId, Wei

# Gas of propose and settle together without payload and callback, and for each byte of an output in
# a transaction, by the floor of EIP-7623: `./dev bench gas`. It stands in the proposal, and again
# where a consumer is called back with it; else its root settles. The queue's `quote` agrees.
ANSWER_GAS = 100_000
GAS_PER_OUTPUT_BYTE = 42
# Gas of settling alone, of what came with its answer.
SETTLE_GAS = 45_000
MAX_OUTPUT = 100_000  # bytes: nodes take no transaction above 128 KiB
DEFENCE_RATE = Wei(10 * 10**9)
NOTHING = Wei(0)

RequestOf = Callable[[RequestId], Request | None]
DisputesOf = Callable[[RequestId], Sequence[Dispute]]


def undisputed(_: RequestId) -> Sequence[Dispute]:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator answers. `margin` is the least profit in percent of the gas spent."""

    operator: Address
    models: frozenset[ModelId] | None = None  # None: any
    answers_vanilla: bool = False  # whose results no referee can judge, so nobody need believe them
    max_bond: Wei | None = None
    max_exposure: Wei | None = None  # of all bonds together that could be slashed now
    max_window: int | None = None  # seconds: how long one result may bind a bond
    margin: int = 20
    defence_rate: Wei = DEFENCE_RATE  # for a second of defence that we keep a process ready for


def decide(
    event: Event,
    policy: Policy,
    gas_price: Wei,
    request_of: RequestOf,
    disputes_of: DisputesOf = undisputed,
) -> Iterator[Decision]:
    """Decides what `event` obliges the operator to do, and which duties it ends. `disputes_of`
    tells what was disputed before the event."""
    me = policy.operator
    match event:
        case RequestCreated(request_id=request_id, request=request):
            yield _answer(request_id, request, policy, gas_price)

        case ResultProposed(request_id=request_id, proposal=proposal):
            if proposal.operator == me:
                yield Close(DutyKind.PROPOSE, request_id, State.DONE)
                yield Duty(DutyKind.SETTLE, request_id, not_before=proposal.settle_at)
            else:
                note = f"answered by {proposal.operator}"
                yield Close(DutyKind.PROPOSE, request_id, State.SUPERSEDED, note)

        case WindowMoved(request_id=request_id, proposal=proposal) if proposal.operator == me:
            yield Close(DutyKind.SETTLE, request_id, State.SUPERSEDED, "a dispute moved the window")
            yield Duty(DutyKind.SETTLE, request_id, not_before=proposal.settle_at)

        # Void or not: who does not answer is slashed.
        case PartDemanded(operator=operator, demand=demand) if operator == me:
            asked = demand_id(demand.dispute, demand.part)
            yield Duty(DutyKind.REVEAL, asked, deadline=demand.deadline)

        case PartRevealed(dispute=dispute, part=part):
            yield Close(DutyKind.REVEAL, demand_id(dispute, part), State.DONE)

        case FraudProven(request_id=request_id) | DemandTimedOut(request_id=request_id):
            for asked in _demands(request_id, me, disputes_of):
                yield Close(DutyKind.REVEAL, asked, State.SUPERSEDED, "we were convicted")

        case RequestSettled(where=where, request_id=request_id):
            yield Close(DutyKind.SETTLE, request_id, State.DONE)
            for asked in _demands(request_id, me, disputes_of):
                yield Duty(DutyKind.COLLECT, asked, not_before=where.time)

        case PrepaidCollected(where=where, account=paid) if paid == me:
            yield Finish(DutyKind.COLLECT, where.transaction)

        case RequestReopened(where=where, request_id=request_id, operator=operator):
            yield Close(DutyKind.SETTLE, request_id, State.SUPERSEDED, "the proposal was voided")
            if operator == me:
                for asked in _demands(request_id, me, disputes_of):
                    yield Duty(DutyKind.COLLECT, asked, not_before=where.time)
            known = request_of(request_id)
            # Whoever was slashed for a request has nothing better to say about it.
            if known is not None and operator != me:
                yield _answer(request_id, known, policy, gas_price)

        case RequestExpired(where=where, request_id=request_id):
            yield Close(DutyKind.PROPOSE, request_id, State.MISSED, "the request expired")
            yield Close(DutyKind.SETTLE, request_id, State.SUPERSEDED, "the request expired")
            # With a proposal that a slash voided, if it had one.
            for asked in _demands(request_id, me, disputes_of):
                yield Duty(DutyKind.COLLECT, asked, not_before=where.time)

        case UnstakeStarted(operator=operator, available_at=available_at) if operator == me:
            # A second unstake starts the delay anew for both, so one withdrawal does for all.
            account = account_id(me)
            yield Close(DutyKind.WITHDRAW, account, State.SUPERSEDED, "more was unstaked")
            yield Duty(DutyKind.WITHDRAW, account, not_before=available_at)

        case Withdrawn(where=where, account=account) if account == me:
            # Anyone may call withdraw for us; before the delay is over it pays credits alone.
            yield Close(DutyKind.WITHDRAW, account_id(me), State.DONE, due_by=where.time)


def _demands(request_id: RequestId, me: Address, disputes_of: DisputesOf) -> Iterator[DemandId]:
    """Yields the ids of demands made to us about a request, except in disputes that convicted
    us."""
    for dispute in disputes_of(request_id):
        for part, event in dispute.demanded.items():
            if event.operator == me and dispute.conviction is None:
                yield demand_id(dispute.key, part)


def _answer(
    request_id: RequestId, request: Request, policy: Policy, gas_price: Wei
) -> Duty | Decline:
    reason = refusal(request, policy, gas_price)
    if reason is None:
        return Duty(DutyKind.PROPOSE, request_id, deadline=request.deadline)
    is_for_good = objection(request, policy) is not None
    return Decline(request_id, reason, until=None if is_for_good else request.deadline)


def answer_gas(request: Request) -> int:
    """Gives the gas that propose and settle take together, the callback included. Each alone takes
    less. What came with its answer, somebody else has proposed."""
    copies = (0 if request.is_callers else 1) + (0 if request.callback_gas == 0 else 1)
    output = GAS_PER_OUTPUT_BYTE * copies * request.terms.output_length
    gas = SETTLE_GAS if request.is_callers else ANSWER_GAS
    return gas + output + request.callback_gas


def refusal(request: Request, policy: Policy, gas_price: Wei, defence: Wei = NOTHING) -> str | None:
    """Says why the operator does not answer `request` now. Gives None if it does. It is asked when
    the request is read, and again before its answer is sent: the operator may have come back with
    another policy, and gas has another price."""
    return objection(request, policy) or shortfall(request, policy, gas_price, defence)


def objection(request: Request, policy: Policy) -> str | None:
    """Says why the operator never answers `request`. Gives None if it may."""
    if request.operator not in (None, policy.operator):
        return f"it is for {request.operator}"
    if policy.models is not None and request.model not in policy.models:
        return "we do not serve its model"
    if not request.terms.is_exact and not policy.answers_vanilla:
        return "its model is VANILLA, and we answer EXACT models only"
    if policy.max_bond is not None and request.bond > policy.max_bond:
        return f"its bond of {request.bond} wei is above our {policy.max_bond}"
    if policy.max_exposure is not None and request.bond > policy.max_exposure:
        return f"its bond of {request.bond} wei is above our exposure of {policy.max_exposure}"
    if policy.max_window is not None and request.window > policy.max_window:
        return f"its window of {request.window} s is above our {policy.max_window} s"
    if request.terms.output_length > MAX_OUTPUT:
        return f"its output of {request.terms.output_length} bytes fits no transaction"
    return None


def least_fee(request: Request, policy: Policy, gas_price: Wei, defence: Wei = NOTHING) -> Wei:
    """Gives the least fee, royalty included, for which `shortfall` finds none."""
    return Wei(request.terms.royalty + _gas_and_margin(request, policy, gas_price) + defence)


def shortfall(
    request: Request, policy: Policy, gas_price: Wei, defence: Wei = NOTHING
) -> str | None:
    """Says why `request` does not pay at this price of gas, if the defence of its result costs
    `defence`. Gives None if it does."""
    earned = request.fee - request.terms.royalty
    gas = _gas_and_margin(request, policy, gas_price)
    if earned >= gas + defence:
        return None
    if earned < gas:
        return f"it earns {earned} wei, below the {gas} wei that gas and margin need now"
    return (
        f"it earns {earned} wei: gas and margin need {gas} wei now, and to be ready to defend it"
        f" another {defence} wei"
    )


def _gas_and_margin(request: Request, policy: Policy, gas_price: Wei) -> int:
    return answer_gas(request) * gas_price * (100 + policy.margin) // 100
