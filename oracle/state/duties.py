"""What an event obliges us to do, and what ends such an obligation."""

from dataclasses import dataclass
from enum import StrEnum

from oracle.types import AccountId, Address, DemandId, RequestId

Subject = RequestId | DemandId | AccountId


class DutyKind(StrEnum):
    """In the order in which they are sent where all are due: what costs a bond goes first."""

    REVEAL = "reveal"
    PROVE = "prove"
    COMMIT = "commit"
    TIMEOUT = "timeout"
    DEMAND = "demand"
    PROPOSE = "propose"
    SETTLE = "settle"
    COLLECT = "collect"
    WITHDRAW = "withdraw"
    CHECK = "check"  # run it again, and compare; nothing is sent
    PURSUE = "pursue"  # it is wrong: see to it that its operator is slashed


# What duties are about; all others are about a request.
OF_A_DEMAND = (DutyKind.REVEAL, DutyKind.TIMEOUT, DutyKind.COLLECT)
OF_AN_ACCOUNT = (DutyKind.WITHDRAW,)


class State(StrEnum):
    OPEN = "open"
    SENT = "sent"  # in a transaction that is not mined yet
    DONE = "done"
    SUPERSEDED = "superseded"  # somebody else did it, it is no longer needed, or not for us to do
    MISSED = "missed"  # an alert: we could not
    DECLINED = "declined"  # we do not want to now, and look again until its deadline


@dataclass(frozen=True, slots=True)
class Duty:
    """`subject` is what the kind is about. Times are in seconds."""

    kind: DutyKind
    subject: Subject
    not_before: int = 0
    deadline: int | None = None

    @property
    def request_id(self) -> RequestId:
        assert self.kind not in (*OF_A_DEMAND, *OF_AN_ACCOUNT), self
        return RequestId(self.subject)

    @property
    def demand_id(self) -> DemandId:
        assert self.kind in OF_A_DEMAND, self
        return DemandId(self.subject)


@dataclass(frozen=True, slots=True)
class Close:
    """Ends every open duty of `kind` about `subject`; with `due_by`, in seconds, those alone that
    could be done by then. What was declined cannot be missed."""

    kind: DutyKind
    subject: Subject
    state: State
    note: str = ""
    due_by: int | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """No duty, by our own choice: kept so that a person can see why. With `until`, in seconds, the
    reason may pass, and the request is looked at again until then."""

    request_id: RequestId
    reason: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Postpone:
    """Gives every open duty of `kind` about `subject` another time."""

    kind: DutyKind
    subject: Subject
    not_before: int = 0
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Ends as done what was sent in that transaction."""

    kind: DutyKind
    transaction: bytes


Decision = Duty | Close | Decline | Postpone | Finish


def account_id(account: Address) -> AccountId:
    """Gives the bytes by which a duty names an account."""
    return AccountId(bytes.fromhex(account[2:]))
