"""A node, as the few questions that we ask it. Every failure leaves here as an OracleError."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from eth_typing import BlockIdentifier
from hexbytes import HexBytes
from requests import Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import LogReceipt, RPCEndpoint

from oracle.chain.errors import reverted
from oracle.errors import ChainError, NotFound, RpcUnavailable
from oracle.types import Address, Wei
from oracle.visible import visible

# A library of web3's sets it so high that an answer of many brackets overflows the stack of C.
sys.setrecursionlimit(1000)

MAX_ANSWER = 64 << 20  # bytes of a node's answer
MAX_WORDS = 300  # letters of what it says in words


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction asks of a contract; `to` is None for a new contract."""

    to: Address | None
    data: bytes
    value: Wei = Wei(0)


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    hash: bytes
    parent: bytes
    time: int  # seconds


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


@dataclass(frozen=True, slots=True)
class Receipt:
    transaction: bytes
    block: int
    succeeded: bool
    gas_used: int
    gas_price: Wei
    contract: Address | None
    logs: Sequence[LogReceipt]


class Chain:
    """One node of one chain."""

    # Where blocks are rare, the last one's time is long past.
    estimation_block: BlockIdentifier = "pending"
    log_span = 2000  # blocks in one query for logs
    is_embedded = False

    def __init__(self, web3: Web3, url: str, name: str):
        self.web3 = web3
        self.url = url  # may hold credentials: for a child process, never for a message
        self.name = name
        with self.guarded():
            self.id = int(web3.eth.chain_id)

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
        except (RequestException, OSError) as error:
            raise RpcUnavailable(
                f"{self.name} does not answer ({type(error).__name__}); is it up, is the URL right?"
            ) from error
        except Web3Exception as error:
            raise ChainError(f"{self.name}: {_message(error)}") from error
        # What web3 stumbles over when an answer is no JSON, not of the form that it should have, or
        # a panic whose code Solidity does not know.
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ChainError(
                f"{self.name} gave an answer that cannot be read ({type(error).__name__})"
            ) from error

    def rpc(self, method: str, parameters: list[Any]) -> Any:
        """Calls a method that only this kind of node has, such as `evm_mine`."""
        with self.guarded():
            response = self.web3.provider.make_request(RPCEndpoint(method), parameters)
        if "error" in response:
            raise ChainError(f"{self.name} refused {method}: {response['error']}.")
        return response.get("result")

    def block(self, number: BlockIdentifier) -> Block:
        with self.guarded():
            block = self.web3.eth.get_block(number)
            return Block(
                int(block["number"]),
                bytes(block["hash"]),
                bytes(block["parentHash"]),
                int(block["timestamp"]),
            )

    def logs(
        self, addresses: Sequence[Address], first: int, last: int, subject: bytes | None = None
    ) -> Sequence[LogReceipt]:
        """Gives all logs of `addresses` in blocks `first` to `last`, both included. With `subject`
        it gives only those that have it as their first indexed argument."""
        query: dict[str, Any] = {"address": list(addresses), "fromBlock": first, "toBlock": last}
        if subject is not None:
            query["topics"] = [None, "0x" + subject.rjust(32, b"\0").hex()]
        with self.guarded():
            return self.web3.eth.get_logs(query)  # type: ignore[arg-type]

    def call(self, call: Call, sender: Address | None = None) -> bytes:
        with self.guarded():
            return bytes(self.web3.eth.call(_fields(call, sender)))  # type: ignore[arg-type]

    def estimate(self, call: Call, sender: Address) -> int:
        """Estimates the gas. Raises Reverted where the call would fail in the next block."""
        fields = _fields(call, sender)
        with self.guarded():
            return int(self.web3.eth.estimate_gas(fields, self.estimation_block))  # type: ignore[arg-type]

    def broadcast(self, raw: bytes) -> None:
        with self.guarded():
            self.web3.eth.send_raw_transaction(raw)

    def knows(self, transaction: bytes) -> bool:
        """Says whether the node has the transaction, mined or waiting."""
        try:
            with self.guarded():
                self.web3.eth.get_transaction(HexBytes(transaction))
        except NotFound:
            return False
        return True

    def receipt(self, transaction: bytes) -> Receipt | None:
        try:
            with self.guarded():
                receipt = self.web3.eth.get_transaction_receipt(HexBytes(transaction))
                contract = receipt.get("contractAddress")
                return Receipt(
                    transaction=transaction,
                    block=int(receipt["blockNumber"]),
                    succeeded=receipt["status"] == 1,
                    gas_used=int(receipt["gasUsed"]),
                    gas_price=Wei(int(receipt.get("effectiveGasPrice", 0))),
                    contract=Address(contract) if contract else None,
                    logs=receipt["logs"],
                )
        except NotFound:
            return None

    def transactions(self, number: int) -> Sequence[bytes]:
        """Gives the hashes of all transactions in a block."""
        with self.guarded():
            return [bytes(each) for each in self.web3.eth.get_block(number)["transactions"]]  # type: ignore[arg-type]

    def sender_of(self, transaction: bytes) -> Address:
        with self.guarded():
            return Address(self.web3.eth.get_transaction(HexBytes(transaction))["from"])

    def nonce(self, account: Address) -> int:
        """Counts the transactions of `account` that are mined."""
        with self.guarded():
            return int(self.web3.eth.get_transaction_count(account, "latest"))  # type: ignore[arg-type]

    def gas_price(self) -> Wei:
        """Gives what a transaction pays now, per gas."""
        with self.guarded():
            return Wei(int(self.web3.eth.gas_price))

    def fees(self) -> Fees:
        with self.guarded():
            base = self.web3.eth.get_block("latest").get("baseFeePerGas")
            if base is None:
                return Fees(Wei(self.web3.eth.gas_price), None)
            priority = self.web3.eth.max_priority_fee
            # Twice the base fee stays valid for six full blocks in a row.
            return Fees(Wei(2 * base + priority), Wei(priority))

    def code(self, account: Address) -> bytes:
        with self.guarded():
            return bytes(self.web3.eth.get_code(account))  # type: ignore[arg-type]

    def balance(self, account: Address) -> Wei:
        with self.guarded():
            return Wei(int(self.web3.eth.get_balance(account)))  # type: ignore[arg-type]


def http_chain(url: str) -> Chain:
    """Connects to the node at an http(s) URL. Raises RpcUnavailable for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RpcUnavailable(
            f"{_shown(url)!r} is no RPC URL: give http://host:port or https://host/…."
        )
    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}, session=_bounded_session()))
    # Chains with proof of authority put more into a block's extra data than web3 allows.
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return Chain(web3, url, f"the node at {mask(url)}")


class _Bounded(HTTPAdapter):
    """Stops reading what no node has to say: an answer that would fill the memory. Whoever asked
    for many logs asks for fewer then."""

    def send(self, *arguments: Any, **options: Any) -> Response:
        response = super().send(*arguments, **options)
        stream = response.raw.stream

        def bounded(*arguments: Any, **options: Any) -> Iterator[bytes]:
            taken = 0
            for chunk in stream(*arguments, **options):
                taken += len(chunk)
                if taken > MAX_ANSWER:
                    raise RequestException(f"an answer of more than {MAX_ANSWER} bytes")
                yield chunk

        response.raw.stream = bounded
        return response


def _bounded_session() -> Session:
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded())
    return session


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
