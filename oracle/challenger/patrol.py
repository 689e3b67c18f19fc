"""The challenger at work: runs again what others propose, and takes what is wrong to the slash."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event as Flag

import structlog

from oracle.chain.contracts import Disputes, Queue, Referee, Subject
from oracle.chain.events import Event, Where
from oracle.chain.node import Chain
from oracle.chain.transactions import Sender
from oracle.chain.watcher import Watcher
from oracle.challenger import policy as challenger
from oracle.challenger.checking import Checking, SecondView
from oracle.challenger.policy import STEPS, Policy
from oracle.challenger.records import Records
from oracle.challenger.sending import Sending
from oracle.inference.answers import Inference
from oracle.state import rounds
from oracle.state.agenda import Row
from oracle.state.duties import Decision, DutyKind, State
from oracle.state.rounds import Book
from oracle.state.store import Store
from oracle.state.tries import Tries, forget_all_but
from oracle.visible import hex_id

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Setup:
    """What the patrol is made of. Without a sender it is a dry run: it looks, and sends nothing."""

    chain: Chain
    queue: Queue
    disputes: Disputes
    referee: Referee
    watcher: Watcher
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender | None
    second_view: SecondView | None = None
    parallel: int = 2  # inferences at once
    time_limit: float = 600.0  # seconds that any run may take
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Summary:
    """`unwatched` has, by request, why nobody could be convicted of a lie. Money in wei; what is
    hoped for, a liar that convicts itself first takes away, and so it is no income to count on."""

    pursued: tuple[str, ...]
    unwatched: Mapping[str, str]
    certain_income: int
    hoped_income: int
    spent: int


class Patrol:
    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = store = setup.store
        self._tries: defaultdict[int, Tries] = defaultdict(Tries)  # by duty
        self._records = Records(store)
        self._checking = Checking(
            store=store,
            records=self._records,
            inference=setup.inference,
            policy=setup.policy,
            second_view=setup.second_view,
            tries=self._tries,
            report=self._report,
            slots=setup.parallel,
            time_limit=setup.time_limit,
        )
        self._sending = Sending(
            chain=setup.chain,
            queue=setup.queue,
            disputes=setup.disputes,
            referee=setup.referee,
            sender=setup.sender,
            policy=setup.policy,
            store=store,
            records=self._records,
            tries=self._tries,
            report=self._report,
            finding=self._checking.finding,
        )

    def run(self, stop: Flag, pause: float) -> None:
        rounds.run(self.tick, stop, pause)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        now = self._setup.clock()
        rounds.read(self._setup.chain, self._setup.watcher, self._store, self._decide)
        chain_time = max(now, self._setup.chain.block("latest").time)
        rounds.miss(self._setup.chain, self._store, chain_time)
        self._checking.work(now)
        for row in self._store.duties(State.OPEN, kind=DutyKind.PURSUE):
            self._plan(row)
        self._forget()
        self._sending.work(now, chain_time)
        if self._setup.sender is not None:
            self._setup.sender.follow(now)

    @property
    def is_idle(self) -> bool:
        """Says whether nothing runs, no file is fetched and no transaction waits."""
        return self._checking.is_idle and not self._store.waiting()

    @property
    def is_pursuing(self) -> bool:
        """Says whether a result is wrong, or may be, and its operator not slashed yet."""
        waiting = self._store.duties(State.OPEN, kind=DutyKind.CHECK)
        return bool(waiting or self.open_pursuits)

    @property
    def open_pursuits(self) -> int:
        """The number of wrong results whose operators are not slashed yet."""
        return len(self._store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE))

    def summary(self) -> Summary:
        """Says how things stand, by the state that is kept."""
        store = self._store
        wrong = store.duties(State.OPEN, State.SENT, kind=DutyKind.PURSUE)
        requests = [self._records.request(row.duty.request_id) for row in wrong]
        found = [challenger.income(each, self._setup.policy) for each in requests if each]
        return Summary(
            pursued=tuple(hex_id(row.duty.subject) for row in wrong),
            unwatched={hex_id(id_): reason for id_, reason in store.unwatched().items()},
            certain_income=sum(each.certain for each in found),
            hoped_income=sum(each.hoped for each in found),
            spent=store.spent(),
        )

    def _decide(self, event: Event, book: Book) -> Iterator[Decision]:
        return challenger.decide(event, self._setup.policy, book.request_of, book.disputes_of)

    def _forget(self) -> None:
        """Drops what is kept about duties that have ended."""
        rows = self._store.duties(State.OPEN, State.SENT)
        forget_all_but(self._tries, {row.id for row in rows} | self._checking.running)
        self._checking.forget(rows)

    def _plan(self, row: Row) -> None:
        request_id = row.duty.request_id
        subject, finding = self._records.subject(request_id), self._checking.finding(request_id)
        if subject is None:
            return
        dispute = self._records.dispute(request_id, subject)
        for duty, where in challenger.timeouts(dispute, self._setup.policy.challenger):
            self._store.take(duty, where)
        steps = [
            each
            for each in self._store.duties(State.OPEN, State.SENT)
            if each.duty.kind in STEPS and each.duty.subject == request_id
        ]
        if finding is None or any(each.state is State.SENT for each in steps):
            return
        committed = finding.fraud is not None and self._sending.is_committed(
            dispute.key, finding.fraud
        )
        wanted = challenger.next_duty(request_id, row.duty.deadline, dispute, finding, committed)
        for each in steps:
            if wanted is None or each.duty.kind is not wanted.kind:
                self._store.end(each.id, State.SUPERSEDED, "another step is next")
        if wanted is not None and self._is_worth_it(row, subject):
            block, index = self._store.place(row.id)
            self._store.take(wanted, dispute.last or Where(block, index, b"", 0))

    def _is_worth_it(self, row: Row, subject: Subject) -> bool:
        price = self._setup.chain.gas_price()
        objection = challenger.objection(subject.request, self._setup.policy, price)
        if objection is not None:
            self._report(row, "not pursued; --even-at-a-loss would", why=objection)
        return objection is None

    def _report(self, row: Row, sentence: str, **fields: object) -> None:
        """Logs a sentence about a duty, once."""
        if self._tries[row.id].is_news(sentence):
            log.warning(sentence, kind=row.duty.kind, subject=hex_id(row.duty.subject), **fields)
