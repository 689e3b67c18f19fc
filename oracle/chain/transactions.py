"""Transactions out: signed, recorded before they leave, and followed until their block is final.

What is recorded can be sent again and again and still happens once: the raw transaction carries its
nonce. So a crash between any two lines here loses nothing and sends nothing twice; and what a block
took along that was replaced is waited for again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from itertools import count, islice
from typing import Any, Generic, Protocol, TypeVar

import structlog

from oracle.chain.keys import Signer
from oracle.chain.node import AHEAD, Call, Chain, Fees
from oracle.chain.replies import Receipt
from oracle.errors import ChainError, FeeAboveCap, NoRoom, Reverted, RpcUnavailable, TooDear
from oracle.types import Wei

log = structlog.get_logger()

GAS_MARGIN = 115  # percent of the estimate: state may move between the estimate and the block
# At once: nodes promise an account room for 16, and keep more where there is any. What they drop is
# offered again.
MAX_WAITING = 64
MOST_GAS = 1 << 24  # of one transaction, since EIP-7825: no margin goes beyond it
RAISE = 25  # percent; nodes want at least 10 to replace a transaction
MAX_RAISE = 10  # times the going fee: what waits in spite of that waits for something else
RECEIPT_TIMEOUT = 120.0  # seconds
RESEND = 12.0  # seconds until a relay gets again what is not mined
LATE = 60.0  # seconds for which a receipt is waited for of what a node knows to have been sent
GIVE_UP = 60.0  # seconds after which what no node takes leaves its nonce to others
MOST_FILLED = 8  # free nonces in front of what waits that are filled: each costs gas


class Outcome(IntEnum):
    WAITING = 0
    SUCCEEDED = 1
    FAILED = 2  # mined, and reverted
    DISPLACED = 3  # another transaction took its nonce
    REFUSED = 4  # no node would take it: another takes its nonce, unless it is mined all the same


@dataclass(frozen=True, slots=True)
class Sent:
    """A signed transaction. Several may share a nonce, with rising fees; one of them is mined.
    `block` is the one that shows its outcome."""

    hash: bytes
    raw: bytes
    nonce: int
    gas: int
    fees: Fees
    call: Call
    sent_at: float  # seconds
    outcome: Outcome = Outcome.WAITING
    block: int | None = None


K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Parcel(Generic[K]):
    """A call to be sent for the duties `keys`. `spare` is gas that it may need beyond what it takes
    in simulation. Its gas, as it is paid now, may cost `most`."""

    call: Call
    keys: Sequence[K]
    spare: int = 0
    most: Wei | None = None


class Outbox(Protocol[K]):
    """Where transactions are recorded, each with the keys of what it does; the store's part."""

    def record(self, *given: tuple[Sent, Sequence[K]]) -> None: ...

    def together(self) -> AbstractContextManager[None]:
        """Keeps at once all that is kept inside."""
        ...

    def keys_of(self, hash_: bytes) -> Sequence[K]: ...

    def restless(self, mined: int, final: int) -> Sequence[Sent]:
        """Gives the transactions whose outcome is not final and of which there may be news, by
        nonce, and of each nonce the last sent one last; `mined` nonces are used, and blocks up to
        `final` are final."""
        ...

    def nonces(self, *outcomes: Outcome) -> Set[int]:
        """Gives the nonces of transactions with such an outcome, as far as it is not final."""
        ...

    def moved(self) -> Set[int]:
        """Gives the nonces whose transactions were mined in a block that was replaced since."""
        ...

    def mark(self, nonce: int, outcome: Outcome, block: int) -> None: ...

    def mark_mined(self, receipts: Mapping[int, Receipt]) -> None: ...

    def mark_waiting(self, nonce: int) -> None: ...

    def mark_one(self, hash_: bytes, outcome: Outcome) -> None: ...

    def finish(self, *nonces: int) -> None: ...


class Sender(Generic[K]):
    """Sends for one account. Nobody else may send for it meanwhile, or transactions are displaced
    (which costs time, never correctness)."""

    def __init__(
        self,
        chain: Chain,
        signer: Signer,
        outbox: Outbox[K],
        patience: float = 30.0,
        max_fee: Wei | None = None,
        relay: Chain | None = None,
    ):
        self.chain = chain
        self.signer = signer
        self.outbox = outbox
        self.patience = patience  # seconds before a waiting transaction's fee is raised
        self.max_fee = max_fee  # a gas: no transaction ever offers more
        self.relay = relay or chain  # where transactions go; what it keeps to itself, `chain` lacks
        self._handed_over: dict[bytes, float] = {}  # by hash: when
        self._said: set[bytes] = set()  # hashes of what waits at the cap
        self._refused: dict[int, float] = {}  # since when, by nonce: what the node does not take
        self._unshown: dict[int, float] = {}  # as well: what no receipt shows to be ours
        self._cut_off: dict[int, float] = {}  # as well: what too many free nonces are in front of

    def room(self, is_urgent: bool = True) -> int:
        """Says how many more transactions may wait; a quarter of the places is kept for what is
        urgent."""
        most = MAX_WAITING if is_urgent else MAX_WAITING - MAX_WAITING // 4
        return max(0, most - len(self.outbox.nonces(Outcome.WAITING)))

    def send(self, call: Call, keys: Sequence[K], now: float, spare: int = 0) -> Sent:
        """Sends one transaction as `send_all` does, and raises what keeps it from being sent."""
        [found] = self.send_all([Parcel(call, keys, spare)], now)
        if isinstance(found, ChainError):
            raise found
        return found

    def send_all(self, parcels: Sequence["Parcel[K]"], now: float) -> list[Sent | ChainError]:
        """Sends a transaction for each, and gives it, or what keeps it from being sent: Reverted
        where the call would fail, TooDear where it would cost more than it may, FeeAboveCap where
        gas costs more than is allowed, NoRoom where as many transactions wait as may."""
        waiting = self.outbox.nonces(Outcome.WAITING)
        room = max(0, MAX_WAITING - len(waiting))
        full: list[Sent | ChainError] = [NoRoom(MAX_WAITING, MAX_WAITING)] * (len(parcels) - room)
        parcels = parcels[:room]
        if not parcels:
            return full
        nonces = self._free_from(self.chain.nonce(self.signer.address))
        return [*self._send_with(nonces, parcels, now), *full]

    def _send_with(
        self, nonces: Iterator[int], parcels: Sequence["Parcel[K]"], now: float
    ) -> list[Sent | ChainError]:
        """Sends a transaction for each, as `send_all` does, with the next of these nonces."""
        try:
            fees = self._capped(self.chain.fees())
        except FeeAboveCap as error:
            return [error] * len(parcels)
        found = [self._packed(*each, fees, nonces, now) for each in self._estimated(parcels)]
        ready = [each for each in found if not isinstance(each, ChainError)]
        if ready:
            self.outbox.record(*ready)
            self._broadcast_all([sent for sent, _ in ready], now)
        return [each if isinstance(each, ChainError) else each[0] for each in found]

    def _free_from(self, first: int) -> Iterator[int]:
        """Yields the nonces that are free: what a reorganisation took back is waited for again, and
        what was refused for good must not block what comes after it."""
        taken = self.outbox.nonces(*(each for each in Outcome if each is not Outcome.REFUSED))
        return (each for each in count(first) if each not in taken)

    def _estimated(
        self, parcels: Sequence["Parcel[K]"]
    ) -> Iterator[tuple["Parcel[K]", int | ChainError]]:
        """Yields the gas of each, in simulation."""
        me = self.signer.address
        for parcel, gas in zip(
            parcels, self.chain.estimates([each.call for each in parcels], me), strict=True
        ):
            try:
                yield parcel, self.chain.estimate(parcel.call, me) if gas is None else gas
            except RpcUnavailable:
                raise
            except ChainError as error:
                yield parcel, error

    def _packed(
        self,
        parcel: "Parcel[K]",
        estimate: int | ChainError,
        fees: Fees,
        nonces: Iterator[int],
        now: float,
    ) -> tuple[Sent, Sequence[K]] | ChainError:
        """Signs a transaction, unless something speaks against it."""
        if isinstance(estimate, ChainError):
            return estimate
        cost = estimate * (fees.base + (fees.priority or 0))
        if parcel.most is not None and cost > parcel.most:
            return TooDear(cost, parcel.most)
        gas = max(estimate, min(estimate * GAS_MARGIN // 100 + parcel.spare, MOST_GAS))
        return self._signed(parcel.call, next(nonces), gas, fees, now), parcel.keys

    def _signed(self, call: Call, nonce: int, gas: int, fees: Fees, now: float) -> Sent:
        raw, hash_ = self.signer.sign(_transaction(self.chain.id, call, nonce, gas, fees))
        return Sent(hash_, raw, nonce, gas, fees, call, now)

    def _capped(self, fees: Fees) -> Fees:
        cap = self.max_fee
        if cap is None or fees.maximum <= cap:
            return fees
        if fees.base > cap:
            raise FeeAboveCap(f"Gas costs {fees.base} wei now, above the {cap} wei that we pay.")
        return Fees(cap, None if fees.priority is None else min(fees.priority, cap))

    def follow(self, now: float, final: int) -> int:
        """Notes what is mined, and what is no longer, until it is final, as blocks up to `final`
        are; sends again what the node forgot, raises the fee of what waits too long, and fills the
        nonces that keep it waiting. Returns how many nonces still wait."""
        followed: dict[int, list[Sent]] = {}
        mined = self.chain.nonce(self.signer.address) if self.outbox.nonces(*Outcome) else 0
        all_ = self.outbox.restless(mined, final)
        for sent in all_:
            followed.setdefault(sent.nonce, []).append(sent)
        self._forget([sent for sent in all_ if sent.outcome is Outcome.WAITING])
        moved = self.outbox.moved() if followed else set()
        used = [sent for sent in all_ if sent.nonce < mined]
        shown: dict[int, Receipt] = {}
        for sent, receipt in zip(used, self.chain.receipts([e.hash for e in used]), strict=True):
            if receipt is not None:
                shown.setdefault(sent.nonce, receipt)
        with self.outbox.together():
            self.outbox.mark_mined(shown)
            self.outbox.finish(*(each for each in shown if shown[each].block <= final))
            for nonce in sorted({sent.nonce for sent in used} - shown.keys()):
                self._follow_unshown(nonce, followed[nonce], nonce in moved, final, now)
        waiting = sorted(each for each in followed if each >= mined)
        if not waiting:
            self._cut_off.clear()
            return 0
        self._note_cut_off(mined, now)
        for nonce in waiting:
            self._follow_waiting(nonce, followed[nonce], now)
        return len({*waiting, *self._fill(mined, now)})

    def _note_cut_off(self, mined: int, now: float) -> None:
        """Notes what waits behind more free nonces than are filled, as what was sent when a node
        had counted too many. It is believed once it has been so for a while: the count may be wrong
        now, and what waits be the next that is mined."""
        *_, last = islice(self._free_from(mined), MOST_FILLED + 1)
        waiting = self.outbox.nonces(Outcome.WAITING)
        self._cut_off = {each: self._cut_off.get(each, now) for each in waiting if each > last}

    def _fill(self, mined: int, now: float) -> list[int]:
        """Fills free nonces in front of what waits, or it would wait for ever: what is sent next
        may be refused again. Gives those that it filled. What fills them does nothing, so nothing
        is done twice; and where a node has counted too few, no block takes it."""
        last = max(self.outbox.nonces(Outcome.WAITING) - self._cut_off.keys(), default=0)
        free = [each for each in islice(self._free_from(mined), MOST_FILLED) if each < last]
        nothing: Parcel[K] = Parcel(Call(self.signer.address, b""), ())
        found = self._send_with(iter(free), [nothing] * len(free), now) if free else []
        filled = [each.nonce for each in found if isinstance(each, Sent)]
        if filled:
            log.warning("filled nonces that kept others waiting", nonces=filled)
        return filled

    def _follow_unshown(
        self, nonce: int, attempts: Sequence[Sent], has_moved: bool, final: int, now: float
    ) -> None:
        """Follows a nonce that is used, though no receipt says by which transaction."""
        is_known = any(sent.outcome in (Outcome.SUCCEEDED, Outcome.FAILED) for sent in attempts)
        shown = attempts[-1].block
        # A receipt may come late: until it is final, that it is displaced is what we see, no more.
        if is_known and not has_moved and not self._is_nowhere(shown):
            return
        if not is_known and shown is not None:
            if shown <= final:
                self.outbox.finish(nonce)
        elif self._may_be_shown(nonce, attempts, now):
            if is_known:
                self.outbox.mark_waiting(nonce)
        else:
            log.warning("another transaction took our nonce, as it seems", nonce=nonce)
            head = self.chain.block("latest").number
            self.outbox.mark(nonce, Outcome.DISPLACED, head)

    def _is_nowhere(self, block: int | None) -> bool:
        """Says whether a block is so far above the head that a node has made it up."""
        return block is not None and block > self.chain.block("latest").number + AHEAD

    def _may_be_shown(self, nonce: int, attempts: Sequence[Sent], now: float) -> bool:
        """Says whether a receipt may yet come: who knows a transaction has it in a while."""
        since = self._unshown.setdefault(nonce, now)
        return now - since < LATE and any(self.chain.knows(sent.hash) for sent in attempts)

    def _follow_waiting(self, nonce: int, attempts: Sequence[Sent], now: float) -> None:
        """Follows a nonce that no transaction has."""
        if any(sent.block is not None for sent in attempts):
            log.warning("a block that had our transaction was replaced", nonce=nonce)
            self.outbox.mark_waiting(nonce)
        offered = [sent for sent in attempts if sent.outcome is not Outcome.REFUSED]
        if not offered:
            return  # whatever is sent next takes the nonce, or fills it
        last = offered[-1]
        if now - self._refused.get(nonce, now) >= GIVE_UP:
            log.error("gave up a transaction that the node refuses", nonce=nonce)
            self._give_up(offered)
        elif now - self._cut_off.get(nonce, now) >= GIVE_UP:
            log.warning("gave up a transaction far above our last one", nonce=nonce)
            self._give_up(offered)
        elif now - last.sent_at >= self.patience and self._may_raise(last):
            log.info("raised the fee", nonce=nonce, attempt=len(attempts) + 1)
            keys = self.outbox.keys_of(last.hash)
            sent = self._signed(last.call, nonce, last.gas, self._raised(last), now)
            self.outbox.record((sent, keys))
            self._broadcast(sent, now)
        elif self._is_forgotten(last, now):
            self._broadcast(last, now)

    def _give_up(self, attempts: Sequence[Sent]) -> None:
        """Leaves a nonce to others. What was to be done is sent anew, with another."""
        for sent in attempts:
            self.outbox.mark_one(sent.hash, Outcome.REFUSED)

    def _raised(self, sent: Sent) -> Fees:
        """Gives what a stuck transaction offers next: as much more as nodes want, or what is paid
        now, where that is more."""
        raised, going = sent.fees.raised(RAISE), self.chain.fees()
        maximum = max(raised.maximum, going.maximum)
        if self.max_fee is not None:
            maximum = min(maximum, self.max_fee)
        if raised.priority is None:
            return Fees(maximum, None)
        return Fees(maximum, min(maximum, max(raised.priority, going.priority or Wei(0))))

    def _forget(self, waiting: Sequence[Sent]) -> None:
        """Drops what is kept about any transactions but those that wait."""
        hashes = {sent.hash for sent in waiting}
        self._said &= hashes
        self._handed_over = {each: at for each, at in self._handed_over.items() if each in hashes}
        nonces = {sent.nonce for sent in waiting}
        for kept in (self._refused, self._unshown):
            for nonce in kept.keys() - nonces:
                del kept[nonce]

    def _is_forgotten(self, sent: Sent, now: float) -> bool:
        """Says whether a transaction is to be handed over again. A relay shows nobody what it
        holds, so it gets each one again now and then."""
        if self.chain.knows(sent.hash):
            return False
        return self.relay is self.chain or now - self._handed_over.get(sent.hash, 0.0) >= RESEND

    def _may_raise(self, sent: Sent) -> bool:
        """Says whether the fees may rise once more. A chain that stands still, or an account
        without funds, must not cost us all we have."""
        if self.max_fee is not None and sent.fees.raised(RAISE).maximum > self.max_fee:
            self._say_capped(sent)
            return False
        return sent.fees.maximum < MAX_RAISE * self.chain.fees().maximum

    def _say_capped(self, sent: Sent) -> None:
        """Says so once for each: what waits may miss its deadline, and only a person can pay."""
        if sent.hash not in self._said:
            self._said.add(sent.hash)
            log.error("waits: its fee is at our cap", nonce=sent.nonce, maximum=sent.fees.maximum)

    def _say_refused(self, sent: Sent, error: ChainError, now: float) -> None:
        """Says so once for each nonce, because it is offered again in every round."""
        if sent.nonce not in self._refused:
            self._refused[sent.nonce] = now
            account, why = self.signer.address, str(error)
            log.warning(
                "the node refused a transaction", account=account, nonce=sent.nonce, why=why
            )

    def _broadcast_all(self, given: Sequence[Sent], now: float) -> None:
        raws = [sent.raw for sent in given]
        for sent, is_taken in zip(given, self.relay.hand_over(raws), strict=True):
            if is_taken:
                self._handed_over[sent.hash] = now
                self._refused.pop(sent.nonce, None)
            else:
                self._broadcast(sent, now)

    def _broadcast(self, sent: Sent, now: float) -> None:
        self._handed_over[sent.hash] = now
        try:
            self.relay.broadcast(sent.raw)
        except RpcUnavailable:
            raise
        except ChainError as error:
            # Nodes have no common word for "known already": whether it is there is what counts.
            if not self.chain.knows(sent.hash):
                self._say_refused(sent, error, now)
                return
        self._refused.pop(sent.nonce, None)


def transact(chain: Chain, signer: Signer, call: Call) -> Receipt:
    """Sends one transaction and waits until it is mined, for commands that a person runs.

    Raises Reverted before sending where it would fail, and after where it did."""
    gas = chain.estimate(call, signer.address) * GAS_MARGIN // 100
    nonce = chain.nonce(signer.address)
    raw, hash_ = signer.sign(_transaction(chain.id, call, nonce, gas, chain.fees()))
    chain.broadcast(raw)
    receipt = wait(chain, hash_)
    if not receipt.succeeded:
        chain.call(call, signer.address)  # says why, if it still would
        raise Reverted("Unknown", {"transaction": "0x" + hash_.hex()})
    return receipt


def wait(chain: Chain, transaction: bytes) -> Receipt:
    deadline = time.monotonic() + RECEIPT_TIMEOUT
    pause = 0.01
    while (receipt := chain.receipt(transaction)) is None:
        if time.monotonic() > deadline:
            raise ChainError(
                f"Transaction 0x{transaction.hex()} is not mined after {RECEIPT_TIMEOUT:.0f} s;"
                " look it up before you send another."
            )
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)
    return receipt


def _transaction(chain_id: int, call: Call, nonce: int, gas: int, fees: Fees) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "value": call.value,
        "data": call.data,
    }
    if call.to is not None:
        fields["to"] = call.to
    if fees.priority is None:
        return fields | {"gasPrice": fees.maximum}
    return fields | {"maxFeePerGas": fees.maximum, "maxPriorityFeePerGas": fees.priority}
