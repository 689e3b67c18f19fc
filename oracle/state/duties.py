"""What a program owes, and what it makes of that."""

from dataclasses import dataclass
from enum import StrEnum

from oracle.chain.events import Where
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
_SIZES = dict.fromkeys(OF_A_DEMAND, 45) | dict.fromkeys(OF_AN_ACCOUNT, 20)  # bytes


class State(StrEnum):
    OPEN = "open"
    SENT = "sent"  # in a transaction that is not mined yet, or whose block was not read
    DECLINED = "declined"  # we do not want to now, and look again until its deadline
    DROPPED = "dropped"  # nothing that we will ever do
    MISSED = "missed"  # an alert: we could not


Key = tuple[DutyKind, Subject]
"""Names a duty: it is the same for as long as it is owed, whatever the chain or we do meanwhile."""


@dataclass(frozen=True, slots=True)
class Duty:
    """`subject` is what the kind is about. Times are in seconds."""

    kind: DutyKind
    subject: Subject
    not_before: int = 0
    deadline: int | None = None

    def __post_init__(self) -> None:
        size = _SIZES.get(self.kind, 32)
        if len(self.subject) != size:
            raise ValueError(f"What {self.kind} is about has {size} bytes: {self.subject.hex()}")

    @property
    def key(self) -> Key:
        return self.kind, self.subject

    @property
    def request_id(self) -> RequestId:
        assert self.kind not in (*OF_A_DEMAND, *OF_AN_ACCOUNT), self
        return RequestId(self.subject)

    @property
    def demand_id(self) -> DemandId:
        assert self.kind in OF_A_DEMAND, self
        return DemandId(self.subject)


@dataclass(frozen=True, slots=True)
class Due:
    """A duty, and the event that gave rise to it."""

    duty: Duty
    where: Where


def account_id(account: Address) -> AccountId:
    """Gives the bytes by which a duty names an account."""
    return AccountId(bytes.fromhex(account[2:]))
