"""The world of a chaos test: the chain, the programs, the crowd, and what happens in each round."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from oracle.chain.events import RequestCreated
from oracle.chain.node import Call
from oracle.types import ModelId, Status
from tests import chains, courts
from tests.chains import ETHER, World
from tests.chaos.bad_nodes import BadNode
from tests.chaos.cast import SIGNING, Hire, Program, Right, Wrong, patrol, work
from tests.chaos.crowd import Crowd
from tests.chaos.ground import PACE, Ground
from tests.chaos.mishaps import Mishaps
from tests.networks import Network, network

HONEST, LIAR, CHALLENGER = ("operator", "rival"), "second", "challenger"
STAKE, LIARS_STAKE = 500 * ETHER, 900 * ETHER
FINALITY, SOON = 12, 6  # blocks: reorganisations go down to the one, and beyond the other
SKIP = 600  # seconds, when nothing else happens
MOST_SKIPS = 400


@dataclass
class Stage:
    seed: int
    rng: Random
    ground: Ground
    crowd: Crowd
    programs: Sequence[Program]
    mishaps: Mishaps
    lines: Sequence[Any]  # that the programs logged
    log: list[str] = field(default_factory=list)
    round: int = 0

    @property
    def world(self) -> World:
        return self.ground.world

    def note(self, sentence: str) -> None:
        self.log.append(f"{self.round:4} block {self.world.head():5} {sentence}")

    def play(self) -> None:
        """One round, with whatever goes wrong in it."""
        self.round += 1
        signers = [each for each in self.programs if each.who in HONEST]
        self.note(self.crowd.act(signers))
        for sentence in self.mishaps.happen():
            self.note(sentence)
        self._crank(2)
        self.ground.pass_time()

    def _crank(self, count: int) -> None:
        for program in self.rng.sample(self.programs, count):
            why = program.crank()
            if why is not None:
                self.note(f"{program.who}: {why}")

    def end(self) -> None:
        """Nothing goes wrong any more, and time passes until nothing is left to do."""
        for program in self.programs:
            program.recover()
        self.note("all is well from here on")
        for _ in range(MOST_SKIPS):
            self.round += 1
            before = self._state()
            self._crank(len(self.programs))
            has_moved = self._state() != before or not self.ground.is_empty()
            if not has_moved and self._is_over():
                return
            for _ in range(1 if has_moved else FINALITY + 1):
                self.ground.pass_time(PACE if has_moved else SKIP // FINALITY)
        raise AssertionError(f"never over: {self._state()}")

    def _state(self) -> object:
        return [
            None if each.party is None else (each.party.rows(), each.party.store.waiting())
            for each in self.programs
        ]

    def _is_over(self) -> bool:
        """Ends what nobody answered; says whether nothing is open, and no program owes anything or
        follows a transaction."""
        are_done = all(
            each.party is not None and not each.party.rows() and not each.party.store.followed()
            for each in self.programs
        )
        open_ = [each for each in self.world.all(RequestCreated) if self._is_open(each)]
        return are_done and not open_

    def _is_open(self, asked: RequestCreated) -> bool:
        status = self.world.status(asked)
        if status is Status.REQUESTED and self.world.time() >= asked.request.deadline:
            self.crowd.send("publisher", self.world.queue.expire(asked.request))
        return status in (Status.REQUESTED, Status.PROPOSED)


@contextmanager
def stage(folder: Path, seed: int) -> Iterator[Stage]:
    rng = Random(seed)
    with courts.court() as world, capture_logs() as lines:
        models = {publish(world, at): network(at) for at in range(2)}
        consumers = [world.consumer() for _ in range(2)]
        world.send("stranger", Call(consumers[0], b""))  # cures its callback
        for who in HONEST:
            world.stake(who, STAKE)
        world.stake(LIAR, LIARS_STAKE)
        ground = Ground(world, Random(rng.random()))
        programs = cast(ground, folder, rng, [*models.values()])
        crowd = Crowd(ground, Random(rng.random()), models, consumers, (*HONEST, LIAR))
        mishaps = Mishaps(Random(rng.random()), ground, programs)
        yield Stage(seed, rng, ground, crowd, programs, mishaps, lines)
        for program in programs:
            program.kill()


def publish(world: World, at: int) -> ModelId:
    return world.publish(name=f"network {at}", royalty=chains.ROYALTY, **network(at).terms)


def cast(ground: Ground, folder: Path, rng: Random, networks: list[Network]) -> list[Program]:
    """Two honest operators, one of whom asks two nodes and waits for confirmations, a lying one,
    and a challenger."""
    url = ground.world.chain.url

    def program(who: str, nodes: int, hire: Hire, **options: Any) -> Program:
        names = [f"{who}-{at}" for at in range(nodes)]
        bad = [BadNode(url, name, Random(rng.random())) for name in names]
        return Program(who, ground, folder, bad, hire, {"finality": FINALITY} | options)

    right, wrong = Right(networks), Wrong(networks)
    return [
        program("operator", 1, work, answers=right, signing=SIGNING),
        program("rival", 2, work, answers=right, signing=SIGNING, confirmations=2, finality=SOON),
        program(LIAR, 1, work, answers=wrong),
        program(CHALLENGER, 2, patrol, inference=right),
    ]
