"""The worker at work: events in by the watcher, duties kept by the store, transactions out."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from threading import Event as Flag

import structlog
from eth_utils import keccak

from oracle.chain.contracts import Disputes, Queue, Subject
from oracle.chain.disputes import demand_id, split_demand_id
from oracle.chain.events import Event, OperatorSlashed, PartDemanded
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import Sender, Sent
from oracle.chain.watcher import Watcher
from oracle.errors import (
    ChainError,
    InferenceFailed,
    InferenceTooSlow,
    ModelUnavailable,
    NoRoom,
    OracleError,
    Reverted,
    RpcUnavailable,
    RunsDiffer,
    SecondOpinionDiffers,
)
from oracle.exact.proofs.cost import Calibration
from oracle.inference.answers import Inference
from oracle.inference.engine import Open, Price, Task
from oracle.inference.executor import Ran
from oracle.inference.waits import Waits
from oracle.state import rounds
from oracle.state.duties import Decision, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Row, Store
from oracle.state.tries import RETRY, SOON, Tries, forget_all_but
from oracle.types import Address, ModelId, RequestId, Wei
from oracle.worker.budget import Budget, Liability, Load
from oracle.worker.defence import Defence
from oracle.worker.ledger import Ledger, Weighed
from oracle.worker.policy import Policy, answer_gas, decide
from oracle.worker.prices import Prices
from oracle.worker.turns import SHORT, Run, Turn, has_room, in_turn

log = structlog.get_logger()

MAX_BATCH = 50  # duties in one transaction
MAX_BATCH_GAS = 6_000_000  # of `answer_gas`; this also keeps outputs below what nodes take
TRIES = 3  # of an inference that dies
BATCHED = (DutyKind.PROPOSE, DutyKind.SETTLE, DutyKind.WITHDRAW)
WOULD_SEND = "would send, but there is no key"
MOST_TURNS = 1 << 16  # models of which we remember when their last turn was


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
class _Inference:
    """One at work for an answer."""

    run: Run
    future: "Future[Ran]"
    most: float  # seconds, after which it is stopped


class Service:
    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = setup.store
        slots = setup.parallel
        policy = setup.policy
        budget = Budget(slots, setup.reveal_period, policy.defence_rate, policy.max_exposure)
        self._prices = Prices(self._ask_price, setup.calibration, RETRY, SHORT)
        self._ledger = Ledger(setup.store, policy, budget, self._prices, setup.time_limit)
        self._defence = Defence(self._ask_parts, slots, budget.pause, RETRY)
        self._running: dict[int, _Inference] = {}  # by duty
        self._turns: dict[Turn, int] = {}  # which one it was last
        self._tries: defaultdict[int, Tries] = defaultdict(Tries)  # by duty
        self._deaths: Counter[int] = Counter()  # by duty: inferences that died
        self._demands: dict[bytes, PartDemanded] = {}  # by what a duty calls them
        self._turn = 0  # the last one
        self._look_again = 0.0  # when what was declined is looked at again
        # What a request or a model is never changes, and is looked up in every round.
        self._request = lru_cache(maxsize=1 << 16)(setup.store.request)
        self._model = lru_cache(maxsize=1 << 10)(setup.store.model)
        self._waits = Waits(setup.inference)

    def run(self, stop: Flag, pause: float) -> None:
        rounds.run(self.tick, stop, pause)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        now = self._setup.clock()
        rounds.read(self._setup.chain, self._setup.watcher, self._store, self._decide)
        chain_time = max(now, self._setup.chain.block("latest").time)
        rounds.miss(self._setup.chain, self._store, chain_time)
        self._waits.start_round()
        self._defend(now, chain_time)
        self._answer(now, chain_time)
        rows = self._store.duties(State.OPEN, State.SENT)
        self._keep_files(rows)
        self._forget(rows)
        self._send(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Says whether nothing runs, no file is fetched and no transaction waits."""
        is_running = self._running or self._prices.waiting or not self._defence.is_idle
        return not is_running and self._waits.is_empty and not self._store.waiting()

    def _decide(self, event: Event, book: Book) -> Iterator[Decision]:
        policy = self._setup.policy
        match event:
            case OperatorSlashed(operator=operator) if operator == policy.operator:
                log.error("we were slashed", bond=event.bond, challenger=event.challenger)
            case PartDemanded(operator=operator, demand=demand) if operator == policy.operator:
                request = event.request_id.hex()
                log.warning("our result is disputed", request=request, answer_by=demand.deadline)
        return decide(event, policy, book.gas_price, book.request_of, book.disputes_of)

    def _forget(self, rows: Sequence[Row]) -> None:
        """Drops what is kept about any duties but `rows`, which are open or sent."""
        duties = {row.id for row in rows}
        forget_all_but(self._tries, duties)
        forget_all_but(self._deaths, duties)
        forget_all_but(self._demands, {row.duty.subject for row in rows})

    # Defence.

    def _defend(self, now: float, chain_time: float) -> None:
        rows = [
            row
            for row in self._store.duties(State.OPEN, State.SENT, kind=DutyKind.REVEAL)
            if self._is_known(row)
        ]
        self._defence.work(rows, self._has_short_trace, now, chain_time)

    def _has_short_trace(self, row: Row) -> bool:
        request_id = self._demanded(row).request_id
        request = self._request(request_id)
        return request is not None and self._ledger.has_short_trace(
            request_id, request.model, SHORT
        )

    def _ask_parts(self, row: Row, task: Open) -> "Future[bytes] | None":
        request_id = self._demanded(row).request_id
        request = self._request(request_id)
        assert request is not None
        return self._ask(request.model, self._store.payload(request_id), task)

    def _ask_price(self, model_id: ModelId, most: float) -> "Future[bytes] | None":
        return self._ask(model_id, b"", Price(most))

    def _ask(self, model_id: ModelId, payload: bytes, task: Task) -> "Future[bytes] | None":
        if not self._has_file(model_id, isinstance(task, Open)):
            return None
        model = self._model(model_id)
        assert model is not None
        return self._setup.inference.ask(model, self._store.uris(model_id), payload, task)

    def _has_file(self, model_id: ModelId, is_urgent: bool = False) -> bool:
        model = self._model(model_id)
        assert model is not None
        return self._waits.has_file(model, lambda: self._store.uris(model_id), is_urgent)

    def _keep_files(self, rows: Sequence[Row]) -> None:
        """Keeps the files of models whose results are open. Whoever cannot show the trace of an
        open result is slashed, and the model's publisher may no longer serve its file."""
        needed = {
            self._request_id(row)
            for row in rows
            if row.duty.kind in (DutyKind.REVEAL, DutyKind.SETTLE)
            or (row.duty.kind is DutyKind.PROPOSE and self._is_ready(row))
        }
        requests = [request for request in map(self._request, needed) if request is not None]
        self._waits.keep(map(self._model, {each.model for each in requests}))

    def _is_known(self, row: Row) -> bool:
        """Says whether the duty's request and model are known, so that it can be run. If they are
        not, it ends the duty."""
        request = self._request(self._request_id(row))
        if request is not None and self._model(request.model) is not None:
            return True
        self._store.end(row.id, State.MISSED, "its request or model was never read")
        return False

    def _request_id(self, row: Row) -> RequestId:
        if row.duty.kind in (DutyKind.REVEAL, DutyKind.COLLECT):
            return self._demanded(row).request_id
        return RequestId(row.duty.subject)

    def _demanded(self, row: Row) -> PartDemanded:
        asked = row.duty.subject
        if asked not in self._demands:
            key = split_demand_id(asked)[0]
            for part, event in self._store.dispute(key).demanded.items():
                self._demands[demand_id(key, part)] = event
        return self._demands[asked]

    # Answering.

    def _answer(self, now: float, chain_time: float) -> None:
        """Begins the inferences that there is room for, of requests that we want to answer."""
        for duty_id, run in list(self._running.items()):
            if run.future.done():
                del self._running[duty_id]
                self._take(run, now)
        self._prices.collect(now)
        rows = self._store.duties(State.OPEN, kind=DutyKind.PROPOSE)
        begun = [row for row in rows if row.id in self._running or self._is_ready(row)]
        ids = {row.id for row in begun}
        waiting = [row for row in rows if row.id not in ids and self._is_due(row, now)]
        declined = self._declined(now, chain_time)
        load = self._load(begun, now) if waiting or declined else None
        if load is not None:
            gas_price = self._setup.chain.gas_price()
            self._reconsider(declined, load, gas_price, now)
            self._begin(waiting, load, gas_price, now)

    def _is_due(self, row: Row, now: float) -> bool:
        return self._tries[row.id].is_due(now) and self._is_known(row)

    def _declined(self, now: float, chain_time: float) -> list[Row]:
        """Gives the declined answers to be looked at again, because budget may be free by now, or
        gas cheaper."""
        if now < self._look_again:
            return []
        self._look_again = now + RETRY
        return self._store.duties(State.DECLINED, kind=DutyKind.PROPOSE, due_after=chain_time)

    def _reconsider(self, rows: Sequence[Row], load: Load, gas_price: Wei, now: float) -> None:
        """Takes on, for the next round, what was declined and is not to be any more."""
        for row in rows:
            weighed = self._weigh(row, load, gas_price, now)
            if isinstance(weighed, Liability):
                load.add(weighed)
            if isinstance(weighed, (Liability, BaseException)):
                self._store.accept(row)

    def _begin(self, rows: Sequence[Row], load: Load, gas_price: Wei, now: float) -> None:
        by_duty = {row.id: row for row in rows}
        runs = [self._run(row) for row in rows]
        # To price a model is to load it, which may take as long as a run.
        going: list[Turn] = [None for _ in self._prices.waiting]
        going += [each.run.turn for each in self._running.values()]
        for run in in_turn(runs, going, self._turns):
            lengths = [not self._prices.is_slow(model) for model in self._prices.waiting]
            lengths += [each.run.is_short for each in self._running.values()]
            if not has_room(run.is_short, lengths, self._setup.parallel) or self._is_tried(run):
                continue
            row, priced = by_duty[run.duty], len(self._prices.waiting)
            is_wanted = self._take_on(row, load, gas_price, now)
            if is_wanted and self._has_file(run.model):
                self._start(row, run)
            if row.id in self._running or len(self._prices.waiting) > priced:
                self._note_turn(run)

    def _note_turn(self, run: Run) -> None:
        for turn in (run.turn, run.model):
            self._turns.pop(turn, None)  # so that the dictionary has the oldest turn first
            self._turns[turn] = self._turn = self._turn + 1
        while len(self._turns) > MOST_TURNS:
            del self._turns[next(iter(self._turns))]

    def _is_tried(self, run: Run) -> bool:
        """Says whether another run of its model finds out just now how long they take."""
        return run.is_new and any(each.run.model == run.model for each in self._running.values())

    def _run(self, row: Row) -> Run:
        request = self._request(RequestId(row.duty.subject))
        assert request is not None
        model = request.model
        # An operator who answers for one model alone has nobody to keep a slot for.
        is_alone = self._setup.policy.models == frozenset((model,))
        is_short = is_alone or self._ledger.is_short(model, SHORT)
        is_new = not is_alone and self._ledger.is_new(model)
        return Run(row.id, model, is_short, self._tries[row.id].failures, is_new)

    def _start(self, row: Row, run: Run) -> None:
        model = self._model(run.model)
        assert model is not None
        uris = self._store.uris(run.model)
        payload = self._store.payload(RequestId(row.duty.subject))
        most = SHORT if run.is_new and self._ledger.is_new(run.model) else inf
        future = self._setup.inference.submit(model, uris, payload, most)
        self._running[row.id] = _Inference(run, future, most)

    def _take(self, done: _Inference, now: float) -> None:
        row = self._store.duty(done.run.duty)
        if row.state is not State.OPEN:
            return  # ended meanwhile
        error = done.future.exception()
        if isinstance(error, InferenceTooSlow) and done.most < inf:
            self._ledger.note_run(done.run.model, inf)  # it has its turn among those that take long
            return
        if error is not None:
            self._failed(row, error, now)
            return
        found = done.future.result()
        self._ledger.note_run(done.run.model, found.seconds)
        self._store.keep_output(RequestId(row.duty.subject), found.data, found.seconds)
        log.info("computed", request="0x" + row.duty.subject.hex(), output_bytes=len(found.data))

    def _failed(self, row: Row, error: BaseException, now: float) -> None:
        """Deals with an answer whose model cannot be had or run."""
        request = "0x" + row.duty.subject.hex()
        match error:
            case ModelUnavailable():
                log.warning("the model cannot be had yet", request=request, why=str(error))
                self._fail(row.id, now)
            case InferenceFailed() if self._deaths[row.id] < TRIES - 1:
                # Time or memory may have lacked because of us, not of the model.
                log.warning("the inference failed", request=request, why=str(error))
                self._deaths[row.id] += 1
                self._fail(row.id, now)
            case RunsDiffer() | SecondOpinionDiffers():
                log.error("we do not answer", request=request, why=str(error))
                self._store.end(row.id, State.MISSED, str(error))
            case OracleError():  # a stranger's doing, that wants nobody to get up
                log.info("declined", request=request, why=str(error))
                self._store.decline(row, str(error), is_for_good=True)
            case _:  # a bug, which must not cost us the deadlines of the rest
                log.error("we cannot answer", request=request, exc_info=error)
                self._store.end(row.id, State.MISSED, repr(error))

    def _fail(self, duty_id: int, now: float) -> None:
        self._tries[duty_id].fail(now)

    def _load(self, undecided: Sequence[Row], now: float) -> Load | None:
        """Gives what we must be able to defend, together with answers that are `undecided`. Gives
        None until that is known."""
        cursor = self._store.cursor()
        read_until = 0 if cursor is None else self._setup.chain.block(cursor.number).time
        ids = [RequestId(row.duty.subject) for row in undecided]
        return self._ledger.load(read_until, ids, now)

    def _weigh(self, row: Row, load: Load, gas_price: Wei, now: float) -> Weighed:
        request_id = RequestId(row.duty.subject)
        request = self._request(request_id)
        assert request is not None
        return self._ledger.weigh(request_id, request, load, gas_price, now)

    def _affordable(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Gives those of the computed `rows` that we still want to answer, each judged beside the
        ones before it. Several may have been begun at once, and a run may have taken longer than
        others of its model."""
        load = self._load((), now) if rows else None
        if load is None:
            return []
        gas_price = self._setup.chain.gas_price()
        return [row for row in rows if self._take_on(row, load, gas_price, now)]

    def _take_on(self, row: Row, load: Load, gas_price: Wei, now: float) -> bool:
        """Says whether we want to answer now. If so, it adds the answer to `load`."""
        match self._weigh(row, load, gas_price, now):
            case Liability() as liability:
                load.add(liability)
                return True
            case str() as reason:
                log.info("declined for now", request="0x" + row.duty.subject.hex(), why=reason)
                self._store.decline(row, reason)
            case BaseException() as error:
                self._failed(row, error, now)
        return False

    # Transactions out.

    def _send(self, now: float, chain_time: float) -> None:
        with suppress(NoRoom):  # what is left waits for the next round
            self._send_ready(now, chain_time)

    def _send_ready(self, now: float, chain_time: float) -> None:
        ready = [
            row
            for row in self._store.duties(State.OPEN)
            if row.duty.not_before <= chain_time and self._tries[row.id].is_due(now)
        ]
        for kind in DutyKind:
            rows = [row for row in ready if row.duty.kind is kind and self._is_ready(row)]
            if kind is DutyKind.SETTLE:
                rows = self._send_older(rows, now)
            if kind is DutyKind.PROPOSE:
                rows = self._affordable(rows, now)
            batches = self._batches(rows) if kind in BATCHED else ([row] for row in rows)
            for batch in batches:
                self._send_batch(kind, batch, now)

    def _send_older(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Settles alone what was proposed before we were slashed, for it may be void, and a batch
        skips that without a word. Returns the rest."""
        if not rows:
            return []
        epoch = self._setup.queue.account_of(self._setup.policy.operator).epoch
        rest = []
        for row in rows:
            proposed = self._store.proposal(RequestId(row.duty.subject))
            if proposed is None or proposed[0].epoch == epoch:
                rest.append(row)
            else:
                self._send_batch(DutyKind.SETTLE, [row], now)
        return rest

    def _batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        batch: list[Row] = []
        gas = 0
        for row in rows:
            request = self._store.request(RequestId(row.duty.subject))
            needed = 0 if request is None else answer_gas(request)
            if batch and (len(batch) == MAX_BATCH or gas + needed > MAX_BATCH_GAS):
                yield batch
                batch, gas = [], 0
            batch.append(row)
            gas += needed
        if batch:
            yield batch

    def _is_ready(self, row: Row) -> bool:
        match row.duty.kind:
            case DutyKind.REVEAL:
                return row.id in self._defence.answers
            case DutyKind.PROPOSE:
                return self._store.output(RequestId(row.duty.subject)) is not None
            case _:
                return True

    def _send_batch(self, kind: DutyKind, rows: Sequence[Row], now: float) -> None:
        """Sends all in one transaction. Where that would revert, it sends them one by one, to find
        out which reverts."""
        sender = self._setup.sender
        if sender is None:
            self._report(kind, rows)
            return
        try:
            duties = tuple(row.id for row in rows)
            sent = sender.send(self._call(kind, rows), duties, now, self._spare(kind, rows))
        except (NoRoom, RpcUnavailable):
            raise
        except ChainError as error:
            if len(rows) == 1:
                self._refused(rows[0], error, now)
                return
            for row in rows:
                self._send_batch(kind, [row], now)
        else:
            log.info("sent", kind=kind, duties=len(rows), transaction="0x" + sent.hash.hex())
            if kind is DutyKind.REVEAL:
                self._compare_with_prepaid(rows[0], sent)

    def _compare_with_prepaid(self, row: Row, sent: Sent) -> None:
        prepaid, cost = self._demanded(row).demand.prepaid, sent.gas * sent.fees.maximum
        if prepaid < cost:
            log.warning("what was prepaid may not cover our answer", prepaid=prepaid, cost=cost)

    def _spare(self, kind: DutyKind, rows: Sequence[Row]) -> int:
        """Gives the gas that callbacks may burn although they did not in simulation, and that the
        callbacks after them would then lack. The last callback's gas is in the estimate."""
        if kind is not DutyKind.SETTLE:
            return 0
        requests = [self._store.request(RequestId(row.duty.subject)) for row in rows[:-1]]
        return sum(request.callback_gas for request in requests if request is not None)

    def _report(self, kind: DutyKind, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._tries[row.id].is_news(WOULD_SEND):
                log.info(WOULD_SEND, kind=kind, subject=row.duty.subject.hex())

    def _call(self, kind: DutyKind, rows: Sequence[Row]) -> Call:
        queue, store = self._setup.queue, self._store
        ids = [RequestId(row.duty.subject) for row in rows]
        match kind:
            case DutyKind.REVEAL:
                return self._reveal(rows[0])
            case DutyKind.COLLECT:
                assert self._setup.disputes is not None
                return self._setup.disputes.collect(self._demanded(rows[0]).demand)
            case DutyKind.PROPOSE:
                answers = [(store.request(id_), store.output(id_)) for id_ in ids]
                return queue.propose([(r, o) for r, o in answers if r and o is not None])
            case DutyKind.SETTLE:
                results = [(store.request(id_), store.proposal(id_)) for id_ in ids]
                return queue.settle([(r, *proposed) for r, proposed in results if r and proposed])
            case DutyKind.WITHDRAW:
                return queue.withdraw(Address(self._setup.policy.operator))
            case _:
                raise ValueError(f"a worker has no duty to {kind}")

    def _reveal(self, row: Row) -> Call:
        event = self._demanded(row)
        request = self._store.request(event.request_id)
        proposed = self._store.proposal(event.request_id)
        assert self._setup.disputes is not None and request is not None and proposed is not None
        found, size = self._defence.answers[row.id], event.demand.part.size
        siblings = [found[at : at + 32] for at in range(size, len(found), 32)]
        subject = Subject(request, *proposed)
        return self._setup.disputes.reveal(subject, event.demand, found[:size], siblings)

    def _refused(self, row: Row, error: ChainError, now: float) -> None:
        """Deals with a duty whose transaction reverted in simulation. Nothing was sent."""
        subject = row.duty.subject.hex()
        if not isinstance(error, Reverted):
            log.error("cannot be sent yet", kind=row.duty.kind, subject=subject, why=str(error))
            self._tries[row.id].not_before = now + RETRY
            return
        match error.name:
            # Who does not answer in time is slashed, so a node that is behind has no say in it: an
            # event ends this duty, or the deadline.
            case _ if row.duty.kind is DutyKind.REVEAL:
                log.warning("an answer cannot be sent yet", subject=subject, why=str(error))
                self._tries[row.id].not_before = now + SOON
            case "WindowNotOver":
                pass  # the chain's clock is behind ours
            case "ProposalVoid":
                self._reopen(row, now)
            case "NothingToWithdraw" | "NothingToCollect" if self._is_early(row):
                pass
            case "WrongProposal":
                # It was moved or replaced, by an event that we are about to read.
                self._tries[row.id].not_before = now + SOON
            case "WrongStatus" | "NothingToWithdraw" | "NothingToCollect":
                self._store.end(row.id, State.SUPERSEDED, str(error))
            case "DeadlinePassed":
                log.error("missed a deadline", kind=row.duty.kind, subject=subject)
                self._store.end(row.id, State.MISSED, str(error))
            case "InsufficientStake":
                log.error("our free stake is too small: add to it", subject=subject, why=str(error))
                self._tries[row.id].not_before = now + RETRY
            case _:
                log.error("cannot be sent", kind=row.duty.kind, subject=subject, why=str(error))
                self._store.end(row.id, State.MISSED, str(error))

    def _reopen(self, row: Row, now: float) -> None:
        """Frees the bond of a proposal that a slash voided; its request is others' to answer."""
        request_id = RequestId(row.duty.subject)
        request, proposed = self._store.request(request_id), self._store.proposal(request_id)
        assert self._setup.sender is not None and request is not None and proposed is not None
        proposal, output = proposed
        call = self._setup.queue.reopen(request, proposal, keccak(output))
        try:
            self._setup.sender.send(call, (row.id,), now)
        except Reverted as error:  # somebody else was first, or the chain's clock is behind ours
            log.info("not reopened yet", request=request_id.hex(), why=str(error))
            self._tries[row.id].not_before = now + RETRY
        else:
            log.warning("a slash voided our result: reopening", request=request_id.hex())

    def _is_early(self, row: Row) -> bool:
        """Says whether a duty's time has not come yet, by the chain's clock."""
        return self._setup.chain.block("latest").time < row.duty.not_before
