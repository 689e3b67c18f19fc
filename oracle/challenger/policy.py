"""What a challenger owes, by what happened. Sends nothing, stores nothing, knows no clock.

Every result of others is checked. One that is wrong is pursued, step by step, until its operator is
slashed; which step is next depends on nothing but what the chain says about the dispute and on our
own trace, so it is the same after any crash, and what somebody else did need not be done again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oracle.chain.codec import dispute_key
from oracle.chain.disputes import Dispute, demand_id
from oracle.chain.events import OperatorSlashed, PartDemanded
from oracle.chain.histories import AccountHistory, RequestHistory
from oracle.inference.findings import Finding
from oracle.state.duties import Due, Duty, DutyKind, account_id
from oracle.types import Address, DemandId, ModelId, Request, RequestId, Status, Wei

STEPS = (DutyKind.DEMAND, DutyKind.COMMIT, DutyKind.PROVE)
REWARD_PERCENT = 30  # of a slashed bond, as in OperatorStaking
# Of a whole pursuit of a network as large as ResNet-18: two or three demands, a commitment, a
# proof, what is collected in the end. What was prepaid comes back.
PURSUIT_GAS = 3_000_000
TRANSACTIONS = 120.0  # seconds before a deadline that are for sending, and not for running
# How much later than its demander, as a part of the reveal period, others end an open demand.
COURTESY = 10

Verdict = Callable[[bytes], bool | None]
"""Says whether a result was right when we ran it again, by the key of disputes about it; None where
we have not yet."""


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


def owed(history: RequestHistory | AccountHistory, me: Address, is_right: Verdict) -> Iterator[Due]:
    """Says what `me` owes as a challenger, by all that happened to a request, or to its account."""
    if isinstance(history, AccountHistory):
        yield from _withdrawal(history)
        return
    yield from _standing(history, me, is_right)
    for dispute in history.disputes.values():
        demands = list(dispute.demanded.values())
        ours = [each for each in demands if each.demand.demander == me]
        if dispute.conviction is not None:
            time = dispute.conviction.where.time
            for each in history.uncollected(me, ours):
                yield Due(Duty(DutyKind.COLLECT, _id(each), time), each.where)
            continue
        # Of a result that is void also: whoever does not answer is slashed.
        watched = demands if is_right(dispute.key) is False else ours
        for each in watched:
            if each.demand.part not in dispute.revealed:
                duty = Duty(DutyKind.TIMEOUT, _id(each), not_before=_timeout(each, me))
                yield Due(duty, each.where)


def _standing(history: RequestHistory, me: Address, is_right: Verdict) -> Iterator[Due]:
    """Says what is owed about the result that stands."""
    proposed = history.proposed
    if history.status is not Status.PROPOSED or proposed is None:
        return
    proposal, request_id = proposed.proposal, history.request_id
    if proposal.operator == me or not history.request.terms.is_exact:
        return
    verdict = is_right(dispute_key(request_id, proposal, proposed.output))
    if verdict is not True:
        kind = DutyKind.CHECK if verdict is None else DutyKind.PURSUE
        yield Due(Duty(kind, request_id, deadline=proposal.settle_at), proposed.where)


def _withdrawal(history: AccountHistory) -> Iterator[Due]:
    earned = [
        each
        for each in history.events
        if isinstance(each, OperatorSlashed) and each.challenger == history.account
    ]
    if earned and not history.was_paid(earned[-1].where, 0):
        where = earned[-1].where
        yield Due(Duty(DutyKind.WITHDRAW, account_id(history.account), where.time), where)


def _timeout(asked: PartDemanded, me: Address) -> int:
    """Gives the time, in seconds, from which `me` ends a demand that nobody answers. Whoever
    demanded gets the reward, so others leave it some time to end its own demand."""
    demand = asked.demand
    courtesy = 1 + (demand.deadline - asked.where.time) // COURTESY
    return demand.deadline + 1 + (0 if demand.demander == me else courtesy)


def _id(asked: PartDemanded) -> DemandId:
    return demand_id(asked.demand.dispute, asked.demand.part)


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
