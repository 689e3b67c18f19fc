"""What a challenger owes: events in, duties out. Sends nothing, stores nothing, knows no clock.

Every result of others is checked. One that is wrong is pursued, step by step, until its operator is
slashed; which step is next depends on nothing but what the chain says about the dispute and on our
own trace, so it is the same after any crash, and what somebody else did need not be done again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from oracle.chain.disputes import Dispute, demand_id
from oracle.chain.events import (
    DemandTimedOut,
    Event,
    FraudCommitted,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    Where,
    WindowMoved,
    Withdrawn,
)
from oracle.inference.findings import Finding
from oracle.state.duties import Close, Decision, Duty, DutyKind, Finish, Postpone, State, account_id
from oracle.types import Address, ModelId, Request, RequestId, Wei

STEPS = (DutyKind.DEMAND, DutyKind.COMMIT, DutyKind.PROVE)
REWARD_PERCENT = 30  # of a slashed bond, as in OperatorStaking
# Of a whole pursuit of a network as large as ResNet-18: two or three demands, a commitment, a
# proof, what is collected in the end. What was prepaid comes back.
PURSUIT_GAS = 3_000_000
TRANSACTIONS = 120.0  # seconds before a deadline that are for sending, and not for running
# How much later than its demander, as a part of the reveal period, others end an open demand.
COURTESY = 10

RequestOf = Callable[[RequestId], Request | None]
DisputesOf = Callable[[RequestId], Sequence[Dispute]]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the challenger watches, and what it may cost."""

    challenger: Address
    models: frozenset[ModelId] | None = None  # None: all that are EXACT
    max_spend: Wei | None = None  # gas and what is prepaid, of all transactions ever
    even_at_a_loss: bool = False
    # Whose results are checked first: what requests pay back to these is ours.
    refund_to: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True)
class Income:
    """What a conviction brings. The requester's share is `certain` where it is ours; a challenger's
    is `hoped` for: a liar that sees that it was found out may convict itself first."""

    certain: Wei
    hoped: Wei


def decide(
    event: Event, policy: Policy, request_of: RequestOf, disputes_of: DisputesOf
) -> Iterator[Decision]:
    """Decides what `event` obliges the challenger to do, and which duties it ends."""
    me = policy.challenger
    match event:
        case ResultProposed(request_id=request_id, proposal=proposal) if proposal.operator != me:
            request = request_of(request_id)
            if request is not None and _is_watched(request, policy):
                yield Duty(DutyKind.CHECK, request_id, deadline=proposal.settle_at)

        case WindowMoved(request_id=request_id, proposal=proposal):
            for kind in (DutyKind.CHECK, DutyKind.PURSUE, *STEPS):
                yield Postpone(kind, request_id, deadline=proposal.settle_at)

        case PartDemanded(request_id=request_id, demand=demand) if demand.demander == me:
            yield Close(DutyKind.DEMAND, request_id, State.DONE)

        case PartRevealed(dispute=dispute, part=part):
            yield Close(DutyKind.TIMEOUT, demand_id(dispute, part), State.SUPERSEDED, "answered")

        case FraudCommitted(where=where, challenger=challenger) if challenger == me:
            yield Finish(DutyKind.COMMIT, where.transaction)

        case FraudProven(where=where, request_id=request_id, dispute=key, challenger=challenger):
            state = State.DONE if challenger == me else State.SUPERSEDED
            yield Close(DutyKind.PROVE, request_id, state)
            yield from _convicted(where, request_id, key, me, disputes_of)

        case DemandTimedOut(where=where, request_id=request_id, dispute=key):
            yield from _convicted(where, request_id, key, me, disputes_of)

        case RequestSettled(request_id=request_id):
            yield from _over(request_id, State.MISSED, "it was settled")

        case RequestReopened(request_id=request_id) | RequestExpired(request_id=request_id):
            yield from _over(request_id, State.SUPERSEDED, "the proposal is void")

        case PrepaidCollected(where=where, account=account) if account == me:
            yield Finish(DutyKind.COLLECT, where.transaction)

        case OperatorSlashed(where=where, challenger=challenger) if challenger == me:
            mine = account_id(me)
            yield Close(DutyKind.WITHDRAW, mine, State.SUPERSEDED, "more was earned")
            yield Duty(DutyKind.WITHDRAW, mine, not_before=where.time)

        case Withdrawn(account=account) if account == me:
            yield Close(DutyKind.WITHDRAW, account_id(me), State.DONE)


def next_duty(
    request_id: RequestId, deadline: int | None, dispute: Dispute, finding: Finding, committed: bool
) -> Duty | None:
    """Gives the next step against a wrong result, or None where it is another's turn. `committed`
    says whether we announced the proof that was found, in a block that we have read."""
    if dispute.conviction is not None:
        return None
    if finding.question is not None:
        is_asked = finding.question.part in dispute.demanded
        return None if is_asked else Duty(DutyKind.DEMAND, request_id, deadline=deadline)
    if finding.fraud is not None:
        kind = DutyKind.PROVE if committed else DutyKind.COMMIT
        return Duty(kind, request_id, deadline=deadline)
    return None


def timeouts(dispute: Dispute, me: Address) -> Iterator[tuple[Duty, Where]]:
    """Yields what to do if the operator does not answer, each with the demand's place on the chain.
    Whoever demanded gets the reward, so others leave it some time to end its own demand."""
    for demand in dispute.open:
        asked = dispute.demanded[demand.part].where
        wait = 0 if demand.demander == me else 1 + (demand.deadline - asked.time) // COURTESY
        not_before = demand.deadline + 1 + wait
        yield Duty(DutyKind.TIMEOUT, demand_id(dispute.key, demand.part), not_before), asked


def reward(request: Request) -> Wei:
    """Works out what the challenger gets of the bond; the requester gets as much."""
    return Wei(request.bond * REWARD_PERCENT // 100)


def income(request: Request, policy: Policy) -> Income:
    """Works out what a conviction brings, of what the requester and the challenger get each."""
    certain = reward(request) if request.refund_to in policy.refund_to else Wei(0)
    return Income(certain, reward(request))


def least_bond(gas_price: Wei) -> Wei:
    """Finds the least bond whose reward pays for a pursuit: below it a lie goes unpunished."""
    return Wei(-(-PURSUIT_GAS * gas_price * 100 // REWARD_PERCENT))


def objection(request: Request, policy: Policy, gas_price: Wei) -> str | None:
    """Says why a wrong result is not pursued; None if it is.

    Nobody would pursue at all who went by what is certain alone, and no lie would be found; so one
    that is hoped for is enough, and both are never added up."""
    cost = PURSUIT_GAS * gas_price
    found = income(request, policy)
    if not policy.even_at_a_loss and max(found.certain, found.hoped) < cost:
        return f"the reward of {found.hoped} wei is below the {cost} wei that gas may cost now"
    return None


def patience(left: float, time_limit: float, too_slow: int) -> float:
    """Says how many seconds a run may take that was too slow so often: twice as long each time, so
    that one that never ends costs others little, up to two thirds of the `left` that its deadline
    leaves, less what transactions need: the run that confirms it takes half as long, or less, for
    it has no trace to make."""
    if not too_slow:
        return 0.0  # as long as any
    rest = (left - min(TRANSACTIONS, left / 4)) * 2 / 3
    wanted = time_limit * 2.0**too_slow
    return rest if rest < 2 * wanted else wanted


def _is_watched(request: Request, policy: Policy) -> bool:
    return request.terms.is_exact and (policy.models is None or request.model in policy.models)


def _convicted(
    where: Where, request_id: RequestId, key: bytes, me: Address, disputes_of: DisputesOf
) -> Iterator[Decision]:
    yield Close(DutyKind.PURSUE, request_id, State.DONE)
    for kind in (DutyKind.CHECK, *STEPS):
        yield Close(kind, request_id, State.SUPERSEDED, "its operator was slashed")
    for dispute in disputes_of(request_id):
        if dispute.key != key:
            continue
        for part, event in dispute.demanded.items():
            yield Close(DutyKind.TIMEOUT, demand_id(key, part), State.DONE)
            if event.demand.demander == me:
                yield Duty(DutyKind.COLLECT, demand_id(key, part), not_before=where.time)


def _over(request_id: RequestId, state: State, note: str) -> Iterator[Decision]:
    yield Close(DutyKind.PURSUE, request_id, state, note)
    for kind in (DutyKind.CHECK, *STEPS):
        yield Close(kind, request_id, State.SUPERSEDED, note)
