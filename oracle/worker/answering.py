"""Answers requests: which are run now, whose turn it is, and what is declined."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence, Set
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush, nsmallest
from math import inf

import structlog

from oracle.errors import (
    ChainError,
    InferenceFailed,
    InferenceTooSlow,
    ModelUnavailable,
    NotAppraised,
    OracleError,
    RunsDiffer,
    SecondOpinionDiffers,
    StateUnavailable,
)
from oracle.inference.executor import Ran
from oracle.state.agenda import MOST_SAID, Row
from oracle.state.deeds import Computed
from oracle.state.duties import DutyKind, Key, State
from oracle.state.facts import parts
from oracle.state.store import Store
from oracle.state.tries import RETRY, Tries, is_due
from oracle.types import ModelId, Request, RequestId, Wei
from oracle.visible import hex_id
from oracle.worker.budget import Liability, Load, Standing
from oracle.worker.gas import Gas
from oracle.worker.ledger import Ledger, Weighed
from oracle.worker.models import Models
from oracle.worker.prices import Prices
from oracle.worker.records import UNREAD, Records
from oracle.worker.turns import SHORT, Room, Run, Turn, chunks, in_turn
from oracle.worker.waiting import Waiting

log = structlog.get_logger()

NOT_OUR_TURN = "others go first"
DEATHS = 3  # of an inference, before it is given up
ID_SIZE = 32  # bytes of what a request goes by; there is news of other things too
MOST_AGAIN = 1000  # declined answers that are looked at in one round
MOST_TURNS = 1 << 16  # models of which we remember when their last turn was


@dataclass(frozen=True, slots=True)
class _Inference:
    """One at work for an answer, alone or beside others of its model, of which it is number
    `at`."""

    run: Run
    request: Request
    future: "Future[Ran] | Future[list[Ran | None]]"
    most: float  # seconds, after which it is stopped
    at: int | None = None

    @property
    def result(self) -> Ran | None:
        """What it gave; None where it is to be run alone. Raises what it failed with."""
        found = self.future.result()
        if isinstance(found, Ran):
            return found
        assert self.at is not None
        return found[self.at]


class Answering:
    """Begins the inferences that there is room for, of requests that we want to answer. With
    `only`, it answers for that model alone, and has nobody to keep a slot for. `standing` asks
    the chain what may be put up for our answers; `turn` says in how many seconds it is our turn to
    answer what others may answer too; `ring` is called when an inference has ended."""

    def __init__(
        self,
        store: Store,
        records: Records,
        models: Models,
        prices: Prices,
        ledger: Ledger,
        tries: MutableMapping[Key, Tries],
        slots: int,
        only: ModelId | None,
        standing: Callable[[], Standing],
        gas: Gas,
        turn: Callable[[Row, Request], float],
        ring: Callable[[], None],
    ):
        self._store = store
        self._records = records
        self._models = models
        self._prices = prices
        self._ledger = ledger
        self._tries = tries  # by duty
        self._slots = slots
        self._only = only
        self._standing = standing
        self._gas = gas
        self._seconds_to_turn = turn
        self._ring = ring
        self._news = store.follow()
        self._is_new = True  # nothing was looked at yet
        self._waiting = Waiting()
        self._running: dict[Key, _Inference] = {}  # by duty
        self._computed: dict[Key, tuple[Row, float]] = {}  # by open duty, with the run's seconds
        self._alone: set[Key] = set()  # duties whose runs failed beside others
        self._resting: list[tuple[float, Key]] = []  # a heap: until when what rests may not be done
        self._in_line: set[Key] = set()  # those of them that others may answer first
        self._turns: dict[Turn, int] = {}  # which one it was last
        self._turn = 0  # the last one
        self._look_again = 0.0  # when what was declined is looked at again
        self._again: list[RequestId] = []  # what was declined and is still to be looked at
        self._has_accepted = False  # something that was declined: the next round begins it

    @property
    def is_idle(self) -> bool:
        is_at_work = self._running or self._prices.waiting or self._has_accepted
        return not is_at_work and not self._in_line

    @property
    def models(self) -> set[ModelId]:
        """The models of answers that were computed and not sent yet."""
        return {self._records.request_of(row).model for row, _ in self._computed.values()}

    def work(self, now: float, chain_time: float) -> None:
        """Works one round."""
        self._take_ended(now)
        self._prices.collect(now)
        self._has_accepted = False
        self._look(now)
        self._look_at_declined(now, chain_time)
        load = self._load(now) if self._waiting or self._again else None
        if load is not None:
            gas_price = self._gas.price()
            self._reconsider(load, gas_price, now)
            self._begin(load, gas_price, now)

    def affordable(self, now: float, most: int) -> list[Row]:
        """Gives the computed answers that we still want to give, `most` of them, the nearest
        deadline first, each judged beside the ones before it. Several may have been begun at once,
        and a run may have taken longer than others of its model."""
        due = [each for each in self._computed.values() if is_due(self._tries, each[0].key, now)]
        first = nsmallest(most, due, key=lambda each: (each[0].duty.deadline or 0, each[0].place))
        load = self._ledger.load(self._read_until(), (), now, self._standing()) if first else None
        if load is None:
            return []
        gas_price = self._gas.price()
        return [row for row, ran in first if self._take_on(row, load, gas_price, now, ran)]

    # What waits.

    def _look(self, now: float) -> None:
        """Looks at the duties of which there is news, or which have rested."""
        if self._is_new:
            owed = self._store.duties(State.OPEN, kind=DutyKind.PROPOSE)
            self._news.update(row.duty.subject for row in owed)
            self._is_new = False
        while self._resting and self._resting[0][0] <= now:
            self._news.add(heappop(self._resting)[1][1])
        changed = {RequestId(each) for each in self._news if len(each) == ID_SIZE}
        self._news.clear()
        with self._or_again(changed), self._store.together():
            self._sort(changed, now)

    @contextmanager
    def _or_again(self, subjects: Iterable[bytes]) -> Iterator[None]:
        """Has duties looked at again in the next round, where a node or the disk fails."""
        try:
            yield
        except Exception:
            self._news.update(subjects)
            raise

    def _sort(self, changed: Set[RequestId], now: float) -> None:
        """Puts each duty where it belongs now, wherever it was."""
        rows = self._store.duties_of(DutyKind.PROPOSE, changed)
        open_ = [id_ for id_ in rows if rows[id_].state is State.OPEN]
        computed = self._store.outputs([RequestId(each) for each in open_])
        fresh: list[Row] = []
        for id_ in changed:
            row, key = rows.get(id_), (DutyKind.PROPOSE, id_)
            self._waiting.discard(key)
            self._computed.pop(key, None)
            if row is None:
                self._alone.discard(key)
            if row is None or row.state is not State.OPEN or key in self._running:
                self._in_line.discard(key)
                continue
            if id_ in computed:
                self._computed[key] = row, computed[id_].seconds
            else:
                fresh.append(row)
        for some in parts(fresh):
            self._admit(some, now)

    def _admit(self, rows: Sequence[Row], now: float) -> None:
        """Has requests wait for their runs, but for what is refused at sight."""
        gas_price = self._gas.price()
        self._store.recall([row.duty.request_id for row in rows])
        refused: defaultdict[tuple[State, str], list[Key]] = defaultdict(list)
        for row in rows:
            try:
                request = self._records.request_of(row)
                reason, is_for_good = self._ledger.refusal(request, gas_price)
                is_known = reason is not None or self._records.is_known(row)
            except (ChainError, StateUnavailable):
                raise  # it says nothing about the request
            except Exception as error:  # a bug, which must not cost us the deadlines of the rest
                self._failed(row, error, 0.0)
                continue
            if reason is not None:
                refused[State.DROPPED if is_for_good else State.DECLINED, reason].append(row.key)
            elif not is_known:
                refused[State.MISSED, UNREAD].append(row.key)
            elif self._is_due(row, request, now):
                tries = self._tries.get(row.key)
                self._waiting.put(row, request.model, tries.failures if tries else 0)
        for (state, reason), keys in refused.items():
            self._say_declined(keys, reason)
            self._store.set_opinion(keys, state, reason)

    def _is_due(self, row: Row, request: Request, now: float) -> bool:
        """Says whether a duty may be tried now; if not, it rests."""
        wait = self._seconds_to_turn(row, request)
        if wait and self._tries[row.key].is_news(NOT_OUR_TURN):
            self._tries[row.key].not_before = now + wait
            self._in_line.add(row.key)
        if is_due(self._tries, row.key, now):
            self._in_line.discard(row.key)
            return True
        heappush(self._resting, (self._tries[row.key].not_before, row.key))
        return False

    def _say_declined(self, keys: Sequence[Key], why: str) -> None:
        if len(keys) > MOST_SAID:
            log.info("declined", requests=len(keys), why=why)
            return
        for _, subject in keys:
            log.info("declined", request=hex_id(subject), why=why)

    def _look_at_declined(self, now: float, chain_time: float) -> None:
        """Has the declined answers looked at again, because budget may be free by now, or gas
        cheaper: there may be many, so it is some of them in each round."""
        if self._again or now < self._look_again:
            return
        self._look_again = now + RETRY
        rows = self._store.duties(State.DECLINED, kind=DutyKind.PROPOSE, due_after=chain_time)
        self._again = [row.duty.request_id for row in rows]

    def _reconsider(self, load: Load, gas_price: Wei, now: float) -> None:
        """Takes on, for the next round, what was declined and is not to be any more. What is not
        priced is taken on too, and priced in its turn: many requests for many models may be
        declined until gas is cheaper, and would all be loaded at once."""
        some, self._again = self._again[:MOST_AGAIN], self._again[MOST_AGAIN:]
        rows = self._store.duties_of(DutyKind.PROPOSE, some)
        self._store.recall([id_ for id_ in some if id_ in rows])
        for row in rows.values():
            if row.state is not State.DECLINED:
                continue
            weighed = self._weigh(row, load, gas_price, now, asks=False)
            if isinstance(weighed, str):
                continue
            if isinstance(weighed, Liability):
                load.add(weighed)
            self._store.drop_opinion(row.key)
            self._has_accepted = True

    # What runs.

    def _begin(self, load: Load, gas_price: Wei, now: float) -> None:
        room = self._room()
        rows = {row.key: row for row in self._waiting.first(room.most)} if room.most else {}
        # To price a model is to load it, which may take as long as a run.
        going: list[Turn] = [None for _ in self._prices.waiting]
        going += [each.run.turn for each in self._running.values()]
        self._store.recall([row.duty.request_id for row in rows.values()])
        runs, shut = [self._run(row) for row in rows.values()], set[ModelId]()
        chosen: dict[Key, Run] = {}
        for run in in_turn(runs, going, self._turns):
            if run.model in shut or not room.fits(run) or self._is_tried(run, chosen.values()):
                continue
            row, priced = rows[run.duty], len(self._prices.waiting)
            is_wanted = self._take_on(row, load, gas_price, now)
            if is_wanted and self._models.has_file(run.model):
                chosen[run.duty] = run
                room.take(run)
            elif is_wanted or is_wanted is None:
                shut.add(run.model)  # until its file is here, or its price is known
            is_asked = len(self._prices.waiting) > priced
            if is_asked:
                room = self._room(chosen.values())
            if is_asked or run.duty in chosen:
                self._note_turn(run)
        for some in chunks(list(chosen.values())):
            self._start([rows[run.duty] for run in some], some)

    def _room(self, chosen: Iterable[Run] = ()) -> Room:
        room = Room(self._slots, (each.run for each in self._running.values()))
        for run in chosen:
            room.take(run)
        for model in self._prices.waiting:
            room.load(is_short=not self._prices.is_slow(model))
        return room

    def _note_turn(self, run: Run) -> None:
        for turn in (run.turn, run.model):
            self._turns.pop(turn, None)  # so that the dictionary has the oldest turn first
            self._turns[turn] = self._turn = self._turn + 1
        while len(self._turns) > MOST_TURNS:
            del self._turns[next(iter(self._turns))]

    def _is_tried(self, run: Run, chosen: Iterable[Run]) -> bool:
        """Says whether another run of its model finds out just now how long they take."""
        if not run.is_new:
            return False
        going = (each.run for each in self._running.values())
        return any(each.model == run.model for each in (*going, *chosen))

    def _run(self, row: Row) -> Run:
        model = self._records.request_of(row).model
        # An operator who answers for one model alone has nobody to keep a slot for.
        is_alone = self._only == model
        is_short = is_alone or self._ledger.is_short(model, SHORT)
        is_new = not is_alone and self._ledger.is_new(model)
        tries = self._tries.get(row.key)
        failures = tries.failures if tries else 0
        seconds = inf if row.key in self._alone else self._ledger.slot_time(model)
        return Run(row.key, row.place, model, is_short, failures, is_new, seconds)

    def _start(self, rows: Sequence[Row], runs: Sequence[Run]) -> None:
        model, ids = runs[0].model, [row.duty.request_id for row in rows]
        requests = [self._records.request_of(row) for row in rows]
        future: Future[Ran] | Future[list[Ran | None]]
        if len(runs) == 1:
            most = SHORT if runs[0].is_new and self._ledger.is_new(model) else inf
            future = self._models.submit(model, ids[0], most)
            self._running[rows[0].key] = _Inference(runs[0], requests[0], future, most)
        else:
            future = self._models.submit_all(model, ids, SHORT)
            for at, (row, run) in enumerate(zip(rows, runs, strict=True)):
                self._running[row.key] = _Inference(run, requests[at], future, SHORT, at)
        for row in rows:
            self._waiting.discard(row.key)
        future.add_done_callback(lambda _: self._ring())

    def _take_ended(self, now: float) -> None:
        """Takes in what the runs that ended have given. What is not owed any more is dropped."""
        ended = [key for key, each in self._running.items() if each.future.done()]
        runs = {key: self._running.pop(key) for key in ended}
        subjects = [bytes(subject) for _, subject in runs]
        with self._or_again(subjects), self._store.together():
            self._take(runs, now)

    def _take(self, runs: Mapping[Key, _Inference], now: float) -> None:
        rows = self._store.duties_of(DutyKind.PROPOSE, [bytes(subject) for _, subject in runs])
        found: list[Computed] = []
        for key, done in runs.items():
            row = rows.get(key[1])
            if row is not None and row.state is State.OPEN:
                found += self._taken(row, done, now)
        if found:
            self._store.keep_outputs(found)

    def _taken(self, row: Row, done: _Inference, now: float) -> Iterator[Computed]:
        """Yields the output of a run that ended well."""
        error = done.future.exception()
        if isinstance(error, InferenceTooSlow) and done.most < inf:
            self._ledger.note_run(done.run.model, inf)  # it has its turn among those that take long
            self._news.add(row.duty.subject)
            return
        ran = None if error is not None else done.result
        if done.at is not None and ran is None:
            self._alone.add(row.key)
            self._news.add(row.duty.subject)
            return
        self._alone.discard(row.key)
        if ran is None:
            assert error is not None
            self._failed(row, error, now)
            return
        self._ledger.note_run(done.run.model, ran.seconds, ran.held)
        log.info("computed", request=hex_id(row.duty.subject), output_bytes=len(ran.data))
        yield Computed(row.duty.request_id, ran.data, ran.seconds)

    def _failed(self, row: Row, error: BaseException, now: float) -> None:
        """Deals with an answer whose model cannot be had or run."""
        request = hex_id(row.duty.subject)
        match error:
            case ModelUnavailable() | NotAppraised():
                log.warning("the model cannot be had yet", request=request, why=str(error))
                self._rest(row, now)
            case InferenceFailed() if self._tries[row.key].deaths < DEATHS - 1:
                # Time or memory may have lacked because of us, not of the model.
                log.warning("the inference failed", request=request, why=str(error))
                self._tries[row.key].deaths += 1
                self._rest(row, now)
            case RunsDiffer() | SecondOpinionDiffers():
                log.error("we do not answer", request=request, why=str(error))
                self._store.set_opinion([row.key], State.MISSED, str(error))
            case OracleError():  # a stranger's doing, that wants nobody to get up
                log.info("declined", request=request, why=str(error))
                self._store.set_opinion([row.key], State.DROPPED, str(error))
            case _:  # a bug, which must not cost us the deadlines of the rest
                log.error("we cannot answer", request=request, exc_info=error)
                self._store.set_opinion([row.key], State.MISSED, repr(error))

    def _rest(self, row: Row, now: float) -> None:
        """Has a duty wait a while after a failure."""
        self._tries[row.key].fail(now)
        self._waiting.discard(row.key)
        heappush(self._resting, (self._tries[row.key].not_before, row.key))

    def _load(self, now: float) -> Load | None:
        """Gives what we must be able to defend, together with what is computed or being run. Gives
        None until that is known."""
        undecided = [each.request for each in self._running.values()]
        undecided += [self._records.request_of(row) for row, _ in self._computed.values()]
        return self._ledger.load(self._read_until(), undecided, now, self._standing())

    def _read_until(self) -> int:
        cursor = self._store.cursor()
        return 0 if cursor is None else cursor.time

    def _weigh(
        self,
        row: Row,
        load: Load,
        gas_price: Wei,
        now: float,
        asks: bool = True,
        ran: float | None = None,
    ) -> Weighed:
        request = self._records.request_of(row)
        return self._ledger.weigh(request, load, gas_price, now, asks, ran)

    def _take_on(
        self, row: Row, load: Load, gas_price: Wei, now: float, ran: float | None = None
    ) -> bool | None:
        """Says whether we want to answer now, or None until that is known. If so, it adds the
        answer to `load`. It `ran` for so many seconds, if it did."""
        match self._weigh(row, load, gas_price, now, ran=ran):
            case Liability() as liability:
                load.add(liability)
                return True
            case str() as reason:
                log.info("declined for now", request=hex_id(row.duty.subject), why=reason)
                self._store.set_opinion([row.key], State.DECLINED, reason)
            case BaseException() as error:
                self._failed(row, error, now)
            case None:
                return None
        return False
