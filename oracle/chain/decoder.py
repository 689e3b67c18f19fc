"""Decodes logs of the contracts to the events of `oracle.chain.events`."""

from collections.abc import Callable, Mapping
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals
from eth_abi.registry import registry as default_registry
from web3 import Web3
from web3.exceptions import LogTopicError, Web3Exception
from web3.types import LogReceipt

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
from oracle.errors import EvidenceError, MalformedData
from oracle.types import Address, ModelId, RequestId, Verdict, Wei

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


class Decoder:
    def __init__(self) -> None:
        entries = [entry for name in (REGISTRY, QUEUE, DISPUTES) for entry in artifact(name).abi]
        web3 = Web3()
        web3.codec = _codec()
        contract = web3.eth.contract(abi=entries)
        self._events = {
            bytes.fromhex(event.topic.removeprefix("0x")): (event, _types(event.abi))
            for event in (contract.events[name]() for name in _BUILDERS)
        }

    def decode(self, log: LogReceipt, time: int) -> Event | None:
        """Decodes a log. Gives None for one of other contracts, and raises ChainError for one that
        ours cannot have written, though the node says so. `time` is its block's."""
        topics = log["topics"]
        known = self._events.get(bytes(topics[0])) if topics else None
        if known is None:
            return None
        event, types = known
        abi.check(types, bytes(log["data"]))
        try:
            arguments = dict(event.process_log(log)["args"])
            if event.event_name == "ModelPublished":
                arguments["preimage"] = preimage.of_log(log)
            where = Where(log["blockNumber"], log["logIndex"], bytes(log["transactionHash"]), time)
            return _BUILDERS[event.event_name](where, arguments)
        except LogTopicError:
            return None
        except (DecodingError, EvidenceError, Web3Exception, ValueError) as error:
            raise MalformedData(f"A log of {event.event_name} is none: {error}") from None


def _types(event: Any) -> list[str]:
    """Gives the ABI types of an event's arguments that stand in a log's data."""
    return [abi_type(each) for each in event["inputs"] if not each["indexed"]]


def _request_id(arguments: Arguments) -> RequestId:
    return RequestId(bytes(arguments["id"]))


def _model_id(arguments: Arguments) -> ModelId:
    return ModelId(bytes(arguments["id"]))


def _words(arguments: Mapping[str, Any]) -> list[Any]:
    """Turns a struct that web3 decoded to names into a list of its fields."""
    # Not `.values()`: a struct may have a field of that name.
    return [_plain(arguments[name]) for name in arguments]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _words(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


_BUILDERS: dict[str, Callable[[Where, Arguments], Event]] = {
    "ModelPublished": lambda where, a: events.ModelPublished(
        where, _model_id(a), preimage.model_of(a["preimage"]), a["uri"], a["preimage"]
    ),
    "ModelUriAdded": lambda where, a: events.ModelUriAdded(where, _model_id(a), a["uri"]),
    "ModelDeprecated": lambda where, a: events.ModelDeprecated(
        where, _model_id(a), ModelId(a["successor"]) if any(a["successor"]) else None
    ),
    "RequestCreated": lambda where, a: events.RequestCreated(
        where, _request_id(a), request_from_words(_words(a["request"])), bytes(a["input"])
    ),
    "ResultProposed": lambda where, a: events.ResultProposed(
        where, _request_id(a), proposal_from_words(_words(a["proposal"])), bytes(a["output"])
    ),
    "RequestSettled": lambda where, a: events.RequestSettled(
        where, _request_id(a), Address(a["operator"])
    ),
    "CallbackFailed": lambda where, a: events.CallbackFailed(
        where, _request_id(a), Address(a["consumer"]), bytes(a["reason"])
    ),
    "CallbackRetried": lambda where, a: events.CallbackRetried(
        where, _request_id(a), Address(a["consumer"])
    ),
    "RequestReopened": lambda where, a: events.RequestReopened(
        where, _request_id(a), Address(a["operator"])
    ),
    "WindowMoved": lambda where, a: events.WindowMoved(
        where,
        _request_id(a),
        Address(a["operator"]),
        proposal_from_words(_words(a["proposal"])),
    ),
    "RequestExpired": lambda where, a: events.RequestExpired(
        where, _request_id(a), Address(a["refundTo"]), Wei(a["refund"])
    ),
    "StakeAdded": lambda where, a: events.StakeAdded(
        where, Address(a["operator"]), Wei(a["amount"]), Wei(a["staked"])
    ),
    "UnstakeStarted": lambda where, a: events.UnstakeStarted(
        where, Address(a["operator"]), Wei(a["amount"]), a["availableAt"]
    ),
    "SignerSet": lambda where, a: events.SignerSet(
        where,
        Address(a["operator"]),
        a["epoch"],
        None if a["signer"] == ZERO_ADDRESS else Address(a["signer"]),
        Wei(a["maxLocked"]),
    ),
    "Withdrawn": lambda where, a: events.Withdrawn(where, Address(a["account"]), Wei(a["amount"])),
    "OperatorSlashed": lambda where, a: events.OperatorSlashed(
        where,
        Address(a["operator"]),
        Address(a["challenger"]),
        Wei(a["bond"]),
        Wei(a["reward"]),
        Wei(a["burned"]),
        a["epoch"],
    ),
    "PartDemanded": lambda where, a: events.PartDemanded(
        where, _request_id(a), Address(a["operator"]), demand_from_words(_words(a["demand"]))
    ),
    "PartRevealed": lambda where, a: events.PartRevealed(
        where,
        _request_id(a),
        bytes(a["dispute"]),
        part_from_words(_words(a["part"])),
        bytes(a["data"]),
        tuple(map(bytes, a["siblings"])),
    ),
    "TraceRevealed": lambda where, a: events.TraceRevealed(
        where, _request_id(a), bytes(a["dispute"]), bytes(a["traceRoot"])
    ),
    "FraudCommitted": lambda where, a: events.FraudCommitted(
        where, bytes(a["commitment"]), Address(a["challenger"])
    ),
    "FraudProven": lambda where, a: events.FraudProven(
        where,
        _request_id(a),
        bytes(a["dispute"]),
        Address(a["challenger"]),
        Verdict(*_words(a["verdict"])),
    ),
    "DemandTimedOut": lambda where, a: events.DemandTimedOut(
        where, _request_id(a), bytes(a["dispute"]), part_from_words(_words(a["part"]))
    ),
    "PrepaidCollected": lambda where, a: events.PrepaidCollected(
        where, bytes(a["dispute"]), Address(a["account"]), Wei(a["amount"])
    ),
}
