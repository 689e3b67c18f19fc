"""Events of disputes as the state keeps them: the event's name and its fields, as JSON."""

from typing import get_args

from oracle import serialization
from oracle.chain.events import DisputeEvent

_CLASSES: dict[str, type[DisputeEvent]] = {
    event.__name__: event for event in get_args(DisputeEvent)
}


def dump_event(event: DisputeEvent) -> str:
    """Gives the event as one line: its name, a space, its fields."""
    return f"{type(event).__name__} {serialization.dump(event).decode()}"


def load_event(text: str) -> DisputeEvent:
    """Reads what `dump_event` gave."""
    name, _, fields = text.partition(" ")
    return serialization.load(fields, _CLASSES[name])
