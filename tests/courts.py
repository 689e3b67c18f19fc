"""A devnet with Disputes and the referee, a model to lie about, and operators of every kind."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from oracle.chain.contracts import Disputes, Referee, Subject
from oracle.chain.events import RequestCreated
from oracle.chain.finality import Finality
from oracle.chain.node import Chain
from oracle.chain.presets import preset
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.challenger.checking import SecondView
from oracle.challenger.patrol import Patrol, Setup
from oracle.challenger.policy import Policy
from oracle.cli.demo.liar import answer
from oracle.errors import InferenceFailed
from oracle.exact.lowering.graph import lower
from oracle.exact.proofs.evidence import descriptors
from oracle.exact.proofs.trace import Trace
from oracle.exact.run import Runner
from oracle.inference.engine import Exact, Infer, Open, Task
from oracle.inference.executor import Ran
from oracle.state.agenda import Row
from oracle.state.duties import State
from oracle.state.store import Store
from oracle.state.watch import Watch
from oracle.types import Model, ModelId, Part, RequestId, Wei
from tests import chains
from tests.chains import PEOPLE, World, address
from tests.liars import Lie, lying_trace
from tests.runs import together
from tests.unit.exact.files import file, node, tensor

REVEAL, REACTION, EXTENSION = 1200, 900, 14_400
WIDTH, DEPTH = 300, 5


def parameters(**changes: Any):
    values = replace(
        preset("devnet"),
        min_bond=chains.BOND,
        max_window=3600,
        withdrawal_delay=chains.DELAY,
        reveal_period=REVEAL,
        reaction_period=REACTION,
        extension_limit=EXTENSION,
    )
    return replace(values, **changes)


@contextmanager
def court(*arguments: str) -> Iterator[World]:
    with chains.anvil(*arguments, by=parameters()) as world:
        yield world


@cache
def onnx_file() -> bytes:
    """Matrix after matrix: each value depends on all before it."""
    rng = np.random.default_rng(7)
    weights = {
        f"w{at}": (rng.standard_normal((WIDTH, WIDTH)) / 17).astype(np.float32)
        for at in range(DEPTH)
    }
    names = ["x", *(f"v{at}" for at in range(DEPTH))]
    ops = [node("MatMul", [names[at], f"w{at}"], [names[at + 1]]) for at in range(DEPTH)]
    return file(ops, [tensor("x", [1, WIDTH])], [names[-1]], **weights)


@cache
def engine() -> Exact:
    return Exact(Runner(lower(onnx_file())))


def payload(seed: int = 1) -> bytes:
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(">f4").tobytes()


def publish(world: World) -> ModelId:
    return world.publish(name="matrices", **terms())


def terms() -> dict[str, Any]:
    program = engine().runner.program
    return {
        "program_root": program.root,
        "source_hash": hashlib.sha256(onnx_file()).digest(),
        "signature": program.signature,
        "royalty": Wei(0),
    }


def ask(world: World, model_id: ModelId, seed: int = 1, **changes: Any) -> RequestCreated:
    changes = {"bond": Wei(chains.ETHER // 2), "timeout": 36_000} | changes
    return world.ask(model_id, payload=payload(seed), **changes)


def demand(world: World, asked: RequestCreated, part: Part, who: str = "stranger") -> None:
    proposed = world.history.request(asked.request_id).proposed
    assert proposed is not None
    program = engine().runner.program
    price = world.disputes.price_of(part, len(program.nodes), 10)
    call = world.disputes.demand(
        Subject(asked.request, proposed.proposal, proposed.output),
        part,
        world.history.model(asked.request.model).published.preimage,
        descriptors(program, part.value),
        Wei(price * 2),
    )
    world.send(who, call)


@dataclass
class Honest:
    """Runs the model, in this process."""

    is_silent: bool = False  # answers requests, and no demands
    asked: list[Task] = field(default_factory=list)

    def is_here(self, *_: object) -> bool:
        return True

    def ready(self, *_: object) -> bool:
        return True

    def keep(self, _: object) -> None: ...

    def submit(
        self, model: Model, uris: Sequence[str], payload: bytes, _most: float
    ) -> "Future[Ran]":
        future: Future[Ran] = Future()
        future.set_result(Ran(self.ask(model, uris, payload, Infer()).result(), 0.0))
        return future

    def submit_all(
        self, model: Model, uris: Sequence[str], payloads: Sequence[bytes], most: float
    ) -> "Future[list[Ran | None]]":
        return together([self.submit(model, uris, payload, most) for payload in payloads])

    def ask(
        self, _model: Model, _uris: Sequence[str], payload: bytes, task: Task
    ) -> "Future[bytes]":
        self.asked.append(task)
        future: Future[bytes] = Future()
        if self.is_silent and isinstance(task, Open):
            future.set_exception(InferenceFailed("It would rather not say."))
        else:
            future.set_result(self.answer(payload, task))
        return future

    def answer(self, payload: bytes, task: Task) -> bytes:
        return engine().do(task, payload)


@dataclass
class Liar(Honest):
    lie: Lie = Lie(2, 123)

    def answer(self, payload: bytes, task: Task) -> bytes:
        if isinstance(task, (Infer, Open)):
            return answer(*self.trace(payload), task)
        return super().answer(payload, task)

    def trace(self, payload: bytes) -> tuple[Trace, bytes]:
        return lying_trace(engine().runner, payload, self.lie)


@dataclass
class Challenger:
    """A challenger's program, and the clock on its wall."""

    world: World
    store: Store
    patrol: Patrol
    clock: list[float]
    watch: Watch | None = None

    def tick(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.clock[0] = max(self.clock[0] + 1, self.world.time())
            self.patrol.tick()

    def work(self) -> None:
        """Until there is nothing that can be done now."""
        quiet, pause = 0, 0.005
        for _ in range(200):
            before = self.snapshot()
            self.tick()
            has_moved = self.snapshot() != before
            quiet = quiet + 1 if self.patrol.is_idle and not has_moved else 0
            if quiet == 2:
                return
            # What another process does is waited for, longer each time: rounds move our clock.
            pause = 0.005 if has_moved or quiet else 1.2 * pause
            time.sleep(pause)
        raise AssertionError(f"never idle: {self.snapshot()}")

    def snapshot(self) -> object:
        return (self.store.cursor(), self.rows(), self.store.waiting())

    def rows(self, *kinds: str) -> list[Row]:
        rows = sorted(self.store.duties(*State), key=lambda row: (row.place, row.key))
        return [row for row in rows if not kinds or row.duty.kind in kinds]


def hire(
    world: World,
    folder: Path,
    who: str = "challenger",
    inference: Any = None,
    dry: bool = False,
    second_view: SecondView | None = None,
    chain: Chain | None = None,
    disputes: Disputes | None = None,
    watched: bool = False,
    confirmations: int = 0,
    finality: int | None = None,
    **policy: Any,
) -> Challenger:
    """The challenger of `who`, with the state that it had if it worked before."""
    chain = chain or world.chain
    url = f"sqlite:///{folder}/{who}.db"
    store = Store(url, world.chain.id, world.deployment.queue, address(who))
    clock = [float(world.time())]
    answers: Any = Honest() if inference is None else inference
    setup = Setup(
        chain=chain,
        queue=world.queue,
        disputes=disputes or world.disputes,
        referee=Referee(chain, world.deployment),
        view=View(chain, world.deployment, Finality(chain, finality), confirmations),
        store=store,
        inference=answers,
        policy=replace(Policy(address(who)), **policy),
        sender=None if dry else Sender(chain, PEOPLE[who], store),
        second_view=second_view,
        clock=lambda: clock[0],
        watch=Watch("challenger", lambda: clock[0]) if watched else None,
    )
    return Challenger(world, store, Patrol(setup), clock, setup.watch)


def ids(asked: Sequence[RequestCreated]) -> list[RequestId]:
    return [each.request_id for each in asked]
