"""The challenger at work: runs again what others propose, and takes what is wrong to the slash."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Event as Flag

import structlog

from oracle.chain.contracts import Disputes, Queue, Referee, Subject
from oracle.chain.node import Chain
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.challenger import policy as challenger
from oracle.challenger.checking import Checking, SecondView
from oracle.challenger.policy import STEPS, Policy
from oracle.challenger.records import Records
from oracle.challenger.sending import Sending
from oracle.inference.answers import Inference
from oracle.state import rounds
from oracle.state.agenda import Row
from oracle.state.bell import Bell
from oracle.state.duties import Due, DutyKind, Key, State
from oracle.state.facts import History
from oracle.state.lookout import Lookout, Own
from oracle.state.rounds import Reading
from oracle.state.store import Store
from oracle.state.tries import Tries, forget_all_but
from oracle.state.vitals import Findings
from oracle.state.watch import Watch
from oracle.visible import hex_id

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Setup:
    """What the patrol is made of. Without a sender it is a dry run: it looks, and sends nothing."""

    chain: Chain
    queue: Queue
    disputes: Disputes
    referee: Referee
    view: View
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender[Key] | None
    second_view: SecondView | None = None
    parallel: int = 2  # inferences at once
    time_limit: float = 600.0  # seconds that any run may take
    clock: Callable[[], float] = time.time
    watch: Watch | None = None  # by which others see how it does


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
        self._tries: defaultdict[Key, Tries] = defaultdict(Tries)  # by duty
        self.bell = Bell()  # is rung when there is something to do before the next round
        self._reading = Reading(setup.chain, setup.view, store, self._owed)
        self._records = Records(store)
        self._checking = Checking(
            store=store,
            records=self._records,
            inference=setup.inference,
            policy=setup.policy,
            second_view=setup.second_view,
            tries=self._tries,
            report=self._report,
            renew=self._reading.renew,
            ring=self.bell.call,
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
        self._lookout = None if setup.watch is None else self._looking_out(setup.watch)

    def _looking_out(self, watch: Watch) -> Lookout:
        setup = self._setup
        return Lookout(
            watch=watch,
            chain=setup.chain,
            store=self._store,
            reading=self._reading,
            account=None if setup.sender is None else setup.sender.signer.address,
            takes=self._takes,
            own=self._found,
        )

    def run(self, stop: Flag, pause: float) -> None:
        self._setup.chain.on_head(self.bell.call)
        rounds.run(self.tick, stop, pause, self.bell)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        with nullcontext() if self._lookout is None else self._lookout.round():
            self._round()

    def _round(self) -> None:
        now = self._setup.clock()
        self._reading.work(now)
        # Before anything is sent: what a block took back is in it no more.
        if self._setup.sender is not None:
            self._setup.sender.follow(now, self._store.final())
        self._checking.work(now)
        pursued = self._store.duties(State.OPEN, kind=DutyKind.PURSUE)
        steps = [step for row in pursued if (step := self._next(row)) is not None]
        self._forget(steps)
        self._sending.work(steps, now, self._reading.due_time(now))

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

    def _takes(self, row: Row) -> float:
        """Gives the seconds until the transaction of a duty can be sent."""
        is_run = row.duty.kind in (DutyKind.CHECK, DutyKind.PURSUE)
        return self._checking.run_time(row.duty.request_id) if is_run else 0.0

    def _found(self) -> Own:
        store = self._store
        return Own(findings=Findings(store.wrong(), len(store.unwatched())))

    def _owed(self, history: History) -> Iterator[Due]:
        return challenger.owed(history, self._setup.policy.challenger, self._store.is_right)

    def _forget(self, steps: Sequence[Row]) -> None:
        """Drops what is kept about duties that have ended."""
        rows = [*self._store.duties(State.OPEN, State.SENT), *steps]
        forget_all_but(self._tries, {row.key for row in rows} | self._checking.running)
        self._checking.forget(rows)

    def _next(self, row: Row) -> Row | None:
        """Gives the next step of a pursuit. It follows from what the chain says and what we found,
        and is kept nowhere; what was sent is waited for."""
        request_id = row.duty.request_id
        subject, finding = self._records.subject(request_id), self._checking.finding(request_id)
        if subject is None or finding is None:
            return None
        if any(self._store.is_sent((kind, request_id)) for kind in STEPS):
            return None
        dispute = self._records.dispute(request_id, subject)
        committed = finding.fraud is not None and self._sending.is_committed(
            dispute.key, finding.fraud
        )
        wanted = challenger.next_duty(request_id, row.duty.deadline, dispute, finding, committed)
        if wanted is None or not self._is_worth_it(row, subject):
            return None
        return Row(wanted, State.OPEN, "", row.place)

    def _is_worth_it(self, row: Row, subject: Subject) -> bool:
        price = self._setup.chain.gas_price()
        objection = challenger.objection(subject.request, self._setup.policy, price)
        if objection is not None:
            self._report(row, "not pursued; --even-at-a-loss would", why=objection)
        return objection is None

    def _report(self, row: Row, sentence: str, **fields: object) -> None:
        """Logs a sentence about a duty, once."""
        if self._tries[row.key].is_news(sentence):
            log.warning(sentence, kind=row.duty.kind, subject=hex_id(row.duty.subject), **fields)
