"""What an operator owes, by what happened, and what it wants to answer. Sends nothing, stores
nothing, knows no clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oracle.chain.disputes import demand_id
from oracle.chain.events import PartDemanded, UnstakeStarted
from oracle.chain.histories import AccountHistory, RequestHistory
from oracle.state.duties import Due, Duty, DutyKind, account_id
from oracle.types import Address, DemandId, ModelId, Request, Status, Wei

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


def owed(history: RequestHistory | AccountHistory, me: Address) -> Iterator[Due]:
    """Says what `me` owes as an operator, by all that happened to a request, or to its account."""
    if isinstance(history, AccountHistory):
        yield from _withdrawal(history)
        return
    request, proposed = history.request, history.proposed
    match history.status:
        # Whoever was slashed for a request has nothing better to say about it.
        case Status.REQUESTED if request.operator in (None, me) and me not in history.slashed:
            duty = Duty(DutyKind.PROPOSE, history.request_id, deadline=request.deadline)
            yield Due(duty, history.opened)
        case Status.PROPOSED if proposed is not None and proposed.proposal.operator == me:
            over = proposed.proposal.settle_at
            yield Due(Duty(DutyKind.SETTLE, history.request_id, over), proposed.where)
    for dispute in history.disputes.values():
        demands = [each for each in dispute.demanded.values() if each.operator == me]
        if dispute.conviction is not None:
            continue  # what was prepaid is the demanders'
        # Void or not: who does not answer is slashed.
        for each in demands:
            if each.demand.part not in dispute.revealed:
                duty = Duty(DutyKind.REVEAL, _id(each), deadline=each.demand.deadline)
                yield Due(duty, each.where)
        ended = history.ended(me)
        if ended is not None:
            for each in history.uncollected(me, demands):
                yield Due(Duty(DutyKind.COLLECT, _id(each), ended.time), each.where)


def _withdrawal(history: AccountHistory) -> Iterator[Due]:
    # A second unstake starts the delay anew for both, so one withdrawal does for all. Anyone may
    # withdraw for us; before the delay is over that pays credits alone.
    unstaked = [each for each in history.events if isinstance(each, UnstakeStarted)]
    if unstaked and not history.was_paid(unstaked[-1].where, unstaked[-1].available_at):
        duty = Duty(DutyKind.WITHDRAW, account_id(history.account), unstaked[-1].available_at)
        yield Due(duty, unstaked[-1].where)


def _id(asked: PartDemanded) -> DemandId:
    return demand_id(asked.demand.dispute, asked.demand.part)


def answer_gas(request: Request) -> int:
    """Gives the gas that propose and settle take together, the callback included. Each alone takes
    less. What came with its answer, somebody else has proposed."""
    if request.is_callers:
        return settle_gas(request)
    output = GAS_PER_OUTPUT_BYTE * request.terms.output_length
    return ANSWER_GAS - SETTLE_GAS + output + settle_gas(request)


def settle_gas(request: Request) -> int:
    """Gives the gas that settling alone takes, the callback included."""
    copies = 0 if request.callback_gas == 0 else 1
    output = GAS_PER_OUTPUT_BYTE * copies * request.terms.output_length
    return SETTLE_GAS + output + request.callback_gas


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


def least_fee(
    request: Request,
    policy: Policy,
    gas_price: Wei,
    defence: Wei = NOTHING,
    charges: Wei = NOTHING,
) -> Wei:
    """Gives the least fee, royalty included, for which `shortfall` finds none."""
    gas = _gas_and_margin(request, policy, gas_price, charges)
    return Wei(request.terms.royalty + gas + defence)


def most_gas(
    requests: Sequence[Request], policy: Policy, gas_price: Wei, charges: Wei = NOTHING
) -> Wei | None:
    """Gives the most that the gas to propose results may cost, by what they earn and what it costs
    to settle them; None where the operator wants none of it back."""
    if policy.margin <= -100:
        return None
    earned = sum(request.fee - request.terms.royalty for request in requests)
    settling = sum(map(settle_gas, requests)) * gas_price
    return Wei(max(0, earned * 100 // (100 + policy.margin) - settling - charges))


def shortfall(
    request: Request,
    policy: Policy,
    gas_price: Wei,
    defence: Wei = NOTHING,
    charges: Wei = NOTHING,
) -> str | None:
    """Says why `request` does not pay at this price of gas, if the defence of its result costs
    `defence`, and the chain `charges` so much besides gas. Gives None if it does."""
    earned = request.fee - request.terms.royalty
    gas = _gas_and_margin(request, policy, gas_price, charges)
    if earned >= gas + defence:
        return None
    if earned < gas:
        return f"it earns {earned} wei, below the {gas} wei that gas and margin need now"
    return (
        f"it earns {earned} wei: gas and margin need {gas} wei now, and to be ready to defend it"
        f" another {defence} wei"
    )


def _gas_and_margin(request: Request, policy: Policy, gas_price: Wei, charges: Wei) -> int:
    return (answer_gas(request) * gas_price + charges) * (100 + policy.margin) // 100
