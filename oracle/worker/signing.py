"""Signs answers for whoever asks: which are run, what they take of us, and what is handed out.

Everything is decided in the worker's own rounds and between them, by one thread. Whoever asks waits
for a future, whose bell ends the worker's rest; the chain is asked in rounds alone, so that an
answer takes no longer than its run.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from oracle.chain.contracts import Limits, Queue, SignedOptions
from oracle.errors import (
    Busy,
    Declined,
    InferenceFailed,
    ModelError,
    ModelUnavailable,
    NotAppraised,
    OracleError,
)
from oracle.inference.executor import Ran
from oracle.state.bell import Bell
from oracle.state.deeds import Signed
from oracle.state.store import Store
from oracle.types import Account, Address, ModelId, Request, RequestId, Wei
from oracle.visible import hex_id
from oracle.worker.budget import Liability, Load, Standing
from oracle.worker.ledger import Ledger
from oracle.worker.mandate import Mandate
from oracle.worker.models import Models
from oracle.worker.offers import Offers
from oracle.worker.orders import Inquiry, Offer, Order, Quote, SignedAnswer

log = structlog.get_logger()

MAX_TIMEOUT = 3600  # seconds: the queue takes no later deadline
MAX_CALLBACK_GAS = 10_000_000  # nor a callback with more
STALE = 60.0  # seconds after which what the chain said is too old to sign by
NOBODY = Address("0x" + "0" * 40)
# Seconds by which a deadline must lie ahead of the chain's clock, or the answer comes too late.
LEAST_TIMEOUT = 5
ALIVE = 10.0  # seconds until it is noted again that a program works


@dataclass(frozen=True, slots=True)
class SigningLimits:
    """What we let whoever asks for signatures take of us."""

    max_timeout: int = 120  # seconds until a deadline: for so long a bond is kept free
    max_unposted: Wei | None = None  # of bonds behind answers not posted yet; None: half the stake
    orders: int = 16  # that wait or are run


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the chain said in the last round."""

    at: float  # by our clock
    time: float  # the chain's
    read_until: int  # the chain's time up to which its events are read
    gas_price: Wei
    account: Account
    standing: Standing


@dataclass(slots=True)
class _Work:
    """An order whose answer is being run."""

    order: Order
    request: Request
    request_id: RequestId
    liability: Liability
    gas_price: Wei
    future: "Future[Ran]"


class Signing:
    """Answers orders and inquiries. `slots` is how many inferences may run at once, of which it
    takes half."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        offers: Offers,
        models: Models,
        ledger: Ledger,
        limits: SigningLimits,
        mandate: Mandate,
        slots: int,
        time_limit: float,
        clock: Callable[[], float],
        bell: Bell,
    ):
        self._queue = queue
        self._store = store
        self._offers = offers
        self._models = models
        self._ledger = ledger
        self._limits = limits
        self._mandate = mandate
        self._slots = max(1, slots // 2)
        self._patience = time_limit  # seconds that an order waits for its turn
        self._clock = clock
        self._rules: Limits = queue.limits()
        self._seen: _Seen | None = None
        self._came: deque[Order | Inquiry] = deque()  # from any thread
        self._waiting: dict[Order | Inquiry, float] = {}  # until when
        self._working: list[_Work] = []
        self._open: Load | None = None  # what is open, while we work
        self._is_closing = False
        self._alive_at: float | None = None  # as was noted last
        self._silent_until = 0.0
        self._bell = bell

    # What any thread may call.

    @property
    def operator(self) -> Address:
        return self._mandate.operator

    @property
    def chain_id(self) -> int:
        """The chain's id at the deployment, which signatures are bound to."""
        return self._queue.chain_id

    @property
    def queue(self) -> Address:
        return self._queue.address

    @property
    def rules(self) -> Limits:
        """What the queue demands of bonds and windows."""
        return self._rules

    @property
    def max_timeout(self) -> int:
        return self._limits.max_timeout

    @property
    def chain_time(self) -> float:
        """The chain's time in seconds. Raises Busy where that is not known now."""
        return self._last_seen().time

    def offers(self) -> list[Offer]:
        """Lists the models for whose results we sign."""
        return self._offers.all()

    def offer_of(self, model: ModelId) -> Offer:
        """Raises NotFound for a model for whose results we do not sign."""
        return self._offers.of(model)

    def put(self, asked: Order | Inquiry) -> None:
        """Takes in what is asked; its future says the rest."""
        self._came.append(asked)
        self._bell.ring()

    def close(self) -> None:
        """Takes in no more. What came before is still answered."""
        self._is_closing = True

    # What the worker calls.

    @property
    def is_idle(self) -> bool:
        return not (self._came or self._waiting or self._working)

    @property
    def models(self) -> set[ModelId]:
        """The models whose files must stay: what our operator named, and what we may be held
        to."""
        unposted = self._store.unposted(0 if self._seen is None else self._seen.read_until)
        running = (work.request.model for work in self._working)
        return {*self._offers.named, *running, *(deed.request.model for deed in unposted)}

    def refresh(self, now: float, chain_time: float, read_until: int, gas_price: Wei) -> None:
        """Takes in, once a round, what the chain says."""
        account = self._queue.account_of(self.operator)
        standing = self._mandate.standing()
        self._seen = _Seen(now, chain_time, read_until, gas_price, account, standing)
        # Not by the word of one block alone, as of what is dropped nothing is left.
        self._store.drop_signed(min(read_until, now))
        self._offers.look(now)
        self._note_alive(now)

    def _note_alive(self, now: float) -> None:
        """Notes that we work with this state. Where nobody did for long, it may be a copy that was
        restored: we sign nothing until all that was signed without its knowledge is over."""
        most = self._limits.max_timeout
        if self._alive_at is None:
            last = self._store.alive_at()
            if (last is None or now - last > most) and self._store.has_signed():
                self._silent_until = now + most
                log.warning("signing nothing at first: our state may be an old copy", seconds=most)
        if self._alive_at is None or now - self._alive_at >= ALIVE:
            self._alive_at = now
            self._store.keep_alive(now)

    def work(self) -> None:
        """Does what can be done now, without asking the chain."""
        now = self._clock()
        self._open = None
        for work in [each for each in self._working if each.future.done()]:
            self._working.remove(work)
            self._resolve(work.order.future, partial(self._finish, work, now))
        for _ in range(len(self._came)):  # what comes meanwhile is taken in the next time
            asked = self._came.popleft()
            self._resolve(asked.future, partial(self._admit, asked, now))
        for asked, until in list(self._waiting.items()):
            if not asked.future.cancelled():
                self._resolve(asked.future, partial(self._begin, asked, until, now))
            if asked.future.done():
                self._waiting.pop(asked, None)

    def _resolve(self, future: "Future[Any]", step: Callable[[], object]) -> None:
        """Takes one step towards a result, and hands it out where there is one."""
        try:
            found, error = step(), None
        except Exception as raised:  # whoever asked is told, and the rest goes on
            found, error = None, raised
            if not isinstance(raised, OracleError):
                log.error("an order failed", exc_info=True)
        if found is None and error is None:
            return
        # From here on nobody can cancel it; where somebody has, nobody waits for it.
        if not future.running() and not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    def _last_seen(self) -> _Seen:
        seen = self._seen
        if seen is None or self._clock() - seen.at > STALE:
            raise Busy("Our node does not answer, and without it we sign nothing.", again_in=10)
        return seen

    # One order.

    def _admit(self, asked: Order | Inquiry, now: float) -> SignedAnswer | None:
        if self._is_closing:
            raise Busy("We are stopping, and take no more orders.", again_in=30)
        if now < self._silent_until:
            again_in = int(self._silent_until - now) + 1
            raise Busy("We have just started, and sign nothing yet.", again_in=again_in)
        if len(self._waiting) + len(self._working) >= self._limits.orders:
            raise Busy("We have as many orders as we take at once.", again_in=2)
        self.offer_of(asked.model)
        self._check(asked.options, self._last_seen())
        self._waiting[asked] = now + self._patience
        return None

    def _check(self, options: SignedOptions, seen: _Seen) -> None:
        """Raises Declined for terms on which the queue would take no answer, or we give none."""
        rules, most = self._rules, self._limits.max_timeout
        if options.operator != self.operator:
            raise Declined(f"We sign for {self.operator} alone.")
        if options.bond < rules.min_bond:
            raise Declined(
                f"The bond of {options.bond} wei is below the queue's least of"
                f" {rules.min_bond} wei."
            )
        if not rules.min_window <= options.window <= rules.max_window:
            raise Declined(
                f"The window of {options.window} s is not between the queue's"
                f" {rules.min_window} s and {rules.max_window} s."
            )
        if options.callback_gas > MAX_CALLBACK_GAS:
            raise Declined(
                f"The callback's {options.callback_gas} gas are above the queue's"
                f" {MAX_CALLBACK_GAS}."
            )
        if not seen.time + LEAST_TIMEOUT <= options.deadline <= seen.time + most:
            raise Declined(
                f"The deadline must be {LEAST_TIMEOUT} to {most} seconds ahead of the chain's time,"
                f" which is {seen.time:.0f}; it is {options.deadline}."
            )

    def _begin(
        self, asked: Order | Inquiry, until: float, now: float
    ) -> Quote | SignedAnswer | None:
        """Begins the run of an order, or gives a quote; None while that has to wait."""
        if now > until:
            raise Busy("Others were before it for too long.", again_in=5)
        if isinstance(asked, Order) and len(self._working) >= self._slots:
            return None
        seen, load = self._last_seen(), self._load(now)
        if load is None:
            return None  # until what is open is priced
        if isinstance(asked, Inquiry):
            request = self._request(asked.model, asked.options, b"", NOBODY, Wei(0))
            fee = self._least_fee(request, load, seen.gas_price, now)
            return None if fee is None else Quote(fee, asked.options)
        fee = asked.fee
        if fee is None:
            request = self._request(asked.model, asked.options, b"", asked.consumer, Wei(0))
            fee = self._least_fee(request, load, seen.gas_price, now)
            if fee is None:
                return None
        request = self._request(asked.model, asked.options, asked.payload, asked.consumer, fee)
        return self._start(asked, request, load, seen, now)

    def _start(
        self, order: Order, request: Request, load: Load, seen: _Seen, now: float
    ) -> SignedAnswer | None:
        request_id = self._queue.id_of(request)
        known = self._store.signed(request_id)
        if known is not None and known.epoch == seen.account.epoch and known.output is not None:
            return self._sign(known)  # what was lost on the way is handed out again
        found = self._weigh(request, load, seen.gas_price, now)
        if found is None:
            return None
        self._waiting.pop(order, None)
        if not order.future.set_running_or_notify_cancel():
            return None  # nobody waits for it any more
        future = self._models.run(request.model, order.payload, self._patience)
        self._working.append(_Work(order, request, request_id, found, seen.gas_price, future))
        future.add_done_callback(lambda _: self._bell.ring())
        return None

    def _finish(self, work: _Work, now: float) -> SignedAnswer:
        ran = self._result(work)
        self._ledger.note_run(work.request.model, ran.seconds, ran.held)
        load, seen = self._load(now), self._last_seen()
        # It may have taken longer than others of its model, and others may have come before it.
        if load is None or self._weigh(work.request, load, work.gas_price, now) is None:
            raise Busy("What is open has to be priced again first.")
        if seen.time >= work.request.deadline:
            raise Busy("The run took until the deadline was over: give it more time.")
        deed = Signed(work.request_id, work.request, seen.account.epoch, ran.seconds, ran.data)
        self._store.keep_signed(deed)
        self._open = None  # it is more now
        log.info("signed", request=hex_id(deed.request_id), deadline=deed.request.deadline)
        return self._sign(deed)

    def _result(self, work: _Work) -> Ran:
        try:
            return work.future.result()
        except InferenceFailed:
            raise
        except (ModelUnavailable, NotAppraised) as error:
            raise Busy(str(error), again_in=10) from error  # it may pass
        except ModelError as error:
            self._offers.withdraw(work.request.model, str(error))
            raise

    def _sign(self, deed: Signed) -> SignedAnswer:
        assert deed.output is not None
        return SignedAnswer(
            deed.request_id,
            deed.request,
            deed.output,
            deed.epoch,
            self._mandate.signer,
            self._mandate.sign(deed.request, deed.output, deed.epoch),
        )

    def _request(
        self, model: ModelId, options: SignedOptions, payload: bytes, consumer: Address, fee: Wei
    ) -> Request:
        return options.request(model, self.offer_of(model).terms, payload, consumer, fee)

    # What it takes of us.

    def _load(self, now: float) -> Load | None:
        """Adds up all that we may have to defend, with what is being run. What is open is read once
        for all orders of a turn."""
        seen = self._last_seen()
        if self._open is None:
            self._open = self._ledger.load(seen.read_until, (), now, seen.standing)
        if self._open is None:
            return None
        load = self._open.copy()
        for work in self._working:
            load.add(work.liability)
        return load

    def _least_fee(self, request: Request, load: Load, gas_price: Wei, now: float) -> Wei | None:
        found = self._ledger.quote(request, load, gas_price, now)
        if isinstance(found, BaseException):
            raise found
        return found

    def _weigh(self, request: Request, load: Load, gas_price: Wei, now: float) -> Liability | None:
        """Gives what the answer takes of us, or None until that is known. Raises Declined where we
        do not want to give it, and Busy where we would, were nothing else open."""
        found = self._ledger.weigh(request, load, gas_price, now)
        reason = found if isinstance(found, str) else self._uncovered(request.bond)
        if reason is not None:
            if self._would_be_given(request, gas_price, now):
                raise Busy(f"We cannot answer now: {reason}.", again_in=10)
            raise Declined(f"We do not answer on these terms: {reason}.")
        if isinstance(found, BaseException):
            raise found
        assert not isinstance(found, str)
        return found

    def _would_be_given(self, request: Request, gas_price: Wei, now: float) -> bool:
        """Says whether we would give the answer if no result were open and nothing promised."""
        nothing = Load((), self._last_seen().standing)
        alone = self._ledger.weigh(request, nothing, gas_price, now, asks=False)
        return isinstance(alone, Liability) and request.bond <= self._most_unposted()

    def _most_unposted(self) -> Wei:
        asked = self._limits.max_unposted
        return Wei(self._last_seen().account.staked // 2) if asked is None else asked

    def _uncovered(self, bond: Wei) -> str | None:
        """Says why we do not promise another `bond` that may never be asked for."""
        seen, most = self._last_seen(), self._most_unposted()
        account = seen.account
        requests = [deed.request for deed in self._store.unposted(seen.read_until)]
        requests += [work.request for work in self._working]
        promised = sum(request.bond for request in requests)
        what = f"its bond of {bond} wei and the {promised} wei behind signed answers that were not"
        if promised + bond > most:
            return f"{what} posted yet are above the {most} wei that we keep for these"
        if promised + bond > account.free:
            return f"{what} posted yet are above the {account.free} wei of our stake that are free"
        limit = seen.standing.signer_limit
        if limit is not None and account.locked + promised + bond > limit:
            return (
                f"{what} posted yet are with the {account.locked} wei that are locked above the"
                f" {limit} wei that may be locked where our key signs"
            )
        return None
