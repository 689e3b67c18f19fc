"""A node, as the few questions that we ask it. Every failure leaves here as an OracleError."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hexbytes import HexBytes
from requests.exceptions import RequestException
from web3 import Web3
from web3.exceptions import (
    BadResponseFormat,
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import RPCEndpoint, RPCResponse

from oracle.chain import replies
from oracle.chain.errors import reverted
from oracle.chain.lines import CannotBatch, Cut, Heads, Line, Socket, TooLong, batch, http
from oracle.chain.replies import Block, Log, Outcome, Receipt, Unreadable
from oracle.chain.span import Span
from oracle.errors import ChainError, MalformedReply, NotFound, Reverted, RpcUnavailable
from oracle.types import Address, Wei
from oracle.visible import visible

# A library of web3's sets it so high that an answer of many brackets overflows the stack of C.
sys.setrecursionlimit(1000)

_ESTIMATED = ("pending", "latest", None)  # blocks to estimate on
_BLOCKS = 10  # in which it is looked for what others pay
MOST_TIP, MOST_TIPS = 100 * 10**9, 10  # wei, and base fees, of which a tip is no more than either
TOGETHER = 50  # questions in one request, where a node takes as many
AHEAD = 64  # blocks above a node's head of which it may know: a URL may stand for several nodes
FEW = 2  # questions that are too many for hardly any node
MAX_WORDS = 300  # letters of what it says in words

T = TypeVar("T")


def _as_it_is(result: Any) -> Any:
    return result


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction asks of a contract; `to` is None for a new contract."""

    to: Address | None
    data: bytes
    value: Wei = Wei(0)


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas. `priority` is None on a chain without EIP-1559, where `maximum` is the price."""

    maximum: Wei
    priority: Wei | None

    @property
    def base(self) -> Wei:
        """Gives what a transaction must offer to be mined now, of a node's own proposal."""
        return self.maximum if self.priority is None else Wei((self.maximum - self.priority) // 2)

    def raised(self, percent: int) -> "Fees":
        def raise_(wei: Wei) -> Wei:
            return Wei(wei * (100 + percent) // 100 + 1)

        return Fees(raise_(self.maximum), None if self.priority is None else raise_(self.priority))


class Chain:
    """One node of one chain."""

    # Where blocks are rare, the last one's time is long past.
    estimation_block: str | None = "pending"
    log_span = 2000  # blocks in one query for logs
    is_embedded = False

    def __init__(
        self,
        web3: Web3,
        url: str,
        name: str,
        line: Line | None = None,
        heads: Heads | None = None,
    ):
        self.web3 = web3
        self.url = url  # may hold credentials: for a child process, never for a message
        self.name = name
        self._line = line or Line()
        self._heads = heads
        self._together = Span(1 if self.is_embedded else TOGETHER)
        with self.guarded():
            self.id = replies.chain_id(self._ask("eth_chainId"))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns the errors of web3 into ours, around every use of it."""
        try:
            yield
        except (ContractCustomError, ContractLogicError) as error:
            raise reverted(_revert_data(error.data)) from error
        except (BlockNotFound, TransactionNotFound) as error:
            raise NotFound(f"{self.name} does not know it: {error}") from error
        except Web3RPCError as error:
            data = _error_data(error)
            if data is not None:
                raise reverted(data) from error
            raise ChainError(f"{self.name} refused: {_message(error)}") from error
        except Cut as error:
            raise RpcUnavailable(f"{self.name} is asked no more: the program ends.") from error
        except (RequestException, OSError) as error:
            raise RpcUnavailable(
                f"{self.name} does not answer ({type(error).__name__}); is it up, is the URL right?"
            ) from error
        except BadResponseFormat as error:
            raise MalformedReply(f"{self.name}: {_message(error)}") from error
        except Web3Exception as error:
            raise ChainError(f"{self.name}: {_message(error)}") from error
        except Unreadable as error:
            raise MalformedReply(
                f"{self.name} gave an answer that cannot be read: {error}."
            ) from error
        # What web3 stumbles over when an answer is no JSON, not of the form that it should have, or
        # a panic whose code Solidity does not know.
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise MalformedReply(
                f"{self.name} gave an answer that cannot be read ({type(error).__name__})"
            ) from error

    def rpc(self, method: str, parameters: list[Any]) -> Any:
        """Calls a method that only this kind of node has, such as `evm_mine`."""
        with self.guarded():
            response = self.web3.provider.make_request(RPCEndpoint(method), parameters)
        if "error" in response:
            raise ChainError(f"{self.name} refused {method}: {response['error']}.")
        return response.get("result")

    def _ask(self, method: str, *parameters: Any) -> Any:
        """Gives the result as the node wrote it; only `replies` knows what it may be."""
        return self.web3.manager.request_blocking(RPCEndpoint(method), list(parameters))

    def ask_many(
        self, questions: Sequence[tuple[str, list[Any]]], read: Callable[[Any], T] = _as_it_is
    ) -> list[T]:
        """Asks several questions in one request, each a method and its parameters, and gives what
        `read` makes of each answer, in their order. What the node refuses of it is asked alone.
        Where it takes fewer questions at a time, they are asked in several requests."""
        found: list[T] = []
        with self.guarded():
            while len(found) < len(questions):
                part = questions[len(found) : len(found) + self._together.size]
                found += map(read, self._results(part))
        return found

    def _results(self, questions: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Gives the results of some questions; of none, where they are too many at a time."""
        if len(questions) == 1:
            [(method, parameters)] = questions
            result = self._ask(method, *parameters)
            self._together.given(1)
            return [result]
        replies_ = self._batch(questions)
        return [
            self._ask(method, *rest) if "error" in reply else reply["result"]
            for (method, rest), reply in zip(questions, replies_, strict=False)  # all, or none
        ]

    def _batch(self, questions: Sequence[tuple[str, list[Any]]]) -> list[RPCResponse]:
        """Gives the reply to each question; none, where they are too many at a time."""
        try:
            replies_ = batch(self.web3.provider, questions)
        except CannotBatch:
            self._together.refused(len(questions))
            return []
        except (RequestException, OSError) as error:
            if len(questions) <= FEW < self._together.size and not isinstance(error, TooLong):
                raise
            # Some nodes count each question, and are busy or silent where these are too many.
            self._together.refused(len(questions))
            self._ask("eth_blockNumber")  # raises where the node is down
            return []
        self._together.given(len(questions))
        return replies_

    def on_head(self, call: Callable[[], None]) -> None:
        """Has a thread `call` whenever the chain has a new block, where the node tells of them."""
        if self._heads is not None:
            self._heads.start(call)

    def hang_up(self) -> None:
        """Has all questions fail from now on, those too whose answers are waited for. It may be
        called by any thread and by a signal's handler."""
        self._line.cut()

    def block(self, number: int | str) -> Block:
        """Gives a block by its number, or as a tag names it. Raises NotFound."""
        place = number if isinstance(number, str) else hex(number)
        with self.guarded():
            found = self._ask("eth_getBlockByNumber", place, False)
        return self._block(number, found)

    def blocks(self, numbers: Sequence[int]) -> list[Block]:
        """Gives the blocks of these numbers, in their order. Raises NotFound."""
        asked: list[tuple[str, list[Any]]] = [
            ("eth_getBlockByNumber", [hex(number), False]) for number in numbers
        ]
        found: list[Any] = self.ask_many(asked)
        return list(map(self._block, numbers, found))

    def times(self, numbers: Iterable[int]) -> dict[int, int]:
        """Gives the time, in seconds, of each of these blocks."""
        return {block.number: block.time for block in self.blocks(sorted(numbers))}

    def _block(self, number: int | str, found: Any) -> Block:
        """Reads what was found for a number or a tag."""
        if found is None:
            raise NotFound(f"{self.name} has no block {number}.")
        with self.guarded():
            block = replies.block(found)
        if isinstance(number, int) and block.number != number:
            raise MalformedReply(f"{self.name} gave block {block.number} for block {number}.")
        return block

    def logs(
        self,
        addresses: Sequence[Address],
        first: int,
        last: int,
        subject: bytes | None = None,
        topic: bytes | None = None,
    ) -> Sequence[Log]:
        """Gives all logs of `addresses` in blocks `first` to `last`, both included. With `subject`
        it gives only those that have it as their first indexed argument, with `topic` only those of
        that event."""
        query = _query(addresses, topic, subject) | _blocks(first, last)
        with self.guarded():
            return replies.logs(self._ask("eth_getLogs", query))

    def logs_of(
        self, block_hash: bytes, addresses: Sequence[Address], topic: bytes | None = None
    ) -> Sequence[Log]:
        """Gives all logs of `addresses` in the block of that hash. Not every node can."""
        query = _query(addresses, topic) | {"blockHash": "0x" + block_hash.hex()}
        with self.guarded():
            return replies.logs(self._ask("eth_getLogs", query))

    def logs_of_each(
        self, block_hashes: Sequence[bytes], addresses: Sequence[Address]
    ) -> list[Sequence[Log]]:
        """Gives what `logs_of` gives of each block, in their order."""
        query = _query(addresses, None)
        hashes = ["0x" + each.hex() for each in block_hashes]
        return self.ask_many(
            [("eth_getLogs", [query | {"blockHash": each}]) for each in hashes], replies.logs
        )

    def logs_until(
        self,
        addresses: Sequence[Address],
        first: int,
        last: int,
        subject: bytes | None = None,
    ) -> tuple[Block, Sequence[Log]]:
        """Gives the logs of a range and its last block, of one node: behind a URL there may be
        several, one of which has no such block and no logs of it. Raises NotFound then."""
        query = _query(addresses, None, subject) | _blocks(first, last)
        asked: list[tuple[str, list[Any]]] = [
            ("eth_getBlockByNumber", [hex(last), False]),
            ("eth_getLogs", [query]),
        ]
        with self.guarded():
            found = self._batch(asked) if self._together.size >= len(asked) else []
            if found:
                block, logs = map(_result, found)
                return self._block(last, block), replies.logs(logs)
        before = self.block(last)
        one_by_one = self.logs(addresses, first, last, subject)
        if self.block(last).hash != before.hash:
            raise NotFound(f"{self.name} had another block {last} a moment ago.")
        return before, one_by_one

    def outcomes(self, block: int) -> Sequence[Outcome]:
        """Gives the receipts of all transactions in a block, in order. Not every node can."""
        with self.guarded():
            return replies.outcomes(self._ask("eth_getBlockReceipts", hex(block)))

    def outcome(self, transaction: bytes) -> Outcome:
        with self.guarded():
            found = self._ask("eth_getTransactionReceipt", "0x" + transaction.hex())
            return replies.outcome(found)

    def height(self) -> int:
        with self.guarded():
            return replies.amount(self._ask("eth_blockNumber"))

    def call(self, call: Call, sender: Address | None = None) -> bytes:
        with self.guarded():
            return bytes(self.web3.eth.call(_fields(call, sender)))  # type: ignore[arg-type]

    def estimate(self, call: Call, sender: Address) -> int:
        """Estimates the gas. Raises Reverted where the call would fail in the next block. Not every
        node estimates on the block that is to come, or on one that is named."""
        first: ChainError | None = None
        for block in _ESTIMATED[_ESTIMATED.index(self.estimation_block) :]:
            try:
                gas = self._estimate(call, sender, block)
            except (Reverted, RpcUnavailable):
                raise
            except ChainError as error:
                first = first or error
            else:
                self.estimation_block = block
                return gas
        assert first is not None
        raise first

    def estimates(self, calls: Sequence[Call], sender: Address) -> list[int | None]:
        """Estimates several calls in one request. Gives None for one that the node does not
        estimate that way: `estimate` says why."""
        block = [] if self.estimation_block is None else [self.estimation_block]
        asked = [("eth_estimateGas", [_as_sent(call, sender), *block]) for call in calls]
        return self._each(asked, replies.amount)

    def _each(
        self, questions: Sequence[tuple[str, list[Any]]], read: Callable[[Any], T]
    ) -> list[T | None]:
        """Asks several questions in as few requests as the node takes. Gives None for what it
        refuses of them, or answers so that it cannot be read, and for all where it takes one at a
        time."""
        found: list[T | None] = []
        with self.guarded():
            while len(questions) - len(found) > 1 and self._together.size > 1:
                part = questions[len(found) : len(found) + self._together.size]
                replies_ = self._batch(part)
                found += [_read_if_good(each, read) for each in replies_]
                if not replies_:  # it may take fewer of the rest
                    found += [None] * len(part)
        return found + [None] * (len(questions) - len(found))

    def _estimate(self, call: Call, sender: Address, block: str | None) -> int:
        fields = _fields(call, sender)
        with self.guarded():
            return replies.amount(self.web3.eth.estimate_gas(fields, block))  # type: ignore[arg-type]

    def broadcast(self, raw: bytes) -> None:
        with self.guarded():
            self.web3.eth.send_raw_transaction(raw)

    def hand_over(self, raws: Sequence[bytes]) -> list[bool]:
        """Broadcasts several transactions in one request, and says which of them the node took; of
        the others `broadcast` says why it does not."""
        asked = [("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws]
        return [taken is not None for taken in self._each(asked, _as_it_is)]

    def knows(self, transaction: bytes) -> bool:
        """Says whether the node has the transaction, mined or waiting."""
        with self._unless_unknown():
            return self._transaction(transaction) is not None
        return False

    def receipt(self, transaction: bytes) -> Receipt | None:
        with self._unless_unknown():
            found = self._ask("eth_getTransactionReceipt", "0x" + transaction.hex())
            receipt = None if found is None else replies.receipt(found)
            if receipt is not None and receipt.transaction != transaction:
                raise Unreadable(f"it is of 0x{receipt.transaction.hex()}")
            if receipt is not None and receipt.block > (head := self.height()) + AHEAD:
                raise Unreadable(f"it is of block {receipt.block}, and the last is {head}")
            return receipt
        return None

    def receipts(self, transactions: Sequence[bytes]) -> "list[Receipt | None]":
        """Gives the receipts of several transactions, as `receipt` does."""
        asked = [("eth_getTransactionReceipt", ["0x" + each.hex()]) for each in transactions]
        found = self._each(asked, lambda reply: None if reply is None else replies.receipt(reply))
        last = self.height() + AHEAD if any(found) else 0
        return [
            it if it and it.transaction == each and it.block <= last else self.receipt(each)
            for each, it in zip(transactions, found, strict=True)
        ]

    def transactions(self, number: int) -> Sequence[bytes]:
        """Gives the hashes of all transactions in a block."""
        return self.block(number).transactions

    def sender_of(self, transaction: bytes) -> Address:
        with self.guarded():
            found = self._transaction(transaction)
            if found is None:
                raise NotFound(f"{self.name} has no transaction 0x{transaction.hex()}.")
            return replies.sender(found)

    def nonce(self, account: Address) -> int:
        """Counts the transactions of `account` that are mined."""
        with self.guarded():
            found = self._ask("eth_getTransactionCount", account, "latest")
            return replies.number(found, replies.MOST_COUNT)

    def gas_price(self) -> Wei:
        """Gives what a transaction pays now, per gas."""
        with self.guarded():
            return replies.price(self._ask("eth_gasPrice"))

    def fees(self) -> Fees:
        base = self.block("latest").base_fee
        if base is None:
            return Fees(self.gas_price(), None)
        # However wrong a node is about what others pay.
        priority = min(self._tip(base), max(MOST_TIP, MOST_TIPS * base))
        # Twice the base fee stays valid for six full blocks in a row.
        return Fees(Wei(2 * base + priority), Wei(priority))

    def _tip(self, base: Wei) -> int:
        """Gives what is paid a gas above the base fee, as the node proposes it, or as others paid
        in the last blocks, or as it stands in the gas price."""
        for ask in (self._proposed_tip, self._paid_tip):
            try:
                return ask()
            except RpcUnavailable:
                raise
            except ChainError:  # not every node knows such a method
                continue
        return max(0, self.gas_price() - base)

    def _proposed_tip(self) -> int:
        with self.guarded():
            return replies.price(self._ask("eth_maxPriorityFeePerGas"))

    def _paid_tip(self) -> int:
        with self.guarded():
            found = self._ask("eth_feeHistory", hex(_BLOCKS), "latest", [50])
            return replies.middle_tip(found)

    def code(self, account: Address) -> bytes:
        with self.guarded():
            return replies.data(self._ask("eth_getCode", account, "latest"))

    def balance(self, account: Address) -> Wei:
        with self.guarded():
            return Wei(replies.number(self._ask("eth_getBalance", account, "latest")))

    def _transaction(self, transaction: bytes) -> Any:
        return self._ask("eth_getTransactionByHash", "0x" + transaction.hex())

    @contextmanager
    def _unless_unknown(self) -> Iterator[None]:
        """Passes over a NotFound, which some nodes and libraries say in place of nothing."""
        with suppress(NotFound), self.guarded():
            yield


def open_node(url: str, is_alone: bool = True) -> Chain:
    """Connects to the node at an http(s) or ws(s) URL. Raises RpcUnavailable for any other. Where
    others can be asked instead, one that is not alone is not asked again and again."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise RpcUnavailable(
            f"{_shown(url)!r} is no RPC URL: give http://host:port, https://host/… or wss://host/…."
        )
    line, heads = Line(), None
    if parts.scheme in ("ws", "wss"):
        web3 = Web3(Socket(url, line))
        heads = Heads(url, line)
    else:
        web3 = Web3(http(url, line, is_alone))
    # Chains with proof of authority put more into a block's extra data than web3 allows.
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    web3.middleware_onion.remove("attrdict")  # only `replies` reads what a node says
    return Chain(web3, url, f"the node at {mask(url)}", line, heads)


def mask(url: str) -> str:
    """Gives the URL without what may be a secret: user, password, path and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _shown(text: str) -> str:
    """Gives what was taken for a URL, without what may be a secret in it."""
    return re.split(r"[/?#]", text.rpartition("@")[2])[0] if "://" not in text else mask(text)


def _fields(call: Call, sender: Address | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"data": call.data, "value": call.value}
    if call.to is not None:
        fields["to"] = call.to
    if sender is not None:
        fields["from"] = sender
    return fields


def _as_sent(call: Call, sender: Address) -> dict[str, str]:
    """Gives a call's fields as JSON-RPC has them."""
    fields = {"from": str(sender), "data": "0x" + call.data.hex(), "value": hex(call.value)}
    return fields if call.to is None else fields | {"to": str(call.to)}


def _read_if_good(reply: RPCResponse, read: Callable[[Any], T]) -> T | None:
    """Gives None for a refusal, and for what cannot be read: the rest is good for all that."""
    try:
        return None if "error" in reply else read(reply["result"])
    except (Unreadable, LookupError):
        return None


def _result(reply: RPCResponse) -> Any:
    if reply.get("error") is not None:
        raise Web3RPCError(str(reply["error"]), rpc_response=reply)
    return reply["result"]


def _query(
    addresses: Sequence[Address], topic: bytes | None, subject: bytes | None = None
) -> dict[str, Any]:
    """Gives what is asked of logs, without the blocks."""
    wanted = (topic, None if subject is None else word(subject))
    topics = [None if each is None else "0x" + each.hex() for each in wanted]
    while topics and topics[-1] is None:
        topics.pop()
    return {"address": list(addresses)} | ({"topics": topics} if topics else {})


def word(subject: bytes) -> bytes:
    """Gives an id or an account as an indexed argument has it."""
    return subject.rjust(32, b"\0")


def _blocks(first: int, last: int) -> dict[str, str]:
    return {"fromBlock": hex(first), "toBlock": hex(last)}


def _message(error: Exception) -> str:
    """Gives the node's own words where it has some; web3's tell nobody anything."""
    response = getattr(error, "rpc_response", None)
    detail = response.get("error") if isinstance(response, Mapping) else None
    words = detail.get("message") if isinstance(detail, Mapping) else None
    return visible(str(words or getattr(error, "message", None) or error), MAX_WORDS)


def _revert_data(data: object) -> bytes:
    if isinstance(data, Mapping):
        data = data.get("data", "0x")
    if not isinstance(data, str):
        return b""
    try:
        return bytes(HexBytes(data))
    except ValueError:
        return b""


def _error_data(error: Web3RPCError) -> bytes | None:
    """Finds what was reverted with in the error of a node that reports a revert like any other
    error."""
    response = error.rpc_response
    detail = response.get("error") if response else None
    if isinstance(detail, Mapping) and isinstance(detail.get("data"), str):
        return _revert_data(detail["data"])
    return None
