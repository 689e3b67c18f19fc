"""Workers to test with: the real service on a devnet, with an inference that answers at once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oracle.chain.events import RequestCreated
from oracle.chain.finality import Finality
from oracle.chain.node import Chain
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.exact.proofs.cost import Calibration, Unit
from oracle.inference.answers import Inference
from oracle.inference.executor import Ran
from oracle.state.agenda import Row
from oracle.state.duties import DutyKind, State
from oracle.state.store import Store
from oracle.state.watch import Watch
from oracle.types import Model
from oracle.worker.policy import Policy
from oracle.worker.service import Service, Setup, SigningSetup
from oracle.worker.signing import SigningLimits
from tests.chains import OUTPUT, PEOPLE, World, address
from tests.runs import together

# A machine on which a byte that is hashed takes a nanosecond, and nothing else takes any time.
CALIBRATION = Calibration({unit: 0.0 for unit in Unit} | {Unit.HASHED: 1e-9})


@dataclass
class Answers:
    """Gives every request the same output, or fails, in the order of `failures`, first."""

    output: bytes = OUTPUT
    failures: list[BaseException] = field(default_factory=list)
    asked: list[tuple[Model, tuple[str, ...], bytes]] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def is_here(self, *_: object) -> bool:
        return True

    def ready(self, *_: object) -> bool:
        return True

    def keep(self, _: object) -> None: ...

    def submit(
        self, model: Model, uris: Sequence[str], payload: bytes, most: float
    ) -> "Future[Ran]":
        self.asked.append((model, tuple(uris), payload))
        self.most.append(most)
        future: Future[Ran] = Future()
        if self.failures:
            future.set_exception(self.failures.pop(0))
        else:
            future.set_result(Ran(self.output, 0.0))
        return future

    def submit_all(
        self, model: Model, uris: Sequence[str], payloads: Sequence[bytes], most: float
    ) -> "Future[list[Ran | None]]":
        return together([self.submit(model, uris, payload, most) for payload in payloads])

    def ask(self, *_: object) -> "Future[bytes]":
        raise AssertionError("where nobody may dispute, nothing is asked")


@dataclass
class Worker:
    """An operator's program, and the clock on its wall."""

    world: World
    store: Store
    service: Service
    answers: Any  # with what it was asked, and more that its test knows of
    clock: list[float]
    watch: Watch | None = None

    def tick(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.clock[0] = max(self.clock[0] + 1, self.world.time())
            self.service.tick()

    def work(self) -> None:
        """Until there is nothing that can be done now."""
        pause = 0.01
        for _ in range(60):
            before = self.snapshot()
            self.tick()
            if self.service.is_idle and self.snapshot() == before:
                return
            if not self.service.is_idle:
                # Under load anvil answers before it mines. Rounds move our clock: few, and longer.
                pause = 0.01 if self.snapshot() != before else 1.3 * pause
                time.sleep(pause)
        raise AssertionError(f"never idle: {self.snapshot()}")

    def wait(self, seconds: float) -> None:
        """By the worker's clock alone."""
        self.clock[0] += seconds

    def snapshot(self) -> object:
        return (self.store.cursor(), self.rows(), self.store.waiting(), len(self.answers.asked))

    def rows(self, kind: DutyKind | None = None) -> list[Row]:
        return sorted(self.store.duties(*State, kind=kind), key=lambda row: (row.place, row.key))

    def why(self, asked: RequestCreated) -> str:
        """What it makes of a request that it does not answer."""
        return self.store.opinion(DutyKind.PROPOSE, asked.request_id) or ""

    def states(self, kind: DutyKind | None = None) -> list[State]:
        return [row.state for row in self.rows(kind)]


Hire = Callable[..., Worker]


def hire(
    world: World,
    folder: Path,
    who: str = "operator",
    answers: Inference | None = None,
    chain: Chain | None = None,
    dry: bool = False,
    patience: float = 30.0,
    confirmations: int = 0,
    parallel: int = 8,
    store: Store | None = None,
    budgeted: bool = True,
    calibration: Calibration = CALIBRATION,
    signing: SigningLimits | None = None,
    hot: str | None = None,
    finality: int | None = None,
    watched: bool = False,
    **policy: Any,
) -> Worker:
    """The worker of `who`, whose own key or another's, the `hot` one, sends; with the state that it
    had if it worked before. One that keeps to no budget answers each demand at once; with `signing`
    it signs answers besides; one that is `watched` shows how it does."""
    chain, key = chain or world.chain, hot or who
    store = store or Store(
        f"sqlite:///{folder}/{who}-by-{key}.db",
        chain.id,
        world.deployment.queue,
        address(who),
        address(key),
    )
    answers = answers or Answers()
    clock = [float(world.time())]
    disputes = world.disputes if world.deployment.has_disputes else None
    setup = Setup(
        chain=chain,
        queue=world.queue,
        view=View(chain, world.deployment, Finality(chain, finality), confirmations),
        store=store,
        inference=answers,
        policy=replace(Policy(address(who)), **policy),
        sender=None if dry else Sender(chain, PEOPLE[key], store, patience),
        calibration=calibration,
        disputes=disputes,
        reveal_period=disputes.periods().reveal if disputes and budgeted else None,
        parallel=parallel,
        clock=lambda: clock[0],
        watch=Watch("worker", lambda: clock[0]) if watched else None,
    )
    signs = None if signing is None else SigningSetup(world.registry, signing)
    return Worker(world, store, Service(setup, signs), answers, clock, setup.watch)
