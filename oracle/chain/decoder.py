"""Decodes logs of the contracts to the events of `oracle.chain.events`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals
from eth_abi.registry import registry as default_registry
from eth_utils import keccak

from oracle.chain import abi, events, preimage
from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REGISTRY
from oracle.chain.codec import (
    ZERO_ADDRESS,
    demand_from_words,
    part_from_words,
    proposal_from_words,
    request_from_words,
)
from oracle.chain.events import Event, Where
from oracle.chain.replies import MOST, Log
from oracle.chain.words import Layout
from oracle.errors import EvidenceError, MalformedData
from oracle.types import ModelId, RequestId, Verdict, Wei

Arguments = Mapping[str, Any]


class _AnyText(StringDecoder):
    """Decodes any bytes to text, replacing what is none. Strangers choose these strings, and one
    that could not be read or stored would stop every worker."""

    @staticmethod
    def decoder_fn(data: bytes, _: str = "") -> str:
        return data.decode(errors="replace").replace("\0", "\ufffd")


def _codec() -> ABICodec:
    registry = default_registry.copy()  # type: ignore[no-untyped-call]
    registry.unregister_decoder("string")
    is_text = BaseEquals("string", with_sub=False)  # type: ignore[no-untyped-call]
    registry.register_decoder(is_text, _AnyText, label="string")
    return ABICodec(registry)


_CODEC = _codec()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the arguments of an event stand in a log: the indexed ones in topics."""

    name: str
    indexed: Sequence[str]  # their names
    others: Sequence[str]
    topics: Layout
    values: Callable[[bytes], Sequence[Any]]

    def arguments(self, log: Log) -> dict[str, Any]:
        """Raises DecodingError where the log holds no such values, and MalformedData."""
        found = dict(zip(self.others, self.values(log.data), strict=True))
        topics = self.topics.values(b"".join(log.topics[1:]))
        found.update(zip(self.indexed, topics, strict=True))
        return found


class Decoder:
    def __init__(self) -> None:
        entries = [entry for name in (REGISTRY, QUEUE, DISPUTES) for entry in artifact(name).abi]
        self._layouts = {_topic(each): _layout(each) for each in entries if each["type"] == "event"}

    @property
    def topics(self) -> tuple[bytes, ...]:
        """Gives the first topics of all events that it knows."""
        return tuple(self._layouts)

    def decode(self, log: Log, time: int) -> Event | None:
        """Decodes a log. Gives None for one of other contracts, and raises ChainError for one that
        ours cannot have written, though the node says so. `time` is its block's."""
        layout = self._layouts.get(log.topics[0]) if log.topics else None
        if layout is None or len(log.topics) != 1 + len(layout.indexed):
            return None
        try:
            arguments = layout.arguments(log)
            if layout.name == "ModelPublished":
                arguments["preimage"] = preimage.of_log(log)
            where = Where(log.block, log.index, log.transaction, time, log.block_hash)
            event = _BUILDERS[layout.name](where, arguments)
        except (DecodingError, EvidenceError, ValueError) as error:
            raise MalformedData(f"A log of {layout.name} is none: {error}") from None
        if any(each >= MOST for each in _times(event)):
            raise MalformedData(f"A log of {layout.name} names a time that no chain comes to.")
        return event


def _times(event: Event) -> Sequence[int]:
    """Gives the times that an event names, in seconds. That of what is suspended is none."""
    match event:
        case events.RequestCreated(request=request):
            return [request.deadline]
        case events.ResultProposed(proposal=proposal) | events.WindowMoved(proposal=proposal):
            ends = [] if proposal.is_suspended else [proposal.settle_at]
            return [proposal.proposed_at, *ends]
        case events.UnstakeStarted(available_at=time):
            return [time]
        case events.PartDemanded(demand=demand):
            return [demand.deadline]
        case _:
            return []


def _layout(event: Mapping[str, Any]) -> _Layout:
    indexed = [each for each in event["inputs"] if each["indexed"]]
    others = [each for each in event["inputs"] if not each["indexed"]]
    return _Layout(
        event["name"],
        [each["name"] for each in indexed],
        [each["name"] for each in others],
        Layout(list(map(abi_type, indexed))),
        _reader(list(map(abi_type, others))),
    )


def _reader(types: Sequence[str]) -> Callable[[bytes], Sequence[Any]]:
    """Gives what reads such values of data: the events that come in masses have fixed layouts."""

    def decoded(data: bytes) -> Sequence[Any]:
        abi.check(types, data)
        return _CODEC.decode(types, data)

    try:
        return Layout(types).values
    except ValueError:
        return decoded


def _topic(event: Mapping[str, Any]) -> bytes:
    """Gives the first topic of an event's logs: the hash of its signature."""
    return keccak(text=f"{event['name']}({','.join(map(abi_type, event['inputs']))})")


def _request_id(arguments: Arguments) -> RequestId:
    return RequestId(bytes(arguments["id"]))


def _model_id(arguments: Arguments) -> ModelId:
    return ModelId(bytes(arguments["id"]))


_BUILDERS: dict[str, Callable[[Where, Arguments], Event]] = {
    "ModelPublished": lambda where, a: events.ModelPublished(
        where, _model_id(a), preimage.model_of(a["preimage"]), a["uri"], a["preimage"]
    ),
    "ModelUriAdded": lambda where, a: events.ModelUriAdded(where, _model_id(a), a["uri"]),
    "ModelDeprecated": lambda where, a: events.ModelDeprecated(
        where, _model_id(a), ModelId(a["successor"]) if any(a["successor"]) else None
    ),
    "RequestCreated": lambda where, a: events.RequestCreated(
        where, _request_id(a), request_from_words(a["request"]), bytes(a["input"])
    ),
    "ResultProposed": lambda where, a: events.ResultProposed(
        where, _request_id(a), proposal_from_words(a["proposal"]), bytes(a["output"])
    ),
    "RequestSettled": lambda where, a: events.RequestSettled(where, _request_id(a), a["operator"]),
    "CallbackFailed": lambda where, a: events.CallbackFailed(
        where, _request_id(a), a["consumer"], bytes(a["reason"])
    ),
    "CallbackRetried": lambda where, a: events.CallbackRetried(
        where, _request_id(a), a["consumer"]
    ),
    "RequestReopened": lambda where, a: events.RequestReopened(
        where, _request_id(a), a["operator"]
    ),
    "WindowMoved": lambda where, a: events.WindowMoved(
        where,
        _request_id(a),
        a["operator"],
        proposal_from_words(a["proposal"]),
    ),
    "RequestExpired": lambda where, a: events.RequestExpired(
        where, _request_id(a), a["refundTo"], Wei(a["refund"])
    ),
    "StakeAdded": lambda where, a: events.StakeAdded(
        where, a["operator"], Wei(a["amount"]), Wei(a["staked"])
    ),
    "UnstakeStarted": lambda where, a: events.UnstakeStarted(
        where, a["operator"], Wei(a["amount"]), a["availableAt"]
    ),
    "SignerSet": lambda where, a: events.SignerSet(
        where,
        a["operator"],
        a["epoch"],
        None if a["signer"] == ZERO_ADDRESS else a["signer"],
        Wei(a["maxLocked"]),
    ),
    "Withdrawn": lambda where, a: events.Withdrawn(where, a["account"], Wei(a["amount"])),
    "OperatorSlashed": lambda where, a: events.OperatorSlashed(
        where,
        a["operator"],
        a["challenger"],
        Wei(a["bond"]),
        Wei(a["reward"]),
        Wei(a["burned"]),
        a["epoch"],
    ),
    "PartDemanded": lambda where, a: events.PartDemanded(
        where, _request_id(a), a["operator"], demand_from_words(a["demand"])
    ),
    "PartRevealed": lambda where, a: events.PartRevealed(
        where,
        _request_id(a),
        bytes(a["dispute"]),
        part_from_words(a["part"]),
        bytes(a["data"]),
        tuple(map(bytes, a["siblings"])),
    ),
    "TraceRevealed": lambda where, a: events.TraceRevealed(
        where, _request_id(a), bytes(a["dispute"]), bytes(a["traceRoot"])
    ),
    "FraudCommitted": lambda where, a: events.FraudCommitted(
        where, bytes(a["commitment"]), a["challenger"]
    ),
    "FraudProven": lambda where, a: events.FraudProven(
        where,
        _request_id(a),
        bytes(a["dispute"]),
        a["challenger"],
        Verdict(*a["verdict"]),
    ),
    "DemandTimedOut": lambda where, a: events.DemandTimedOut(
        where, _request_id(a), bytes(a["dispute"]), part_from_words(a["part"])
    ),
    "PrepaidCollected": lambda where, a: events.PrepaidCollected(
        where, bytes(a["dispute"]), a["account"], Wei(a["amount"])
    ),
}
