"""Answers requests: which are run now, whose turn it is, and what is declined."""

from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf

import structlog

from oracle.chain.node import Chain
from oracle.errors import (
    InferenceFailed,
    InferenceTooSlow,
    ModelUnavailable,
    NotAppraised,
    OracleError,
    RunsDiffer,
    SecondOpinionDiffers,
)
from oracle.inference.executor import Ran
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.state.tries import RETRY, Tries
from oracle.types import ModelId, Wei
from oracle.visible import hex_id
from oracle.worker.budget import Liability, Load, Standing
from oracle.worker.ledger import Ledger, Weighed
from oracle.worker.models import Models
from oracle.worker.prices import Prices
from oracle.worker.records import Records
from oracle.worker.turns import SHORT, Run, Turn, has_room, in_turn

log = structlog.get_logger()

DEATHS = 3  # of an inference, before it is given up
MOST_TURNS = 1 << 16  # models of which we remember when their last turn was


@dataclass(frozen=True, slots=True)
class _Inference:
    """One at work for an answer."""

    run: Run
    future: "Future[Ran]"
    most: float  # seconds, after which it is stopped


class Answering:
    """Begins the inferences that there is room for, of requests that we want to answer. With
    `only`, it answers for that model alone, and has nobody to keep a slot for. `standing` asks
    the chain what may be put up for our answers."""

    def __init__(
        self,
        chain: Chain,
        store: Store,
        records: Records,
        models: Models,
        prices: Prices,
        ledger: Ledger,
        tries: MutableMapping[int, Tries],
        slots: int,
        only: ModelId | None,
        standing: Callable[[], Standing],
    ):
        self._chain = chain
        self._store = store
        self._records = records
        self._models = models
        self._prices = prices
        self._ledger = ledger
        self._tries = tries  # by duty
        self._slots = slots
        self._only = only
        self._standing = standing
        self._running: dict[int, _Inference] = {}  # by duty
        self._turns: dict[Turn, int] = {}  # which one it was last
        self._turn = 0  # the last one
        self._look_again = 0.0  # when what was declined is looked at again
        self._has_accepted = False  # something that was declined: the next round begins it

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._prices.waiting and not self._has_accepted

    def work(self, now: float, chain_time: float) -> None:
        """Works one round."""
        for duty_id, run in list(self._running.items()):
            if run.future.done():
                del self._running[duty_id]
                self._take(run, now)
        self._prices.collect(now)
        self._has_accepted = False
        rows = self._store.duties(State.OPEN, kind=DutyKind.PROPOSE)
        begun = [row for row in rows if row.id in self._running or self.is_computed(row)]
        ids = {row.id for row in begun}
        waiting = [row for row in rows if row.id not in ids and self._is_due(row, now)]
        declined = self._declined(now, chain_time)
        load = self._load(begun, now) if waiting or declined else None
        if load is None and declined:
            self._look_again = now  # as soon as what is open is priced
        if load is not None:
            gas_price = self._chain.gas_price()
            self._reconsider(declined, load, gas_price, now)
            self._begin(waiting, load, gas_price, now)

    def is_computed(self, row: Row) -> bool:
        return self._store.output(row.duty.request_id) is not None

    def affordable(self, rows: Sequence[Row], now: float) -> list[Row]:
        """Gives those of the computed `rows` that we still want to answer, each judged beside the
        ones before it. Several may have been begun at once, and a run may have taken longer than
        others of its model."""
        load = self._load((), now) if rows else None
        if load is None:
            return []
        gas_price = self._chain.gas_price()
        return [row for row in rows if self._take_on(row, load, gas_price, now)]

    def _is_due(self, row: Row, now: float) -> bool:
        return self._tries[row.id].is_due(now) and self._records.is_known(row)

    def _declined(self, now: float, chain_time: float) -> list[Row]:
        """Gives the declined answers to be looked at again, because budget may be free by now, or
        gas cheaper."""
        if now < self._look_again:
            return []
        self._look_again = now + RETRY
        self._store.forget_declined(chain_time)
        return self._store.duties(State.DECLINED, kind=DutyKind.PROPOSE, due_after=chain_time)

    def _reconsider(self, rows: Sequence[Row], load: Load, gas_price: Wei, now: float) -> None:
        """Takes on, for the next round, what was declined and is not to be any more. What is not
        priced is taken on too, and priced in its turn: many requests for many models may be
        declined until gas is cheaper, and would all be loaded at once."""
        for row in rows:
            weighed = self._weigh(row, load, gas_price, now, asks=False)
            if isinstance(weighed, str):
                continue
            if isinstance(weighed, Liability):
                load.add(weighed)
            self._store.accept(row)
            self._has_accepted = True

    def _begin(self, rows: Sequence[Row], load: Load, gas_price: Wei, now: float) -> None:
        by_duty = {row.id: row for row in rows}
        runs = [self._run(row) for row in rows]
        # To price a model is to load it, which may take as long as a run.
        going: list[Turn] = [None for _ in self._prices.waiting]
        going += [each.run.turn for each in self._running.values()]
        for run in in_turn(runs, going, self._turns):
            lengths = [not self._prices.is_slow(model) for model in self._prices.waiting]
            lengths += [each.run.is_short for each in self._running.values()]
            if not has_room(run.is_short, lengths, self._slots) or self._is_tried(run):
                continue
            row, priced = by_duty[run.duty], len(self._prices.waiting)
            is_wanted = self._take_on(row, load, gas_price, now)
            if is_wanted and self._models.has_file(run.model):
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
        model = self._records.request_of(row).model
        # An operator who answers for one model alone has nobody to keep a slot for.
        is_alone = self._only == model
        is_short = is_alone or self._ledger.is_short(model, SHORT)
        is_new = not is_alone and self._ledger.is_new(model)
        return Run(row.id, model, is_short, self._tries[row.id].failures, is_new)

    def _start(self, row: Row, run: Run) -> None:
        most = SHORT if run.is_new and self._ledger.is_new(run.model) else inf
        future = self._models.submit(run.model, row.duty.request_id, most)
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
        self._ledger.note_run(done.run.model, found.seconds, found.held)
        self._store.keep_output(row.duty.request_id, found.data, found.seconds)
        log.info("computed", request=hex_id(row.duty.subject), output_bytes=len(found.data))

    def _failed(self, row: Row, error: BaseException, now: float) -> None:
        """Deals with an answer whose model cannot be had or run."""
        request = hex_id(row.duty.subject)
        match error:
            case ModelUnavailable() | NotAppraised():
                log.warning("the model cannot be had yet", request=request, why=str(error))
                self._tries[row.id].fail(now)
            case InferenceFailed() if self._tries[row.id].deaths < DEATHS - 1:
                # Time or memory may have lacked because of us, not of the model.
                log.warning("the inference failed", request=request, why=str(error))
                self._tries[row.id].deaths += 1
                self._tries[row.id].fail(now)
            case RunsDiffer() | SecondOpinionDiffers():
                log.error("we do not answer", request=request, why=str(error))
                self._store.end(row.id, State.MISSED, str(error))
            case OracleError():  # a stranger's doing, that wants nobody to get up
                log.info("declined", request=request, why=str(error))
                self._store.decline(row, str(error), is_for_good=True)
            case _:  # a bug, which must not cost us the deadlines of the rest
                log.error("we cannot answer", request=request, exc_info=error)
                self._store.end(row.id, State.MISSED, repr(error))

    def _load(self, undecided: Sequence[Row], now: float) -> Load | None:
        """Gives what we must be able to defend, together with answers that are `undecided`. Gives
        None until that is known."""
        cursor = self._store.cursor()
        read_until = 0 if cursor is None else self._chain.block(cursor.number).time
        ids = [row.duty.request_id for row in undecided]
        return self._ledger.load(read_until, ids, now, self._standing())

    def _weigh(
        self, row: Row, load: Load, gas_price: Wei, now: float, asks: bool = True
    ) -> Weighed:
        request = self._records.request_of(row)
        return self._ledger.weigh(row.duty.request_id, request, load, gas_price, now, asks)

    def _take_on(self, row: Row, load: Load, gas_price: Wei, now: float) -> bool:
        """Says whether we want to answer now. If so, it adds the answer to `load`."""
        match self._weigh(row, load, gas_price, now):
            case Liability() as liability:
                load.add(liability)
                return True
            case str() as reason:
                log.info("declined for now", request=hex_id(row.duty.subject), why=reason)
                self._store.decline(row, reason)
            case BaseException() as error:
                self._failed(row, error, now)
        return False
