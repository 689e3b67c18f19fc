"""Several nodes of one chain, as one: a question goes to the best that answers, and a transaction
to all.

Nodes fail in more ways than by silence. One whose head lags, or stands still while others' move, is
not asked about what is now; one that takes another chain's id is not asked, nor sent to, any more.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from threading import RLock
from typing import Any, TypeVar

import structlog
from eth_utils import keccak
from web3 import Web3

from oracle.chain import replies
from oracle.chain.lines import in_background
from oracle.chain.node import Call, Chain, Fees, mask, open_node
from oracle.chain.replies import Block, Log, Outcome, Receipt
from oracle.errors import (
    ChainError,
    MalformedReply,
    NotFound,
    Reverted,
    RpcUnavailable,
    WrongChain,
)
from oracle.types import Address, Wei

log = structlog.get_logger()

LOOK = 5.0  # seconds between two looks at each node
START = 5.0  # seconds in which all nodes may say which chain theirs is, once one of them did
MAX_LAG, LAG_SECONDS = 3, 5  # blocks and seconds behind the best head that are no failing
STILL = 60.0  # seconds behind the best head without a new block, which are one
FRESH = 60.0  # seconds for which others are held against a head of a node that fell silent
REST, LONGEST_REST = 1.0, 60.0  # seconds until a node that failed is tried again, at first and most

T = TypeVar("T")


class Lags(ChainError):
    """A node answered with a head that lags."""


class State(StrEnum):
    """How a node does, the best first."""

    UP = "up"
    LAGGING = "lagging"  # it answers, about what was
    RESTING = "resting"  # it failed
    FOREIGN = "of another chain"  # for good


@dataclass(frozen=True, slots=True)
class Health:
    """How a node does, by its masked name."""

    name: str
    state: State
    head: int | None  # None until it first answered
    lag: int  # blocks behind the best head
    still: float  # seconds since its head was seen to move
    errors: int  # in a row
    lacks_logs_before: int  # block; 0 where no logs were found to be missing


@dataclass
class _Member:
    """One node, and what is known about it."""

    url: str
    name: str
    chain: Chain | None = None  # None until it first answered
    head: Block | None = None
    seen_at: float = 0.0  # when that was its head
    moved_at: float = 0.0
    errors: int = 0
    why: str = "it has not answered yet"
    rests_until: float = 0.0
    next_look: float = 0.0
    looking: "Future[None] | None" = None
    is_foreign: bool = False
    is_left: bool = False  # as the log says
    lacks_logs_before: int = 0


class Nodes(Chain):
    """A chain seen by several nodes. Those named first are preferred."""

    def __init__(
        self,
        urls: Sequence[str],
        open_: Callable[[str], Chain] = lambda url: open_node(url, is_alone=False),
        clock: Callable[[], float] = time.monotonic,
    ):
        self.url = " ".join(urls)
        self._open = open_
        self._clock = clock
        self._lock = RLock()
        self._is_ended = False
        self._members = [_Member(url, f"the node at {mask(url)}") for url in dict.fromkeys(urls)]
        self._call: Callable[[], None] | None = None  # at each new block
        self.id = 0
        self._start()

    def _start(self) -> None:
        """Opens all nodes. Raises RpcUnavailable where none answers, and WrongChain where they are
        of several chains."""
        looks = [self._look(member) for member in self._members]
        for _ in as_completed(looks):
            if any(member.chain for member in self._members):
                break
        wait(looks, START)
        with self._lock:
            found = [member for member in self._members if member.chain is not None]
            if not found:
                raise self._nobody()
            first = found[0]
            self.id = _id(first)
            for other in found[1:]:
                if _id(other) != self.id:
                    raise WrongChain(
                        f"{first.name} is of chain {self.id}, {other.name} of {_id(other)}."
                    )
            self._judge()

    # Which node.

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._preferred().name

    @property
    def web3(self) -> Web3:  # type: ignore[override]
        return self._preferred().web3

    @property
    def each(self) -> Sequence[Chain]:
        """The nodes that answered once and are of this chain, to be asked one by one."""
        return [each.chain for each in self._members if each.chain and not each.is_foreign]

    def guarded(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._preferred().guarded()

    def _preferred(self) -> Chain:
        chain = self._ranked()[0].chain
        assert chain is not None
        return chain

    def health(self) -> list[Health]:
        with self._lock:
            now, best = self._clock(), self._best()
            return [
                Health(
                    name=member.name,
                    state=self._state(member),
                    head=None if member.head is None else member.head.number,
                    lag=_blocks_behind(member, best),
                    still=now - member.moved_at if member.head else 0.0,
                    errors=member.errors,
                    lacks_logs_before=member.lacks_logs_before,
                )
                for member in self._members
            ]

    def look(self) -> None:
        """Looks at every node now, and waits until each has answered or failed."""
        wait([self._look(member) for member in self._members if not member.is_foreign])

    def hang_up(self) -> None:
        self._is_ended = True
        for member in self._members:
            if member.chain is not None:
                member.chain.hang_up()

    def on_head(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._call = call
            for member in self._members:
                if member.chain is not None:
                    member.chain.on_head(call)

    # Questions about what is now.

    def rpc(self, method: str, parameters: list[Any]) -> Any:
        return self._first(lambda chain: chain.rpc(method, parameters))

    def ask_many(
        self, questions: Sequence[tuple[str, list[Any]]], read: Callable[[Any], T] = lambda it: it
    ) -> list[T]:
        return self._first(lambda chain: chain.ask_many(questions, read))

    def call(self, call: Call, sender: Address | None = None) -> bytes:
        return self._first(lambda chain: chain.call(call, sender))

    def estimate(self, call: Call, sender: Address) -> int:
        return self._first(lambda chain: chain.estimate(call, sender))

    def estimates(self, calls: Sequence[Call], sender: Address) -> list[int | None]:
        return self._first(lambda chain: chain.estimates(calls, sender))

    def nonce(self, account: Address) -> int:
        return self._first(lambda chain: chain.nonce(account))

    def height(self) -> int:
        return self.block("latest").number

    def gas_price(self) -> Wei:
        return self._first(lambda chain: chain.gas_price())

    def fees(self) -> Fees:
        return self._first(lambda chain: chain.fees())

    def code(self, account: Address) -> bytes:
        return self._first(lambda chain: chain.code(account))

    def balance(self, account: Address) -> Wei:
        return self._first(lambda chain: chain.balance(account))

    # Questions about what one node may lack that another has.

    def block(self, number: int | str) -> Block:
        if number == "latest":
            return self._first_member(self._head)
        is_about_now = isinstance(number, str)
        return self._first(lambda chain: chain.block(number), is_about_now)

    def blocks(self, numbers: Sequence[int]) -> list[Block]:
        if not numbers:
            return []  # or who was asked nothing would seem to have answered
        return self._first(lambda chain: chain.blocks(numbers), is_about_now=False)

    def logs(
        self,
        addresses: Sequence[Address],
        first: int,
        last: int,
        subject: bytes | None = None,
        topic: bytes | None = None,
    ) -> Sequence[Log]:
        return self._first_of_logs(
            first, last, lambda chain: chain.logs(addresses, first, last, subject, topic)
        )

    def logs_until(
        self,
        addresses: Sequence[Address],
        first: int,
        last: int,
        subject: bytes | None = None,
    ) -> tuple[Block, Sequence[Log]]:
        return self._first_of_logs(
            first, last, lambda chain: chain.logs_until(addresses, first, last, subject)
        )

    def logs_of(
        self, block_hash: bytes, addresses: Sequence[Address], topic: bytes | None = None
    ) -> Sequence[Log]:
        return self._first(
            lambda chain: chain.logs_of(block_hash, addresses, topic), is_about_now=False
        )

    def logs_of_each(
        self, block_hashes: Sequence[bytes], addresses: Sequence[Address]
    ) -> list[Sequence[Log]]:
        return self._first(
            lambda chain: chain.logs_of_each(block_hashes, addresses), is_about_now=False
        )

    def outcomes(self, block: int) -> Sequence[Outcome]:
        return self._first(lambda chain: chain.outcomes(block), is_about_now=False)

    def outcome(self, transaction: bytes) -> Outcome:
        return self._first(lambda chain: chain.outcome(transaction), is_about_now=False)

    def _first_of_logs(self, first: int, last: int, question: Callable[[Chain], T]) -> T:
        """Asks for logs of blocks that a node says it has. One that refuses what another gives is
        asked last about blocks as old."""
        refused: list[_Member] = []

        def ask(member: _Member) -> T:
            assert member.chain is not None
            self._require(member, last)
            try:
                return question(member.chain)
            except (RpcUnavailable, MalformedReply, NotFound):
                raise
            except ChainError:
                refused.append(member)
                raise

        found = self._first_member(ask, last=lambda member: first < member.lacks_logs_before)
        for member in refused:
            member.lacks_logs_before = max(member.lacks_logs_before, last + 1)
        return found

    def knows(self, transaction: bytes) -> bool:
        return self._find(lambda chain: chain.knows(transaction) or None) is not None

    def receipt(self, transaction: bytes) -> Receipt | None:
        return self._find(lambda chain: chain.receipt(transaction))

    def receipts(self, transactions: Sequence[bytes]) -> list[Receipt | None]:
        found = self._first(lambda chain: chain.receipts(transactions))
        return [
            self.receipt(transaction) if receipt is None else receipt
            for transaction, receipt in zip(transactions, found, strict=True)
        ]

    def sender_of(self, transaction: bytes) -> Address:
        return self._first(lambda chain: chain.sender_of(transaction), is_about_now=False)

    def _find(self, question: Callable[[Chain], T | None]) -> T | None:
        """Asks one node after the other until one has it."""

        def ask(chain: Chain) -> T:
            found = question(chain)
            if found is None:
                raise NotFound(f"{chain.name} does not have it.")
            return found

        try:
            return self._first(ask, is_about_now=False)
        except NotFound:
            return None

    def _require(self, member: _Member, number: int) -> None:
        """Raises NotFound where a node's head is below a block: it gives no logs of that one, and
        does not say so."""
        if member.head is None or member.head.number < number:
            self._look_at(member)
        if member.head is None or member.head.number < number:
            raise NotFound(f"{member.name} has no block {number} yet.")

    # Transactions.

    def hand_over(self, raws: Sequence[bytes]) -> list[bool]:
        """Takes none: each is for all nodes at once."""
        return [False] * len(raws)

    def broadcast(self, raw: bytes) -> None:
        """Hands a transaction to all nodes at once, and waits until one of them took it."""
        self._look_where_due()
        members = self._ranked()
        up = [member for member in members if not member.errors] or members
        refusal: ChainError | None = None
        for done in as_completed([in_background(partial(self._send, to, raw)) for to in up]):
            error = done.exception()
            if error is None:
                return
            if not isinstance(error, ChainError):
                raise error
            if not isinstance(error, (RpcUnavailable, MalformedReply, WrongChain)):
                refusal = refusal or error
        # Nodes have no common word for "known already": whether one has it is what counts.
        if refusal is None or not self.knows(keccak(raw)):
            raise refusal or self._nobody()

    def _send(self, member: _Member, raw: bytes) -> None:
        assert member.chain is not None
        try:
            # No node is handed a transaction that has become another chain's.
            self._check_id(member, *member.chain.ask_many([("eth_chainId", [])], replies.chain_id))
            member.chain.broadcast(raw)
            self._succeed(member)
        except (RpcUnavailable, MalformedReply) as error:
            self._fail(member, error)
            raise

    # Asking.

    def _first(self, question: Callable[[Chain], T], is_about_now: bool = True) -> T:
        def ask(member: _Member) -> T:
            assert member.chain is not None
            return question(member.chain)

        return self._first_member(ask, is_about_now)

    def _first_member(
        self,
        question: Callable[[_Member], T],
        is_about_now: bool = True,
        last: Callable[[_Member], bool] = lambda _: False,
    ) -> T:
        """Asks one node after the other until one answers. A revert is an answer. What one refuses,
        or lacks, may be another's to give: the first refusal is raised where all refuse."""
        self._look_where_due()
        refusal: ChainError | None = None
        for member in sorted(self._ranked(), key=last):
            if refusal is not None and member.errors:
                continue
            try:
                if is_about_now and self._lag(member):
                    self._head(member)  # it may have caught up
                answer = question(member)
            except Reverted:
                self._succeed(member)
                raise
            except WrongChain:
                continue
            except Lags:
                self._succeed(member)
            except (RpcUnavailable, MalformedReply) as error:
                self._fail(member, error)
            except ChainError as error:
                refusal = refusal or error
            else:
                self._succeed(member)
                return answer
        raise refusal or self._nobody()

    def _ranked(self) -> list[_Member]:
        """Gives whom to ask, best first: those that are up, those that lag, and those that failed,
        as they may have recovered."""
        with self._lock:
            order = list(State)
            usable = [each for each in self._members if each.chain and not each.is_foreign]
            if not usable:
                raise self._nobody()
            return sorted(usable, key=lambda member: order.index(self._state(member)))

    def _nobody(self) -> ChainError:
        """Says why there is nobody to be asked."""
        if all(member.is_foreign for member in self._members):
            return WrongChain(f"All nodes are of another chain than {self.id} now.")
        said = "; ".join(f"{each.name}: {self._why(each)}" for each in self._members)
        return RpcUnavailable(f"No node can be asked: {said}")

    # Looking.

    def _look_where_due(self) -> None:
        now = self._clock()
        for member in self._members:
            if now >= max(member.next_look, member.rests_until) and not member.is_foreign:
                self._look(member)

    def _look(self, member: _Member) -> "Future[None]":
        """Looks at a node in the background, unless that is being done: it may take its time."""
        with self._lock:
            if member.looking is None or member.looking.done():
                member.next_look = self._clock() + LOOK
                member.looking = in_background(partial(self._try_to_look_at, member))
            return member.looking

    def _try_to_look_at(self, member: _Member) -> None:
        try:
            self._look_at(member)
        except ChainError as error:
            self._fail(member, error)
        else:
            self._succeed(member)

    def _look_at(self, member: _Member) -> Block:
        """Gives a node's head, and takes note of it. Raises WrongChain where its id is another."""
        if member.chain is None:
            chain = self._open(member.url)
            with self._lock:
                member.chain = chain
                if self._is_ended:
                    chain.hang_up()
                elif self._call is not None:
                    chain.on_head(self._call)
        latest = ("eth_getBlockByNumber", ["latest", False])
        found: list[Any] = member.chain.ask_many([("eth_chainId", []), latest])
        with member.chain.guarded():
            id_, head = replies.chain_id(found[0]), replies.block(found[1])
        if self.id:
            self._check_id(member, id_)
        with self._lock:
            now = self._clock()
            if member.head is None or member.head.number != head.number:
                member.moved_at = now
            member.head, member.seen_at, member.next_look = head, now, now + LOOK
        return head

    def _check_id(self, member: _Member, id_: int) -> None:
        if id_ == self.id:
            return
        with self._lock:
            member.is_foreign, member.why = True, f"it is of chain {id_} now, not {self.id}"
            self._judge()
        raise WrongChain(f"{member.name} is of chain {id_} now, not {self.id}.")

    def _head(self, member: _Member) -> Block:
        """Gives a node's head, unless it lags."""
        head = self._look_at(member)
        if self._lag(member):
            raise Lags(f"{member.name} is at block {head.number} only.")
        return head

    # Judging.

    def _succeed(self, member: _Member) -> None:
        with self._lock:
            member.errors, member.rests_until = 0, 0.0
            self._judge()

    def _fail(self, member: _Member, error: ChainError) -> None:
        with self._lock:
            if member.is_foreign or self._is_ended:
                return
            member.errors += 1
            member.why = str(error)
            rest = min(REST * 2 ** min(member.errors - 1, 16), LONGEST_REST)
            member.rests_until = self._clock() + rest
            self._judge()

    def _judge(self) -> None:
        """Says once of each node when it is left, and when it is taken back."""
        for member in self._members if self.id else []:
            is_left = self._state(member) is not State.UP
            if is_left and not member.is_left:
                log.warning("left a node", node=member.name, why=self._why(member))
            if member.is_left and not is_left:
                log.info("took a node back", node=member.name)
            member.is_left = is_left

    def _state(self, member: _Member) -> State:
        if member.is_foreign:
            return State.FOREIGN
        if member.errors or member.chain is None:
            return State.RESTING
        return State.LAGGING if self._lag(member) else State.UP

    def _why(self, member: _Member) -> str:
        return self._lag(member) or member.why

    def _lag(self, member: _Member) -> str:
        """Says how a node is behind the best; nothing where it is near enough. Time passed between
        the looks at the two, in which the chain went on."""
        best = self._best()
        if best is None or best.head is None or member.head is None:
            return ""
        blocks = _blocks_behind(member, best)
        seconds = best.head.time - member.head.time - (best.seen_at - member.seen_at)
        if blocks > MAX_LAG and seconds > LAG_SECONDS:
            return f"its head lags by {blocks} blocks"
        has_stood = member.moved_at <= best.moved_at  # what moved since is on its way
        if blocks > 0 and has_stood and member.seen_at - best.moved_at > STILL:
            return f"its head has stood still for {member.seen_at - member.moved_at:.0f} s"
        return ""

    def _best(self) -> _Member | None:
        """Gives the node with the highest head that was seen of late."""
        now = self._clock()
        seen = [each for each in self._members if each.head and now - each.seen_at <= FRESH]
        usable = [each for each in seen if not each.is_foreign]
        return max(usable, key=lambda each: each.head.number if each.head else 0, default=None)


def _id(member: _Member) -> int:
    assert member.chain is not None
    return member.chain.id


def _blocks_behind(member: _Member, best: _Member | None) -> int:
    if best is None or best.head is None or member.head is None:
        return 0
    return best.head.number - member.head.number
