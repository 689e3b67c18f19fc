"""Walks of a chain that goes back and forth, and of what a program does meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from oracle.chain.events import (
    Event,
    PartDemanded,
    PrepaidCollected,
    RequestCreated,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    UnstakeStarted,
    WindowMoved,
    Withdrawn,
)
from oracle.chain.histories import RequestHistory
from oracle.chain.transactions import Outcome, Sent
from oracle.chain.view import Change, Header
from oracle.state.deeds import Computed, Signed
from oracle.state.duties import DutyKind, Key, State
from oracle.state.store import KEPT, Store
from oracle.types import Proposal, Status, Wei
from tests.chains import OUTPUT, created, where
from tests.events import FIRST, STRANGER, demand, tales
from tests.unit.state.changes import ME, QUEUE, keys, ours, receipt, sent


@dataclass(frozen=True)
class Block:
    """A block of which its events are known, or some of them."""

    number: int
    fork: int
    events: Sequence[Event]

    @property
    def hash(self) -> bytes:
        return self.number.to_bytes(16, "big") + self.fork.to_bytes(16, "big")

    @property
    def header(self) -> Header:
        return Header(self.number, self.hash, FIRST + self.number)

    def placed(self) -> list[Event]:
        """The events as those of this block."""
        at = replace(where(self.number, time=FIRST + self.number), block_hash=self.hash)
        return [replace(each, where=replace(at, index=n)) for n, each in enumerate(self.events)]


@dataclass(frozen=True)
class Step:
    """The chain goes back by as many blocks, and on by others, which are read in as many changes;
    what is final is read again, of the blocks of which not all was told."""

    back: int
    blocks: Sequence[Sequence[Event]]
    is_undone_first: bool
    in_parts: bool
    finals: int
    opinion: int | None


ASKED = [created(number) for number in (1, 2)]


@st.composite
def some_events(draw: st.DrawFn) -> Sequence[Event]:
    asked = draw(st.sampled_from(ASKED))
    key = asked.request_id[::-1]
    paid = [
        PartDemanded(where(), asked.request_id, ME, demand(STRANGER, key=key)),
        PrepaidCollected(where(), key, ME, Wei(7)),
    ]
    # Nobody collects what was not demanded.
    found = [e for e in draw(tales(asked, ME)) if not isinstance(e, PrepaidCollected)][:3]
    found += draw(st.sampled_from([[], paid]))
    account = [UnstakeStarted(where(), ME, Wei(1), FIRST + 3), Withdrawn(where(), ME, Wei(1))]
    before: list[Event] = draw(st.sampled_from([[], [asked], [asked], account[:1], account[1:]]))
    return [*before, *found]


steps = st.builds(
    Step,
    st.integers(0, 4),
    st.lists(some_events(), max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    st.none() | st.integers(0, 9),
)


class Follower:
    """Feeds a store with how a chain changes, and knows what it should hold."""

    def __init__(self, store: Store):
        self.store = store
        self.chain: list[Block] = []
        self.final = 0  # blocks
        self.fork = 0
        self.opinions: dict[Key, str] = {}

    def go(self, step: Step) -> None:
        base = max(self.final, len(self.chain) - step.back)
        if step.is_undone_first and base < len(self.chain):
            self.take(self.change(base + 1, (), base))
        self.fork += 1
        new = [Block(base + n, self.fork, events) for n, events in enumerate(step.blocks, 1)]
        self.chain[base:] = new if new or step.is_undone_first else self.chain[base:]
        groups = [[each] for each in new] if step.in_parts else [new] if new else []
        for group in groups:
            self.take(self.change(group[0].number, group, group[-1].number))
        settled = self.final
        self.final = min(len(self.chain), self.final + step.finals)
        again = self.chain[settled : self.final]
        if again:
            self.take(self.change(again[0].number, again, again[-1].number, ends=False))
        self.think(step.opinion)

    def change(self, first: int, blocks: Sequence[Block], last: int, ends: bool = True) -> Change:
        headers = [each.header for each in (blocks if ends else blocks[-1:])]
        events = [event for each in blocks for event in each.placed()]
        return Change(first, last, headers, events, self.final, self.final, ends)

    def take(self, change: Change) -> None:
        self.store.apply(change, ours)
        owed = keys(self.store)
        self.opinions = {key: note for key, note in self.opinions.items() if key in owed}

    def think(self, number: int | None) -> None:
        owed = sorted(keys(self.store))
        if number is not None and owed:
            key = owed[number % len(owed)]
            self.store.set_opinion([key], State.DECLINED, str(number))
            self.opinions[key] = str(number)


@contextmanager
def stores(count: int) -> Iterator[list[Store]]:
    """Empty ones, in memory."""
    found = [Store("sqlite:///:memory:", 31337, QUEUE, ME) for _ in range(count)]
    yield found
    for each in found:
        each.close()


# What a program does meanwhile.


class Walker(Follower):
    """Goes with a chain on which requests are answered, and does at its side what a program does,
    and more."""

    def __init__(self, store: Store, seed: int):
        super().__init__(store)
        self.random = Random(seed)
        self.sent: list[Sent] = []

    @property
    def read_until(self) -> int:
        return FIRST + len(self.chain)

    def walk(self, steps: int) -> Iterator[str]:
        """Yields what it has done, after each step."""
        acts = [name for name in dir(self) if name.startswith("act_")]
        for _ in range(steps):
            name = "act_go" if self.random.random() < 0.4 else self.random.choice(acts)
            getattr(self, name)()
            yield name

    def act_go(self) -> None:
        random = self.random
        blocks = [self._events() for _ in range(random.choice([0, 1, 1, 2]))]
        back = random.choice([0, 0, 0, 1, 2, 3])
        finals, opinion = random.choice([0, 0, 1]), random.choice([None, 1])
        self.go(Step(back, blocks, random.random() < 0.3, random.random() < 0.5, finals, opinion))

    def _events(self) -> list[Event]:
        """Draws what may come next to each request."""
        return [
            event
            for asked in ASKED
            if self.random.random() < 0.6
            for event in [self._event(asked, self.store.history(asked.request_id))]
        ]

    def _event(self, asked: RequestCreated, history: RequestHistory | None) -> Event:
        random, id_ = self.random, asked.request_id
        until = FIRST + len(self.chain) + random.randrange(12)
        proposal = Proposal(random.choice([ME, ME, STRANGER]), 0, FIRST, until, len(OUTPUT))
        if history is None:
            return asked
        if history.status is Status.REQUESTED:
            return ResultProposed(where(), id_, proposal, OUTPUT)
        if history.status is not Status.PROPOSED or history.proposed is None:
            return RequestReopened(where(), id_, STRANGER)
        moved = replace(history.proposed.proposal, settle_at=until)
        may_follow: list[Event] = [
            RequestSettled(where(), id_, STRANGER),
            RequestReopened(where(), id_, STRANGER),
            WindowMoved(where(), id_, moved.operator, moved),
            PartDemanded(where(), id_, ME, demand(STRANGER, key=id_[::-1])),
        ]
        return random.choice(may_follow)

    def act_open(self) -> None:
        for key in self._some():
            self.store.drop_opinion(key)
            self.opinions.pop(key, None)

    def act_judge(self) -> None:
        for key in self._some():
            state = self.random.choice([State.DECLINED, State.DROPPED, State.MISSED])
            self.store.set_opinion([key], state, "for some reason")

    def act_send(self) -> None:
        if owed := self._some(most=2):
            self._record(len(self.sent), owed)

    def act_send_another(self) -> None:
        """Raises a fee."""
        for old in self._sent():
            self._record(old.nonce, self.store.keys_of(old.hash))

    def act_mine(self) -> None:
        """In a block that was read, or in the one after all that were."""
        for each in self._sent():
            number = self.random.randint(1, len(self.chain) + 1)
            hash_ = self.chain[number - 1].hash if number <= len(self.chain) else bytes(32)
            found = receipt(each, number, self.random.random() < 0.7, block_hash=hash_)
            self.store.mark_mined({each.nonce: found})

    def act_displace(self) -> None:
        for each in self._sent():
            self.store.mark(each.nonce, Outcome.DISPLACED, len(self.chain))

    def act_unmine(self) -> None:
        for each in self._sent():
            self.store.mark_waiting(each.nonce)

    def act_refuse(self) -> None:
        for each in self._sent():
            self.store.mark_one(each.hash, Outcome.REFUSED)

    def act_finish(self) -> None:
        waiting = {each.nonce for each in self.store.waiting()}
        for each in self._sent():
            if each.nonce not in waiting:
                self.store.finish(each.nonce)

    def act_compute(self) -> None:
        rows = self.store.duties(State.OPEN, kind=DutyKind.PROPOSE)
        took = self.random.random()
        self.store.keep_outputs([Computed(row.duty.request_id, OUTPUT, took) for row in rows[:1]])

    def act_sign(self) -> None:
        asked = self.random.choice(ASKED)
        if self.store.history(asked.request_id) is not None:
            return
        deadline = self.read_until + self.random.randrange(10)
        request, took = replace(asked.request, deadline=deadline), self.random.random()
        self.store.keep_signed(Signed(asked.request_id, request, 0, took, OUTPUT))

    def act_renew(self) -> None:
        self.store.renew([self.random.choice(ASKED).request_id], ours)

    def act_forget(self) -> None:
        """What ended long ago; at times all that is there."""
        if self.random.random() < 0.3:
            time = self.random.choice([self.read_until - 5, ASKED[0].request.deadline + 1])
            self.store.drop_ended(time + KEPT)

    def act_lose(self) -> None:
        """All is read anew, and the chain says something else."""
        if self.random.random() < 0.2:
            self.store.reset()
            length, self.chain, self.final = len(self.chain), [], 0
            self.go(Step(0, [self._events() for _ in range(length)], False, False, 0, None))

    def _some(self, most: int = 1) -> list[Key]:
        owed = sorted(keys(self.store))
        return self.random.sample(owed, min(most, len(owed)))

    def _sent(self) -> list[Sent]:
        return self.random.sample(self.sent, min(1, len(self.sent)))

    def _record(self, nonce: int, keys: Sequence[Key]) -> None:
        self.sent.append(sent(nonce, name=str(len(self.sent)), at=float(len(self.sent))))
        self.store.record((self.sent[-1], keys))
