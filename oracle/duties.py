"""What an event obliges us to do, and what ends such an obligation."""

from dataclasses import dataclass
from enum import StrEnum

from oracle.types import RequestId


class Kind(StrEnum):
    PROPOSE = "propose"
    SETTLE = "settle"
    WITHDRAW = "withdraw"


class State(StrEnum):
    OPEN = "open"
    SENT = "sent"  # in a transaction that is not mined yet
    DONE = "done"
    SUPERSEDED = "superseded"  # somebody else did it, or it is no longer needed
    MISSED = "missed"  # an alert: we could not


@dataclass(frozen=True, slots=True)
class Duty:
    """`subject` is a request's id, or an account's 20 bytes. Times are in seconds."""

    kind: Kind
    subject: bytes
    not_before: int = 0
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Ends every open duty of `kind` about `subject`; with `due_by`, in seconds, those alone that
    could be done by then."""

    kind: Kind
    subject: bytes
    state: State
    note: str = ""
    due_by: int | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """No duty, by our own choice: kept so that a person can see why."""

    request_id: RequestId
    reason: str


Decision = Duty | Close | Decline
