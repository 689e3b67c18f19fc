"""Events of disputes as text, for whoever keeps them, and back."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
    FraudProven,
    PartDemanded,
    PartRevealed,
    TraceRevealed,
    Where,
)
from oracle.types import Address, Demand, Part, RequestId, Verdict, Wei


def dump(event: DisputeEvent) -> str:
    return json.dumps({"kind": type(event).__name__} | _fields(event))


def load(text: str) -> DisputeEvent:
    """The inverse of `dump`."""
    fields = json.loads(text)
    where = fields["where"]
    at = Where(where["block"], where["index"], _bytes(where["transaction"]), where["time"])
    event: DisputeEvent = _LOADERS[fields["kind"]](at, fields)
    return event


def _fields(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_fields(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _fields(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


def _demand(fields: Mapping[str, Any]) -> Demand:
    return Demand(
        dispute=_bytes(fields["dispute"]),
        part=Part(**fields["part"]),
        program_root=_bytes(fields["program_root"]),
        values=fields["values"],
        leaves=fields["leaves"],
        padding=fields["padding"],
        demander=Address(fields["demander"]),
        prepaid=Wei(fields["prepaid"]),
        deadline=fields["deadline"],
    )


def _id(fields: Mapping[str, Any]) -> RequestId:
    return RequestId(_bytes(fields["request_id"]))


_LOADERS: dict[str, Callable[[Where, Mapping[str, Any]], DisputeEvent]] = {
    "PartDemanded": lambda where, f: PartDemanded(
        where, _id(f), Address(f["operator"]), _demand(f["demand"])
    ),
    "PartRevealed": lambda where, f: PartRevealed(
        where,
        _id(f),
        _bytes(f["dispute"]),
        Part(**f["part"]),
        _bytes(f["data"]),
        tuple(map(_bytes, f["siblings"])),
    ),
    "TraceRevealed": lambda where, f: TraceRevealed(
        where, _id(f), _bytes(f["dispute"]), _bytes(f["trace_root"])
    ),
    "FraudProven": lambda where, f: FraudProven(
        where,
        _id(f),
        _bytes(f["dispute"]),
        Address(f["challenger"]),
        Verdict(**f["verdict"]),
    ),
    "DemandTimedOut": lambda where, f: DemandTimedOut(
        where, _id(f), _bytes(f["dispute"]), Part(**f["part"])
    ),
}
