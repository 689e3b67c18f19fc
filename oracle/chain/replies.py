"""What a node says, read strictly: nothing of a reply is used anywhere that was not read here.

A field that is missing, null, of another type or out of range makes the whole reply unreadable,
and that is an error of the node that gave it. Numbers and bytes may be as JSON-RPC has them (0x…),
or as a library has turned them into Python's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from oracle.chain.addresses import checksummed
from oracle.types import Address, Wei

MOST_WORD = 1 << 256
MOST = 1 << 53  # seconds, blocks, gas: a state's database holds 63 bits, also of sums of some
MOST_COUNT = 1 << 48  # transactions of one account
MOST_INDEX = 1 << 31  # of a log in its block: a state's database holds no more
MOST_CHAIN = 1 << 63  # an id of a chain, by EIP-2294
MOST_PRICE = 1 << 96  # wei a gas
MOST_TOPICS = 4
BLOOM = 256  # bytes
DEPOSIT = 0x7E  # the OP stack's kind of transaction for what comes from the chain below
SHOWN = 60  # letters of what cannot be read

T = TypeVar("T")


class Unreadable(ValueError):
    """A reply, or a field of it, is not what it should be."""


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: bytes
    parent: bytes
    time: int  # seconds
    base_fee: Wei | None = None  # None on a chain without EIP-1559
    transactions: tuple[bytes, ...] = ()
    bloom: bytes | None = None  # None on a chain whose headers have none
    receipts_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class Log:
    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    index: int
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    transaction: bytes
    block: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    gas_price: Wei
    contract: Address | None
    logs: Sequence[Log]


@dataclass(frozen=True, slots=True)
class Outcome:
    """As much of a receipt as the header's root of all receipts covers, and the logs' places."""

    kind: int  # of the transaction, by EIP-2718
    succeeded: bool
    gas_so_far: int  # of this and the block's transactions before it
    logs: Sequence[Log]
    more: tuple[int, ...] = ()  # what a kind of its own has behind these


def number(value: object, most: int = MOST_WORD) -> int:
    """Reads a whole number below `most`."""
    found = value
    if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
        try:
            found = int(value, 16)
        except ValueError:
            found = None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < most:
        raise Unreadable(f"{_shown(value)} is no number")
    return found


def amount(value: object) -> int:
    """Reads what no chain has as much of as `MOST`."""
    return number(value, MOST)


def chain_id(value: object) -> int:
    return number(value, MOST_CHAIN)


def price(value: object) -> Wei:
    """Reads wei a gas."""
    return Wei(number(value, MOST_PRICE))


def data(value: object, size: int | None = None) -> bytes:
    """Reads bytes, of which there must be `size` where that is given."""
    found = bytes(value) if isinstance(value, (bytes, bytearray)) else None
    if isinstance(value, str) and value.startswith("0x"):
        try:
            found = bytes.fromhex(value[2:])
        except ValueError:
            found = None
    if found is None or (size is not None and len(found) != size):
        raise Unreadable(f"{_shown(value)} is not {'bytes' if size is None else f'{size} bytes'}")
    return found


def address(value: object) -> Address:
    return checksummed(data(value, 20))


def items(value: object) -> Sequence[object]:
    """Reads a list, whatever is in it."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise Unreadable(f"{_shown(value)} is no list")
    return value


def block(value: object) -> Block:
    fields = _fields(value)
    hashes = fields("transactions", lambda all_: tuple(data(each, 32) for each in items(all_)))
    own_hash, parent = fields("hash", _hash), fields("parentHash", _hash)
    if own_hash == parent:
        raise Unreadable(f"parentHash: it is the block's own, 0x{parent.hex()}")
    return Block(
        fields("number", amount),
        own_hash,
        parent,
        fields("timestamp", amount),
        fields.get("baseFeePerGas", price),
        hashes,
        fields.get("logsBloom", _bloom),
        fields.get("receiptsRoot", _hash),
    )


def log(value: object) -> Log:
    fields = _fields(value)
    return Log(
        fields("address", address),
        fields("topics", _topics),
        fields("data", data),
        fields("blockNumber", amount),
        fields("blockHash", _hash),
        fields("logIndex", lambda index: number(index, MOST_INDEX)),
        fields("transactionHash", _hash),
    )


def logs(value: object) -> list[Log]:
    """Reads a list of logs, without those that a node says it took back."""
    kept = [each for each in items(value) if not _is_removed(each)]
    return [log(each) for each in kept]


def receipt(value: object) -> Receipt:
    fields = _fields(value)
    return Receipt(
        transaction=fields("transactionHash", _hash),
        block=fields("blockNumber", amount),
        block_hash=fields("blockHash", _hash),
        succeeded=fields("status", lambda status: number(status, 2) == 1),
        gas_used=fields("gasUsed", amount),
        gas_price=Wei(fields.get("effectiveGasPrice", number) or 0),
        contract=fields.get("contractAddress", address),
        logs=fields("logs", logs),
    )


def outcome(value: object) -> Outcome:
    fields = _fields(value)
    kind = fields.get("type", lambda kind: number(kind, 0x80)) or 0
    return Outcome(
        kind=kind,
        succeeded=fields("status", lambda status: number(status, 2) == 1),
        gas_so_far=fields("cumulativeGasUsed", amount),
        logs=fields("logs", logs),
        more=_of_deposit(fields) if kind == DEPOSIT else (),
    )


def outcomes(value: object) -> list[Outcome]:
    return [outcome(each) for each in items(value)]


def sender(value: object) -> Address:
    """Reads who sent a transaction."""
    return _fields(value)("from", address)


def middle_tip(value: object) -> int:
    """Reads, of a history of fees with one percentile a block, the middle one of its rewards."""
    rewards = _fields(value)(
        "reward", lambda blocks: [number(items(each)[0]) for each in items(blocks)]
    )
    if not rewards:
        raise Unreadable("reward: there is none")
    return sorted(rewards)[len(rewards) // 2]


class _fields:  # noqa: N801 (it is called as a function, and reads like one)
    """The fields of an object, each read when it is asked for."""

    def __init__(self, value: object):
        if not isinstance(value, Mapping):
            raise Unreadable(f"{_shown(value)} is no object")
        self._value = value

    def __call__(self, name: str, read: Callable[[Any], T]) -> T:
        """Reads a field that must be there."""
        try:
            return read(self._value.get(name))
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None

    def get(self, name: str, read: Callable[[Any], T]) -> T | None:
        """Reads a field that may be missing or null."""
        return None if self._value.get(name) in (None, "") else self(name, read)


def _of_deposit(fields: _fields) -> tuple[int, ...]:
    """Reads what the receipt of a deposit on the OP stack has since its Canyon upgrade."""
    version = fields.get("depositReceiptVersion", amount)
    return () if version is None else (fields("depositNonce", amount), version)


def _bloom(value: object) -> bytes:
    """Reads a filter of 2048 bits, which the embedded chain has as a number."""
    if isinstance(value, int):
        return number(value, 1 << 8 * BLOOM).to_bytes(BLOOM, "big")
    return data(value, BLOOM)


def _hash(value: object) -> bytes:
    return data(value, 32)


def _topics(value: object) -> tuple[bytes, ...]:
    found = items(value)
    if len(found) > MOST_TOPICS:
        raise Unreadable(f"there are {len(found)}")
    return tuple(data(each, 32) for each in found)


def _is_removed(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("removed") is True


def _shown(value: object) -> str:
    return ascii(value)[:SHOWN]
