"""What a node says: each field is read, or the whole is refused by the field's name."""

from collections.abc import Callable
from typing import Any

import pytest

from oracle.chain import replies
from oracle.chain.replies import Unreadable

HASH, OTHER = "0x" + "ab" * 32, "0x" + "cd" * 32
ACCOUNT = "0x" + "0a" * 20
BLOCK = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": OTHER,
    "timestamp": "0x64",
    "baseFeePerGas": "0x7",
    "transactions": [HASH],
    "logsBloom": "0x" + "01" * 256,
    "receiptsRoot": OTHER,
}
LOG = {
    "address": ACCOUNT,
    "topics": [HASH, OTHER],
    "data": "0x0102",
    "blockNumber": "0x10",
    "blockHash": HASH,
    "logIndex": "0x1",
    "transactionHash": OTHER,
    "removed": False,
}
RECEIPT = {
    "transactionHash": HASH,
    "blockNumber": "0x10",
    "blockHash": OTHER,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3b9aca00",
    "contractAddress": None,
    "logs": [LOG],
}
OUTCOME = {
    "type": "0x7e",
    "status": "0x1",
    "cumulativeGasUsed": "0x5208",
    "logs": [LOG],
    "depositNonce": "0x7",
    "depositReceiptVersion": "0x1",
}
SENT = {"from": ACCOUNT}
GOOD: list[tuple[Callable[[object], object], dict[str, Any]]] = [
    (replies.block, BLOCK),
    (replies.log, LOG),
    (replies.receipt, RECEIPT),
    (replies.outcome, OUTCOME),
    (replies.sender, SENT),
]
OPTIONAL = (
    *("baseFeePerGas", "effectiveGasPrice", "contractAddress"),
    *("logsBloom", "receiptsRoot", "type", "depositReceiptVersion"),
)
ODD = ["", "0x", "0xzz", "zz", -1, 1.5, True, [], {}, [{}], {"a": 1}, "0x" + "f" * 65, 2**256]
MISSING = object()


def test_a_block_is_read() -> None:
    block = replies.block(BLOCK)

    assert (block.number, block.time, block.base_fee) == (16, 100, 7)
    assert (block.hash, block.parent) == (bytes.fromhex(HASH[2:]), bytes.fromhex(OTHER[2:]))
    assert block.transactions == (bytes.fromhex(HASH[2:]),)
    assert (block.bloom, block.receipts_root) == (b"\1" * 256, bytes.fromhex(OTHER[2:]))
    less = replies.block(BLOCK | {"baseFeePerGas": None, "logsBloom": None, "receiptsRoot": None})
    assert (less.base_fee, less.bloom, less.receipts_root) == (None, None, None)


def test_a_receipt_and_its_logs_are_read() -> None:
    receipt = replies.receipt(RECEIPT | {"contractAddress": ACCOUNT, "status": "0x0"})

    assert (receipt.block, receipt.gas_used, receipt.gas_price) == (16, 21_000, 10**9)
    assert not receipt.succeeded and receipt.contract == replies.address(ACCOUNT)
    [log] = receipt.logs
    assert (log.data, log.index, log.block, len(log.topics)) == (b"\1\2", 1, 16, 2)


def test_what_the_root_of_receipts_covers_is_read() -> None:
    [outcome] = replies.outcomes([OUTCOME])

    assert (outcome.kind, outcome.succeeded, outcome.gas_so_far) == (0x7E, True, 21_000)
    assert (len(outcome.logs), outcome.more) == (1, (7, 1))
    assert replies.outcome(OUTCOME | {"depositReceiptVersion": None}).more == ()
    assert replies.outcome(OUTCOME | {"type": None}).kind == 0


def test_what_a_library_has_read_already_is_read_too() -> None:
    read = {"number": 16, "timestamp": 100, "hash": bytes.fromhex(HASH[2:]), "baseFeePerGas": 7}
    filled = {"logsBloom": int.from_bytes(b"\1" * 256, "big")}

    assert replies.block(BLOCK | read | filled) == replies.block(BLOCK)


def test_a_log_that_was_taken_back_is_none() -> None:
    assert len(replies.logs([LOG, LOG | {"removed": True}, LOG | {"removed": None}])) == 2


@pytest.mark.parametrize(("read", "good"), GOOD, ids=lambda value: getattr(value, "__name__", ""))
def test_each_field_is_read_or_refused_by_its_name(
    read: Callable[[object], object], good: dict[str, Any]
) -> None:
    read(good)
    for name in good.keys() - {"removed"}:
        for value in (MISSING, None, *ODD):
            spoilt = {each: its for each, its in good.items() if each != name}
            if value is not MISSING:
                spoilt[name] = value
            if name in OPTIONAL and value in (MISSING, None, ""):
                read(spoilt)
            elif (name, value) not in (
                (("data"), "0x"),
                ("logs", []),
                ("transactions", []),
                ("topics", []),
                ("logsBloom", 2**256),
            ):
                with pytest.raises(Unreadable, match=f"^{name}: "):
                    read(spoilt)


@pytest.mark.parametrize("read", [read for read, _ in GOOD] + [replies.logs])
@pytest.mark.parametrize("value", [None, 3, "text", [None], [3], "0x"])
def test_what_is_no_object_is_refused(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(Unreadable):
        read(value)


@pytest.mark.parametrize("value", [0, "0x0", 5, "0x5", "0x" + "f" * 64])
def test_numbers_are_read(value: object) -> None:
    assert replies.number(value) == (value if isinstance(value, int) else int(str(value), 16))


def test_a_number_is_below_what_it_may_be() -> None:
    assert replies.number("0xff", 256) == 255
    with pytest.raises(Unreadable):
        replies.number("0x100", 256)


@pytest.mark.parametrize(
    ("read", "name", "most"),
    [
        *((replies.block, name, 2**53) for name in ("number", "timestamp")),
        (replies.block, "baseFeePerGas", 2**96),
        (replies.log, "blockNumber", 2**53),
        (replies.log, "logIndex", 2**31),
        *((replies.receipt, name, 2**53) for name in ("blockNumber", "gasUsed")),
        (replies.outcome, "cumulativeGasUsed", 2**53),
    ],
)
def test_what_no_chain_has_as_much_of_is_refused(read: Any, name: str, most: int) -> None:
    """The state's database holds no more, and the program that asked would end."""
    good = dict(GOOD)[read]
    read(good | {name: hex(most - 1)})

    with pytest.raises(Unreadable, match=f"^{name}: "):
        read(good | {name: hex(most)})


def test_a_block_that_follows_from_itself_is_refused() -> None:
    with pytest.raises(Unreadable, match="^parentHash: "):
        replies.block(BLOCK | {"parentHash": HASH})


def test_more_topics_than_a_log_has_are_refused() -> None:
    with pytest.raises(Unreadable, match="topics: there are 5"):
        replies.log(LOG | {"topics": [HASH] * 5})
