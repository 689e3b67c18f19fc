"""What the programs that watch a chain have in common: rounds, events in, deadlines missed."""

import time
import traceback
from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import Protocol

import structlog

from oracle.chain.disputes import Dispute, key_of, replay
from oracle.chain.events import DisputeEvent, Event, RequestCreated
from oracle.chain.node import Chain
from oracle.chain.watcher import Watcher
from oracle.errors import ChainError, Reorganised, WrongChain
from oracle.state.duties import Decision, Decline, Duty, State
from oracle.state.store import Handled, Store
from oracle.types import Request, RequestId, Wei
from oracle.visible import hex_id

log = structlog.get_logger()


class Book:
    """What is known when an event is decided on: what is stored, and what the events before it in
    the same step say."""

    def __init__(self, store: Store, gas_price: Wei):
        self._store = store
        self._fresh: list[Event] = []
        self.gas_price = gas_price

    def note(self, event: Event) -> None:
        if isinstance(event, (RequestCreated, DisputeEvent)):
            self._fresh.append(event)

    def request_of(self, request_id: RequestId) -> Request | None:
        for event in self._fresh:
            if isinstance(event, RequestCreated) and event.request_id == request_id:
                return event.request
        return self._store.request(request_id)

    def disputes_of(self, request_id: RequestId) -> list[Dispute]:
        """Gives the disputes about a request, each with all that happened in it."""
        fresh = [
            event
            for event in self._fresh
            if isinstance(event, DisputeEvent) and event.request_id == request_id
        ]
        found = {each.key: each for each in self._store.disputes(request_id)}
        for key in dict.fromkeys(map(key_of, fresh)):
            found[key] = replay(key, fresh, found.get(key))
        return list(found.values())


class Errands(Protocol):
    """What is seen to between two rounds, as soon as its bell is rung."""

    @property
    def bell(self) -> Flag: ...

    def work(self) -> None: ...


Decide = Callable[[Event, Book], Iterator[Decision]]


def run(tick: Callable[[], None], stop: Flag, pause: float, errands: Errands | None = None) -> None:
    """Works in rounds until `stop` is set. If a node does not answer, or answers with an error of
    its own, it waits and tries again. Who sets `stop` rings the bell of `errands`."""
    wait = pause
    while not stop.is_set():
        try:
            tick()
            wait = pause
        except (Reorganised, WrongChain):
            raise
        except ChainError as error:
            wait = min(60.0, 2 * wait)
            log.warning("the node does not answer", why=str(error), again_in=wait)
        _rest(stop, wait, errands)


def _rest(stop: Flag, pause: float, errands: Errands | None) -> None:
    if errands is None:
        stop.wait(pause)
        return
    until = time.monotonic() + pause
    # A bell rung without end must keep no round waiting: who misses an answer is slashed.
    while not stop.is_set() and (left := until - time.monotonic()) > 0 and errands.bell.wait(left):
        errands.bell.clear()
        errands.work()


def read(chain: Chain, watcher: Watcher, store: Store, decide: Decide) -> None:
    """Takes on what follows from all that happened since the last round."""
    for step in watcher.steps(store.cursor()):
        book = Book(store, chain.gas_price() if step.events else Wei(0))
        store.advance(step.cursor, [_handled(event, book, decide) for event in step.events])


def miss(chain: Chain, store: Store, now: float) -> None:
    """Gives up what can no longer be done in time, and says so."""
    for row in store.duties(State.OPEN, State.SENT):
        deadline = row.duty.deadline
        if deadline is None or deadline > now:
            continue
        # What was sent may have been in time, until all blocks before the deadline are read.
        if row.state is State.OPEN or _has_read_until(chain, store, deadline):
            log.error("missed a deadline", kind=row.duty.kind, subject=hex_id(row.duty.subject))
            store.end(row.id, State.MISSED, "its deadline passed")


def _has_read_until(chain: Chain, store: Store, time: int) -> bool:
    cursor = store.cursor()
    return cursor is not None and chain.block(cursor.number).time >= time


def _handled(event: Event, book: Book, decide: Decide) -> Handled:
    try:
        decisions = tuple(decide(event, book))
    # One poisonous event must not cost us the deadlines of the rest.
    except Exception:
        log.error("an event is stuck", what=repr(event), exc_info=True)
        return Handled(event, (), traceback.format_exc())
    finally:
        book.note(event)
    for decision in decisions:
        _log(decision)
    return Handled(event, decisions)


def _log(decision: Decision) -> None:
    match decision:
        case Duty(kind=kind, subject=subject, deadline=deadline):
            log.info("took on a duty", kind=kind, subject=hex_id(subject), deadline=deadline)
        case Decline(request_id=request_id, reason=reason):
            log.info("declined", request=hex_id(request_id), why=reason)
