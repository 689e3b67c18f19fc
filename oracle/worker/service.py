"""The worker at work: events in by the watcher, duties kept by the store, transactions out."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event as Flag

import structlog

from oracle.chain.contracts import Disputes, Queue, Registry
from oracle.chain.events import Event, OperatorSlashed, PartDemanded
from oracle.chain.node import Chain
from oracle.chain.transactions import Sender
from oracle.chain.watcher import Watcher
from oracle.exact.proofs.cost import Calibration
from oracle.inference.answers import Inference
from oracle.inference.engine import Open
from oracle.state import rounds
from oracle.state.agenda import Row
from oracle.state.duties import Decision, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Store
from oracle.state.tries import RETRY, Tries, forget_all_but
from oracle.visible import hex_id
from oracle.worker.answering import Answering
from oracle.worker.budget import Budget
from oracle.worker.defence import Defence
from oracle.worker.ledger import Ledger
from oracle.worker.mandate import Mandate
from oracle.worker.models import Models
from oracle.worker.offers import Offers
from oracle.worker.policy import Policy, decide
from oracle.worker.prices import Prices
from oracle.worker.records import Records
from oracle.worker.sending import Sending
from oracle.worker.signing import Signing, SigningLimits
from oracle.worker.turns import SHORT

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Setup:
    """What the service is made of. Without a sender it is a dry run: it infers, sends nothing."""

    chain: Chain
    queue: Queue
    watcher: Watcher
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender | None
    calibration: Calibration
    disputes: Disputes | None = None
    reveal_period: int | None = None  # seconds; of `disputes`
    parallel: int = 2  # inferences at once
    time_limit: float = 60.0  # seconds, for one
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class SigningSetup:
    """What it takes to sign answers for whoever asks."""

    registry: Registry
    limits: SigningLimits = SigningLimits()


class Service:
    """The worker. With `signs` it signs answers besides: see `signing`."""

    def __init__(self, setup: Setup, signs: SigningSetup | None = None):
        self._setup = setup
        self._store = store = setup.store
        slots, policy = setup.parallel, setup.policy
        key = None if setup.sender is None else setup.sender.signer
        mandate = Mandate(setup.queue, policy.operator, key)
        budget = Budget(slots, setup.reveal_period, policy.defence_rate, policy.max_exposure)
        self._tries: defaultdict[int, Tries] = defaultdict(Tries)  # by duty
        self._records = Records(store)
        self._models = Models(setup.inference, store, self._records)
        prices = Prices(self._models.price, setup.calibration, RETRY, SHORT)
        self._ledger = Ledger(store, policy, budget, prices, setup.time_limit)
        self._defence = Defence(self._open, slots, budget.pause, RETRY)
        self._answering = Answering(
            chain=setup.chain,
            store=store,
            records=self._records,
            models=self._models,
            prices=prices,
            ledger=self._ledger,
            tries=self._tries,
            slots=slots,
            only=next(iter(policy.models)) if policy.models and len(policy.models) == 1 else None,
            standing=mandate.standing,
        )
        self._sending = Sending(
            chain=setup.chain,
            queue=setup.queue,
            disputes=setup.disputes,
            sender=setup.sender,
            mandate=mandate,
            store=store,
            records=self._records,
            tries=self._tries,
            affordable=self._answering.affordable,
            revealed=lambda: self._defence.answers,
        )
        self.signing = None if signs is None else self._signing(signs, mandate)

    def _signing(self, signs: SigningSetup, mandate: Mandate) -> Signing:
        setup, store = self._setup, self._store
        return Signing(
            queue=setup.queue,
            store=store,
            offers=Offers(signs.registry, store, self._records, self._models, setup.policy),
            models=self._models,
            ledger=self._ledger,
            limits=signs.limits,
            mandate=mandate,
            slots=setup.parallel,
            time_limit=setup.time_limit,
            clock=setup.clock,
        )

    def run(self, stop: Flag, pause: float) -> None:
        """Works in rounds until `stop` is set, and, where answers are signed, their bell rung."""
        rounds.run(self.tick, stop, pause, self.signing)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        now = self._setup.clock()
        rounds.read(self._setup.chain, self._setup.watcher, self._store, self._decide)
        chain_time = max(now, self._setup.chain.block("latest").time)
        rounds.miss(self._setup.chain, self._store, chain_time)
        self._models.start_round()
        self._defend(now, chain_time)
        self._answering.work(now, chain_time)
        if self.signing is not None:
            self._sign(self.signing, now, chain_time)
        rows = self._store.duties(State.OPEN, State.SENT)
        self._keep_files(rows)
        self._records.forget(rows)
        forget_all_but(self._tries, {row.id for row in rows})
        self._sending.work(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Says whether nothing runs, no file is fetched and no transaction waits."""
        parts = (self._answering, self._defence, self._models)
        if self.signing is not None and not self.signing.is_idle:
            return False
        return all(part.is_idle for part in parts) and not self._store.waiting()

    def _decide(self, event: Event, book: Book) -> Iterator[Decision]:
        policy = self._setup.policy
        match event:
            case OperatorSlashed(operator=operator) if operator == policy.operator:
                log.error("we were slashed", bond=event.bond, challenger=event.challenger)
            case PartDemanded(operator=operator, demand=demand) if operator == policy.operator:
                request = hex_id(event.request_id)
                log.warning("our result is disputed", request=request, answer_by=demand.deadline)
        return decide(event, policy, book.gas_price, book.request_of, book.disputes_of)

    def _sign(self, signing: Signing, now: float, chain_time: float) -> None:
        cursor = self._store.cursor()
        chain = self._setup.chain
        read_until = 0 if cursor is None else chain.block(cursor.number).time
        signing.refresh(now, chain_time, read_until, chain.gas_price())
        signing.work()

    def _defend(self, now: float, chain_time: float) -> None:
        owed = self._store.duties(State.OPEN, State.SENT, kind=DutyKind.REVEAL)
        rows = [row for row in owed if self._records.is_known(row)]
        self._defence.work(rows, self._has_short_trace, now, chain_time)

    def _has_short_trace(self, row: Row) -> bool:
        model = self._records.request_of(row).model
        return self._ledger.has_short_trace(self._records.request_id(row), model, SHORT)

    def _open(self, row: Row, task: Open) -> "Future[bytes] | None":
        model = self._records.request_of(row).model
        return self._models.open(model, self._records.request_id(row), task)

    def _keep_files(self, rows: Sequence[Row]) -> None:
        """Keeps the files of models whose results are open. Whoever cannot show the trace of an
        open result is slashed, and the model's publisher may no longer serve its file."""
        ours = [row for row in rows if self._is_our_result(row)]
        requests = map(self._records.request, {self._records.request_id(row) for row in ours})
        models = {request.model for request in requests if request is not None}
        self._models.keep(models | (self.signing.models if self.signing else set()))

    def _is_our_result(self, row: Row) -> bool:
        match row.duty.kind:
            case DutyKind.REVEAL | DutyKind.SETTLE:
                return True
            case DutyKind.PROPOSE:
                return self._answering.is_computed(row)
            case _:
                return False
