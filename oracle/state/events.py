"""Events as the state keeps them: a name, fields as JSON, and whose history each is part of."""

from typing import get_args

from oracle import serialization
from oracle.chain.disputes import key_of
from oracle.chain.events import (
    DisputeEvent,
    Event,
    FraudCommitted,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    PrepaidCollected,
    SignerSet,
    StakeAdded,
    UnstakeStarted,
    Withdrawn,
)
from oracle.state.duties import account_id
from oracle.types import Address

_CLASSES: dict[str, type[Event]] = {event.__name__: event for event in get_args(Event)}


def dump_event(event: Event) -> tuple[str, bytes]:
    """Gives an event's name and its fields."""
    return type(event).__name__, serialization.dump(event)


def load_event(kind: str, fields: bytes) -> Event:
    """Reads what `dump_event` gave."""
    return serialization.load(fields, _CLASSES[kind])


def subject_of(event: Event, account: Address) -> bytes | None:
    """Gives the id of the history that an event is part of: a model's, a request's, that of a
    commitment, or of our `account`. Gives None for what is nobody's that we follow. What is
    collected tells its dispute alone, whose request only those know who have read of it."""
    match event:
        case ModelPublished() | ModelUriAdded() | ModelDeprecated():
            return event.model_id
        case FraudCommitted(commitment=commitment):
            return commitment
        case UnstakeStarted(operator=whose) | Withdrawn(account=whose):
            return account_id(account) if whose == account else None
        case OperatorSlashed(operator=slashed, challenger=challenger):
            return account_id(account) if account in (slashed, challenger) else None
        case StakeAdded() | SignerSet():
            return None
        case PrepaidCollected(dispute=dispute):
            return dispute
        case _:
            return event.request_id


def dispute_of(event: Event) -> bytes | None:
    """Gives the key of the dispute that an event is part of."""
    if isinstance(event, PrepaidCollected):
        return event.dispute
    return key_of(event) if isinstance(event, DisputeEvent) else None
