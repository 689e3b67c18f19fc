"""Transactions out: signed, recorded before they leave, and followed until they are mined.

What is recorded can be sent again and again and still happens once: the raw transaction carries its
nonce. So a crash between any two lines here loses nothing and sends nothing twice.
"""

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import structlog

from oracle.chain.keys import Signer
from oracle.chain.node import Call, Chain, Fees, Receipt
from oracle.errors import ChainError, FeeAboveCap, NoRoom, Reverted, RpcUnavailable
from oracle.types import Wei

log = structlog.get_logger()

GAS_MARGIN = 115  # percent of the estimate: state may move between the estimate and the block
MAX_WAITING = 16  # at once: nodes promise no account more room
MOST_GAS = 1 << 24  # of one transaction, since EIP-7825: no margin goes beyond it
RAISE = 25  # percent; nodes want at least 10 to replace a transaction
MAX_RAISE = 10  # times the going fee: what waits in spite of that waits for something else
RECEIPT_TIMEOUT = 120.0  # seconds
RESEND = 12.0  # seconds until a relay gets again what is not mined


class Outcome(IntEnum):
    WAITING = 0
    SUCCEEDED = 1
    FAILED = 2  # mined, and reverted
    DISPLACED = 3  # another transaction took its nonce


@dataclass(frozen=True, slots=True)
class Sent:
    """A signed transaction. Several may share a nonce, with rising fees; one of them is mined."""

    hash: bytes
    raw: bytes
    nonce: int
    gas: int
    fees: Fees
    call: Call
    duties: tuple[int, ...]
    sent_at: float  # seconds


class Outbox(Protocol):
    """Where transactions are recorded; the store's part."""

    def record(self, sent: Sent) -> None: ...

    def waiting(self) -> Sequence[Sent]:
        """Gives all transactions that are not closed, by nonce, and of each nonce the last sent one
        last."""
        ...

    def close_nonce(self, nonce: int, outcome: Outcome, mined: bytes | None, gas_used: int) -> None:
        """Ends all transactions of `nonce`. Duties of one that did not succeed are open again."""
        ...


class Sender:
    """Sends for one account. Nobody else may send for it meanwhile, or transactions are displaced
    (which costs time, never correctness)."""

    def __init__(
        self,
        chain: Chain,
        signer: Signer,
        outbox: Outbox,
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
        self._refused: set[bytes] = set()  # hashes of what the node did not take

    def send(self, call: Call, duties: tuple[int, ...], now: float, spare: int = 0) -> Sent:
        """Raises Reverted, and sends nothing, where the call would fail, FeeAboveCap where gas
        costs more than is allowed, and NoRoom where as many transactions wait as may. `spare` is
        gas that the call may need beyond what it takes in simulation."""
        waiting = {sent.nonce for sent in self.outbox.waiting()}
        if len(waiting) >= MAX_WAITING:
            raise NoRoom(len(waiting), MAX_WAITING)
        fees = self._capped(self.chain.fees())
        estimate = self.chain.estimate(call, self.signer.address)
        gas = max(estimate, min(estimate * GAS_MARGIN // 100 + spare, MOST_GAS))
        mined = self.chain.nonce(self.signer.address)
        nonce = max([mined, *(each + 1 for each in waiting)])
        return self._send(call, duties, nonce, gas, fees, now)

    def _send(
        self, call: Call, duties: tuple[int, ...], nonce: int, gas: int, fees: Fees, now: float
    ) -> Sent:
        raw, hash_ = self.signer.sign(_transaction(self.chain.id, call, nonce, gas, fees))
        sent = Sent(hash_, raw, nonce, gas, fees, call, duties, now)
        self.outbox.record(sent)
        self._broadcast(sent, now)
        return sent

    def _capped(self, fees: Fees) -> Fees:
        cap = self.max_fee
        if cap is None or fees.maximum <= cap:
            return fees
        if fees.base > cap:
            raise FeeAboveCap(f"Gas costs {fees.base} wei now, above the {cap} wei that we pay.")
        return Fees(cap, None if fees.priority is None else min(fees.priority, cap))

    def follow(self, now: float) -> int:
        """Closes what is mined, sends again what the node forgot, raises the fee of what waits too
        long. Returns how many nonces still wait."""
        waiting: dict[int, list[Sent]] = {}
        for sent in self.outbox.waiting():
            waiting.setdefault(sent.nonce, []).append(sent)
        self._forget({sent.hash for attempts in waiting.values() for sent in attempts})
        mined = self.chain.nonce(self.signer.address) if waiting else 0
        left = 0
        for nonce, attempts in sorted(waiting.items()):
            if nonce < mined:
                self._close(nonce, attempts)
                continue
            left += 1
            last = attempts[-1]
            if now - last.sent_at >= self.patience and self._may_raise(last):
                log.info("raised the fee", nonce=nonce, attempt=len(attempts) + 1)
                fees = last.fees.raised(RAISE)
                self._send(last.call, last.duties, nonce, last.gas, fees, now)
            elif self._is_forgotten(last, now):
                self._broadcast(last, now)
        return left

    def _forget(self, waiting: Set[bytes]) -> None:
        """Drops what is kept about any transactions but those that wait, by their hashes."""
        handed_over = self._handed_over.items()
        self._handed_over = {hash_: at for hash_, at in handed_over if hash_ in waiting}
        self._said &= waiting
        self._refused &= waiting

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

    def _say_refused(self, sent: Sent, error: ChainError) -> None:
        """Says so once for each, because it is offered again in every round."""
        if sent.hash not in self._refused:
            self._refused.add(sent.hash)
            account, why = self.signer.address, str(error)
            log.warning(
                "the node refused a transaction", account=account, nonce=sent.nonce, why=why
            )

    def _close(self, nonce: int, attempts: Sequence[Sent]) -> None:
        for sent in attempts:
            receipt = self.chain.receipt(sent.hash)
            if receipt is not None:
                outcome = Outcome.SUCCEEDED if receipt.succeeded else Outcome.FAILED
                self.outbox.close_nonce(nonce, outcome, sent.hash, receipt.gas_used)
                return
        log.warning("another transaction took our nonce", nonce=nonce)
        self.outbox.close_nonce(nonce, Outcome.DISPLACED, None, 0)

    def _broadcast(self, sent: Sent, now: float) -> None:
        self._handed_over[sent.hash] = now
        try:
            self.relay.broadcast(sent.raw)
        except RpcUnavailable:
            raise
        except ChainError as error:
            # Nodes have no common word for "known already": whether it is there is what counts.
            if not self.chain.knows(sent.hash):
                self._say_refused(sent, error)


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
