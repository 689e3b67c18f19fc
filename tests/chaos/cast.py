"""Who acts in a chaos test: the real programs over real state files, killed and started again."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import Any

import sqlalchemy

from oracle.chain.node import Chain
from oracle.chain.nodes import Nodes
from oracle.cli.demo.liar import answer, false_trace, output_of
from oracle.errors import ChainError
from oracle.exact.run import Runner
from oracle.inference.engine import Exact, Infer, Open, Task
from oracle.types import Model
from oracle.worker.signing import SigningLimits
from tests import courts
from tests.chains import World
from tests.chaos.bad_nodes import BadNode
from tests.chaos.ground import Ground
from tests.courts import Challenger, Honest
from tests.integration import workers
from tests.integration.test_dispute_crash import Fate, Killed
from tests.integration.workers import Worker
from tests.networks import Network

MOST_ROUNDS = 8  # that a program works, as one calls for the next, while no block comes
Party = Worker | Challenger
Hire = Callable[[World, Path, str, dict[str, Any]], Party]
SIGNING = SigningLimits(max_timeout=600)


class Right(Honest):
    """Runs several models, in this process."""

    def __init__(self, networks: list[Network]):
        super().__init__()
        self._engines = {each.program.root: Exact(Runner(each.program)) for each in networks}

    def ask(self, model: Model, _: object, payload: bytes, task: Task) -> "Future[bytes]":
        future: Future[bytes] = Future()
        future.set_result(self.of(self._engines[model.program_root], payload, task))
        return future

    def of(self, engine: Exact, payload: bytes, task: Task) -> bytes:
        return engine.do(task, payload)


class Wrong(Right):
    """Lies about the last value, as the demo's liar."""

    def of(self, engine: Exact, payload: bytes, task: Task) -> bytes:
        if not isinstance(task, (Infer, Open)):
            return engine.do(task, payload)
        trace = false_trace(engine.runner, payload)
        return answer(trace, output_of(trace), task)


class OneRound(Flag):
    """Ends a program's work after one round, and lets it never wait."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def is_set(self) -> bool:
        self._asked += 1
        return self._asked > 1

    def wait(self, _: float | None = None) -> bool:
        return True


@dataclass
class Program:
    """One of them. `skew` is how far its clock is ahead, in seconds."""

    who: str
    ground: Ground
    folder: Path
    nodes: list[BadNode]
    hire: Hire
    options: dict[str, Any] = field(default_factory=dict)
    skew: int = 0
    starts: int = 0
    disk_is_full: bool = False
    fate: Fate = field(default_factory=Fate)
    party: Party | None = None

    def start(self) -> None:
        """Raises ChainError where its node does not answer, as the command does."""
        self.fate = Fate()
        chain = self._connect()
        world = World(chain, self.ground.world.deployment)
        self.party = self.hire(world, self.folder, self.who, self.options)
        self.party.clock[0] = self._time()
        self.fate.on(self.party.store)
        sqlalchemy.event.listen(self.party.store._engine, "begin", self._limit)
        self.starts += 1

    def _connect(self) -> Chain:
        by_url = {node.url: node for node in self.nodes}
        if len(by_url) > 1:
            return Nodes([*by_url], lambda url: by_url[url].open(), lambda: float(self.ground.now))
        return self.fate.chain(self.nodes[0].open())

    def _limit(self, connection: sqlalchemy.Connection) -> None:
        """Lets the state's file grow, or not any more: SQLite says then what a full disk says."""
        most = 1 if self.disk_is_full else 1 << 30  # pages; no fewer than there are
        connection.connection.cursor().execute(f"PRAGMA max_page_count = {most}")

    def _time(self) -> float:
        return float(self.ground.now + self.skew)

    def afresh(self, folder: Path) -> Party:
        """The same program, of which nothing was kept, once it has read the chain."""
        place = folder / "afresh"
        place.mkdir(exist_ok=True)
        party = self.hire(self.ground.world, place, self.who, self.options | {"dry": True})
        party.clock[0] = self._time()
        program = party.service if isinstance(party, Worker) else party.patrol
        program.tick()
        return party

    def kill(self) -> None:
        """What it holds in memory is lost."""
        if self.party is not None:
            self.party.store.close()
            self.party = None

    def doom(self, steps: int) -> None:
        """Kills it that many statements or calls from now."""
        self.fate.deadly = self.fate.passed + steps

    def recover(self) -> None:
        """Nothing is wrong with it any more."""
        self.skew, self.fate.deadly, self.disk_is_full = 0, 0, False
        for node in self.nodes:
            node.calm()

    def crank(self) -> str | None:
        """Works until it rests; says how it ended where not well."""
        try:
            if self.party is None:
                self.start()
            self._round()
        except Killed:
            self.kill()
            return "killed"
        except ChainError as error:
            self.kill()
            return f"did not start: {error}"
        return None

    def _round(self) -> None:
        assert self.party is not None
        self.party.clock[0] = self._time()
        program = self.party.service if isinstance(self.party, Worker) else self.party.patrol
        for _ in range(MOST_ROUNDS):
            program.run(OneRound(), 0.0)
            if not program.bell.is_called:
                return


def work(world: World, folder: Path, who: str, options: dict[str, Any]) -> Worker:
    return workers.hire(world, folder, who, chain=world.chain, **options)


def patrol(world: World, folder: Path, who: str, options: dict[str, Any]) -> Challenger:
    return courts.hire(world, folder, who, chain=world.chain, **options)
