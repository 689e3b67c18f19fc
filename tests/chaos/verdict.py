"""What must be true when a chaos test is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from oracle.chain.events import (
    Event,
    OperatorSlashed,
    RequestCreated,
    RequestExpired,
    RequestSettled,
    ResultProposed,
)
from oracle.state.schema import DUTIES, EVENTS
from oracle.state.store import Store
from oracle.types import Status
from tests.chains import NAMES, PEOPLE, World, address
from tests.chaos import crowd
from tests.chaos.cast import Program
from tests.chaos.stage import HONEST, LIAR, Stage
from tests.networks import Network

E = TypeVar("E", bound=Event)
# Seconds of a deadline and of a window that nothing excuses. A shorter window may be over before
# any demand has stood: blocks are taken back every few, ten at a time, and who works is drawn.
LONG, WATCHED = 2400, 1200
EXPECTED = {
    "a result is wrong",
    "we were slashed",  # the liar's
    "missed a deadline",
    "all is read anew; what we did is kept",
    "the node is far behind: is it of the same chain, and up to date?",
    "cannot be sent yet",
    "nothing can be kept, so nothing is done",
    "gave up a transaction that the node refuses",
}


@dataclass(frozen=True)
class Record:
    """All that happened, as the chain has it in the end."""

    played: Stage
    events: Sequence[Event]

    def all(self, kind: type[E]) -> list[E]:
        return [each for each in self.events if isinstance(each, kind)]

    @property
    def world(self) -> World:
        return self.played.world


def faults(played: Stage, folder: Path) -> Iterator[str]:
    """Says what is not as it must be."""
    record = Record(played, played.world.events())
    yield from _unanswered(record)
    yield from _slashes(record)
    yield from _lies(record)
    for program in played.programs:
        yield from _waiting(played.world, program)
        yield from _state(program, folder)
    yield from _books(record)
    for line in played.lines:
        if line["log_level"] == "error" and line["event"] not in EXPECTED:
            yield f"an error: {line}"


def _unanswered(record: Record) -> Iterator[str]:
    settled = [each.request_id for each in record.all(RequestSettled)]
    if len(settled) != len(set(settled)):
        yield "a request was settled twice"
    for asked in record.all(RequestCreated):
        status = record.world.status(asked)
        if status in (Status.REQUESTED, Status.PROPOSED):
            yield f"{asked.request_id.hex()} is still open: {status.name}"
        elif status is Status.EXPIRED and _is_wanted(record, asked):
            yield f"{asked.request_id.hex()} was never answered: {asked}"


def _is_wanted(record: Record, asked: RequestCreated) -> bool:
    """Says whether an honest operator could have answered it in time and would have been paid.
    After a conviction there may be no time left."""
    request = asked.request
    is_theirs = request.operator in (None, *map(address, HONEST))
    has_time = request.deadline - asked.where.time >= LONG
    claims = [each for each in record.all(ResultProposed) if each.request_id == asked.request_id]
    return is_theirs and has_time and request.fee == crowd.FEE and not claims


def _slashes(record: Record) -> Iterator[str]:
    for slash in record.all(OperatorSlashed):
        if slash.operator != address(LIAR):
            yield f"an honest operator was slashed: {slash}"


def _lies(record: Record) -> Iterator[str]:
    """Results that stand although a challenger had time to see that they are wrong."""
    created = {each.request_id: each for each in record.all(RequestCreated)}
    settled = {each.request_id: each.operator for each in record.all(RequestSettled)}
    for claim in record.all(ResultProposed):
        asked = created[claim.request_id]
        if claim.output == _network(record, asked).output(asked.payload):
            continue
        if claim.proposal.operator != address(LIAR):
            yield f"{claim.request_id.hex()}: an honest operator gave a wrong answer"
        is_watched = asked.request.window >= WATCHED
        if is_watched and settled.get(claim.request_id) == claim.proposal.operator:
            yield f"{claim.request_id.hex()}: a lie was settled, within {asked.request.window} s"


def _network(record: Record, asked: RequestCreated) -> Network:
    return record.played.crowd.models[asked.request.model]


def _waiting(world: World, program: Program) -> Iterator[str]:
    account, chain = address(program.who), world.chain
    counts = [
        int(chain.rpc("eth_getTransactionCount", [account, block]), 16)
        for block in ("latest", "pending")
    ]
    if counts[0] != counts[1]:
        yield f"{program.who} has transactions that wait: {counts}"
    assert program.party is not None
    if program.party.store.followed():
        yield f"{program.who} still follows transactions"


def _state(program: Program, folder: Path) -> Iterator[str]:
    """Compares a program's state with one that is read afresh."""
    party = program.party
    assert party is not None
    fresh = program.afresh(folder)
    for table in (EVENTS, DUTIES):
        ours, theirs = _rows(party.store, table), _rows(fresh.store, table)
        if ours != theirs:
            yield (
                f"{program.who}'s {table.name}: {len(ours - theirs)} that are not on the chain,"
                f" {len(theirs - ours)} that it lacks: {_shown(ours ^ theirs)}"
            )
    fresh.store.close()


def _shown(rows: set[tuple[object, ...]]) -> str:
    """Writes some rows, of which bodies are long."""
    return "; ".join(
        " ".join(each.hex()[:80] if isinstance(each, bytes) else str(each) for each in row)
        for row in sorted(rows, key=str)[:3]
    )


def _rows(store: Store, table: object) -> set[tuple[object, ...]]:
    with store._begin() as connection:
        return {tuple(row) for row in connection.execute(select(table))}  # type: ignore[call-overload]


def _books(record: Record) -> Iterator[str]:
    """All that the queue holds is somebody's: stakes, credits and the fees of what is open."""
    world, queue = record.world, record.world.queue
    people = [*(PEOPLE[name].address for name in NAMES), *record.played.crowd.consumers]
    owed = sum(
        queue.account_of(each).staked + queue.unstaking_of(each).amount + queue.credit_of(each)
        for each in people
    )
    over = {each.request_id for each in record.all(RequestSettled)}
    over |= {each.request_id for each in record.all(RequestExpired)}
    owed += sum(
        each.request.fee for each in record.all(RequestCreated) if each.request_id not in over
    )
    held = world.chain.balance(world.deployment.queue)
    if held != owed:
        yield f"the queue holds {held} wei and owes {owed}"
    stuck = world.chain.balance(world.deployment.disputes)
    if stuck:
        yield f"{stuck} wei are stuck in Disputes"
