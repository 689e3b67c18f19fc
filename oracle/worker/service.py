"""The worker at work: events in by the watcher, duties kept by the store, transactions out."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Event as Flag

import structlog

from oracle.chain.contracts import Disputes, Queue, Registry
from oracle.chain.events import OperatorSlashed, Where
from oracle.chain.histories import AccountHistory
from oracle.chain.keys import Signer
from oracle.chain.node import Chain
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.errors import ChainError, WrongChain
from oracle.exact.proofs.cost import Calibration
from oracle.inference.answers import Inference
from oracle.inference.engine import Open
from oracle.state import rounds
from oracle.state.agenda import Row
from oracle.state.bell import Bell
from oracle.state.duties import Due, DutyKind, Key, State
from oracle.state.facts import History
from oracle.state.lookout import Lookout, Own
from oracle.state.rounds import Reading
from oracle.state.store import Store
from oracle.state.tries import RETRY, Tries, forget_all_but
from oracle.state.vitals import Stake
from oracle.state.watch import Watch
from oracle.types import Request, Wei
from oracle.visible import hex_id
from oracle.worker.answering import Answering
from oracle.worker.budget import Budget
from oracle.worker.defence import Defence
from oracle.worker.gas import Gas
from oracle.worker.ledger import Ledger
from oracle.worker.mandate import Mandate
from oracle.worker.models import Models
from oracle.worker.offers import Offers
from oracle.worker.policy import Policy, most_gas, owed
from oracle.worker.prices import Prices
from oracle.worker.records import UNREAD, Records
from oracle.worker.rivals import Rivals
from oracle.worker.sending import Sending
from oracle.worker.signing import Signing, SigningLimits
from oracle.worker.turns import SHORT

log = structlog.get_logger()

DISPUTED = "our result is disputed"
LEAST_TURN = 2.0  # seconds: until what is sent shows in a node's pending block
FEW_TRIES = 500  # duties of which it is looked in each round whether they have ended


@dataclass(frozen=True, slots=True)
class Setup:
    """What the service is made of. Without a sender it is a dry run: it infers, sends nothing."""

    chain: Chain
    queue: Queue
    view: View
    store: Store
    inference: Inference
    policy: Policy
    sender: Sender[Key] | None
    calibration: Calibration
    disputes: Disputes | None = None
    reveal_period: int | None = None  # seconds; of `disputes`
    parallel: int = 2  # inferences at once
    time_limit: float = 60.0  # seconds, for one
    clock: Callable[[], float] = time.time
    watch: Watch | None = None  # by which others see how it does


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
        self._tries: defaultdict[Key, Tries] = defaultdict(Tries)  # by duty
        self._forget_at = 0.0  # when many are looked through
        self.bell = Bell()  # is rung when there is something to do before the next round
        self._slashed: set[Where] = set()  # as was said
        self._missed_before = {row.key for row in store.duties(State.MISSED)}
        self._rivals = Rivals(policy.operator)
        self._reading = Reading(setup.chain, setup.view, store, self._owed)
        self._records = Records(store)
        self._models = Models(setup.inference, store, self._records)
        prices = Prices(self._models.price, setup.calibration, RETRY, SHORT)
        self._gas = Gas(setup.chain)
        charges = self._gas.charges
        self._ledger = Ledger(store, policy, budget, prices, setup.time_limit, charges)
        self._defence = Defence(self._open, slots, budget.pause, RETRY)
        self._answering = Answering(
            store=store,
            records=self._records,
            models=self._models,
            prices=prices,
            ledger=self._ledger,
            tries=self._tries,
            slots=slots,
            only=next(iter(policy.models)) if policy.models and len(policy.models) == 1 else None,
            standing=mandate.standing,
            gas=self._gas,
            turn=self._seconds_to_turn,
            ring=self.bell.call,
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
            most_gas=self._most_gas,
            has_rivals=lambda: self._rivals.are_there(self._reading.chain_time),
            revealed=lambda: self._defence.answers,
        )
        self._mandate, self._budget = mandate, budget
        self._lookout = None if setup.watch is None else self._looking_out(setup.watch, key)
        self.signing = None if signs is None else self._signing(signs, mandate)

    def _looking_out(self, watch: Watch, key: Signer | None) -> Lookout:
        return Lookout(
            watch=watch,
            chain=self._setup.chain,
            store=self._store,
            reading=self._reading,
            account=None if key is None else key.address,
            takes=self._takes,
            own=self._at_stake,
        )

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
            bell=self.bell,
        )

    def run(self, stop: Flag, pause: float) -> None:
        """Works in rounds until `stop` is set, and the bell rung."""
        self._setup.chain.on_head(self.bell.call)
        if self.signing is None:
            rounds.run(self.tick, stop, pause, self.bell)
        else:
            rounds.run(self.tick, stop, pause, self.bell, self.signing.work)

    def tick(self) -> None:
        """Works one round. Whatever it was doing when the process died, the next round does
        again."""
        with nullcontext() if self._lookout is None else self._lookout.round():
            self._round()

    def _round(self) -> None:
        now = self._setup.clock()
        self._models.start_round()
        self._mandate.start_round()
        self._gas.start_round()
        try:
            self._read(now)
        except WrongChain:
            raise
        except ChainError:
            self._show(now)
            raise
        self._show(now)
        due_time = self._reading.due_time(now)
        self._answering.work(now, due_time)
        if self.signing is not None:
            self._sign(self.signing, now, due_time)
        self._keep_files()
        self._forget_tries(now)
        if self._sending.work(now, due_time):
            self.bell.call()  # where blocks come fast there is room again already

    @property
    def is_idle(self) -> bool:
        """Says whether nothing runs, no file is fetched and no transaction waits."""
        parts = (self._answering, self._defence, self._models)
        if self.signing is not None and not self.signing.is_idle:
            return False
        return all(part.is_idle for part in parts) and not self._store.waiting()

    def undone(self) -> list[Row]:
        """Lists what is left although it was due: what is open and not sent, what was missed since
        the program started, and answers that nothing is staked for, or that our key may not give.
        What we do not want to answer is none of it. In a dry run nothing is due."""
        if self._setup.sender is None:
            return []
        store, chain_time = self._store, self._reading.chain_time
        self._mandate.start_round()
        rows = store.duties(State.OPEN, due_by=chain_time)
        rows += [row for row in store.duties(State.MISSED) if row.key not in self._missed_before]
        standing = self._mandate.standing()
        least = self._setup.queue.limits().min_bond
        if standing.obstacle is not None or standing.stake < least:
            rows += store.duties(State.DECLINED, kind=DutyKind.PROPOSE, due_after=chain_time)
        return rows

    def _takes(self, row: Row) -> float:
        """Gives the seconds until the transaction of a duty can be sent."""
        match row.duty.kind:
            case DutyKind.REVEAL if row.key not in self._defence.answers:
                request = self._records.request_of(row)
                return self._ledger.pass_time(self._records.request_id(row), request.model)
            case DutyKind.PROPOSE if self._store.took(row.duty.request_id) is None:
                return self._ledger.run_time(self._records.request_of(row).model)
            case _:
                return 0.0

    def _at_stake(self) -> Own:
        account = self._mandate.account()
        read_until = self._reading.read_until
        load = self._ledger.load(read_until, (), self._setup.clock())
        stake = Stake(
            staked=account.staked,
            locked=account.locked,
            exposure=None if load is None else load.bonds,
            trace_used=None if load is None else load.seconds,
            trace_budget=self._budget.seconds,
            unposted=len(self._store.unposted(read_until)),
            undefended=self._ledger.undefended,
        )
        return Own(stake=stake)

    def _owed(self, history: History) -> Iterator[Due]:
        if isinstance(history, AccountHistory):
            self._say_slashed(history)
        else:
            self._rivals.note(history)
        return owed(history, self._setup.policy.operator)

    def _say_slashed(self, history: AccountHistory) -> None:
        """Says so once, in each run, of each time that we were."""
        slashes = [each for each in history.events if isinstance(each, OperatorSlashed)]
        for each in slashes:
            if each.operator == history.account and each.where not in self._slashed:
                self._slashed.add(each.where)
                log.error("we were slashed", bond=each.bond, challenger=each.challenger)

    def _seconds_to_turn(self, row: Row, request: Request) -> float:
        """Gives the seconds for which others go first, in each of whose turns two blocks come."""
        if request.operator is not None:
            return 0.0
        turn = self._rivals.turn(row.duty.request_id, self._reading.chain_time)
        wait = turn * max(LEAST_TURN, 2 * self._reading.pace)
        left = (row.duty.deadline or 0) - self._reading.chain_time
        return wait if wait < left / 4 else 0.0

    def _read(self, now: float) -> None:
        self._reading.work(now)
        # Before anything is sent: what a block took back is in it no more.
        if self._setup.sender is not None:
            self._setup.sender.follow(now, self._store.final())

    def _show(self, now: float) -> None:
        """Shows traces that are demanded. Whoever does not in time is slashed, so what a node
        refuses of blocks, fees or rivals keeps back the rest of a round alone."""
        due_time = self._reading.due_time(now)
        self._defend(now, due_time)
        self._sending.reveal(now, due_time)

    def _sign(self, signing: Signing, now: float, due_time: float) -> None:
        signing.refresh(now, due_time, self._reading.read_until, self._gas.price())
        signing.work()

    def _defend(self, now: float, due_time: float) -> None:
        owed_ = self._store.duties(State.OPEN, State.SENT, kind=DutyKind.REVEAL)
        rows = [row for row in owed_ if self._may_be_shown(row)]
        self._say_disputed(rows)
        chain_time = self._reading.chain_time
        self._defence.work(rows, self._has_short_trace, now, due_time, chain_time)

    def _may_be_shown(self, row: Row) -> bool:
        """Says whether the model is known by which a demand is to be answered. Until it is read,
        the demand waits, to its end."""
        is_known = self._records.is_known(row)
        if not is_known and self._tries[row.key].is_news(UNREAD):
            request = hex_id(self._records.request_id(row))
            log.error("a demand cannot be answered yet", request=request, why=UNREAD)
        return is_known

    def _say_disputed(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._tries[row.key].is_news(DISPUTED):
                request = hex_id(self._records.request_id(row))
                log.warning(DISPUTED, request=request, deadline=row.duty.deadline)

    def _has_short_trace(self, row: Row) -> bool:
        model = self._records.request_of(row).model
        return self._ledger.has_short_trace(self._records.request_id(row), model, SHORT)

    def _open(self, row: Row, task: Open) -> "Future[bytes] | None":
        model = self._records.request_of(row).model
        return self._models.open(model, self._records.request_id(row), task)

    def _keep_files(self) -> None:
        """Keeps the files of models whose results are open. Whoever cannot show the trace of an
        open result is slashed, and the model's publisher may no longer serve its file."""
        demanded = self._store.duties(State.OPEN, State.SENT, kind=DutyKind.REVEAL)
        models = {self._records.request_of(row).model for row in demanded}
        models |= self._ledger.open_models(self._reading.read_until) | self._answering.models
        self._models.keep(models | (self.signing.models if self.signing else set()))

    def _forget_tries(self, now: float) -> None:
        """Drops what is kept about duties that have ended; where that is much, now and then."""
        if len(self._tries) > FEW_TRIES and now < self._forget_at:
            return
        self._forget_at = now + RETRY
        subjects: defaultdict[DutyKind, list[bytes]] = defaultdict(list)
        for kind, subject in self._tries:
            subjects[kind].append(subject)
        rows = [
            row
            for kind, some in subjects.items()
            for row in self._store.duties_of(kind, some).values()
        ]
        forget_all_but(
            self._tries, {row.key for row in rows if row.state in (State.OPEN, State.SENT)}
        )

    def _most_gas(self, requests: Sequence[Request]) -> Wei | None:
        charges = Wei(sum(map(self._gas.charges, requests)))
        return most_gas(requests, self._setup.policy, self._gas.price(), charges)
