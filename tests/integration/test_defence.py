"""What a worker promises to defend, and how it defends it: on a chain with disputes."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from oracle.chain.events import PartDemanded, PartRevealed, RequestCreated
from oracle.errors import InferenceTooSlow
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.exact.proofs.cost import MARGIN, Calibration, Unit
from oracle.inference.answers import Answers
from oracle.inference.engine import Open, Price
from oracle.inference.executor import Executor, Ran
from oracle.inference.files import ModelFiles
from oracle.inference.opinions import Opinions
from oracle.state.duties import DutyKind, State
from oracle.state.tries import RETRY
from oracle.types import LEAVES, ModelId, Part, Status, Wei
from oracle.worker.budget import PASSES
from oracle.worker.turns import SHORT
from tests import chains, courts
from tests.chains import BOND, ETHER, World, variant
from tests.courts import REVEAL, Honest
from tests.integration import workers
from tests.unit.exact.files import file, node, tensor

BYTES = 5 * 10 * 128  # that a pass over the trace of `courts.onnx_file` hashes


def machine(**seconds: float) -> Calibration:
    """On which nothing but these units takes any time."""
    given = {Unit(name): value for name, value in seconds.items()}
    return Calibration(dict.fromkeys(Unit, 0.0) | given)


def taking(seconds: float) -> Calibration:
    """On which a result of the court's model has that price."""
    return machine(hashed=seconds / PASSES / BYTES)


def asked_of(court: World, count: int, **changes: Any) -> list[RequestCreated]:
    court.stake(amount=9 * ETHER)
    model_id = courts.publish(court)
    return [courts.ask(court, model_id, seed=seed, **changes) for seed in range(1, count + 1)]


def statuses(court: World, asked: Sequence[RequestCreated]) -> list[Status]:
    return [court.status(each) for each in asked]


# What it declines.


def turned_around(slices: int = 40, rows: int = 1024) -> bytes:
    """Slices are views in a run, and cost nothing; in a trace each is a tensor of 8 MiB."""
    turning = ["last", "least", "zero", "last"]
    nodes = [
        node("Mul", ["x", "column"], ["c"]),
        node("Mul", ["c", "row"], ["s0"]),
        *(node("Slice", [f"s{at}", *turning], [f"s{at + 1}"]) for at in range(slices)),
        node("Gather", [f"s{slices}", "zero"], ["u"], axis=0),
        node("Gather", ["u", "zero"], ["v"], axis=1),
        node("Reshape", ["v", "one"], ["y"]),
    ]
    return file(
        nodes,
        [tensor("x", [1, 1], TensorProto.INT64)],
        ["y"],
        column=np.arange(rows, dtype=np.int64).reshape(-1, 1),
        row=np.arange(rows, dtype=np.int64).reshape(1, -1),
        last=np.array([-1]),
        least=np.array([-(1 << 40)]),
        zero=np.array([0]),
        one=np.array([1]),
    )


def held_at_once(live: int = 6, rows: int = 1024) -> bytes:
    """Each sum needs all tensors before it: a trace that kept them would take them all."""
    nodes = []
    for at in range(live):
        nodes += [
            node("Add", ["x", f"k{at}"], [f"a{at}"]),
            node("Mul", [f"a{at}", "column"], [f"b{at}"]),
            node("Mul", [f"b{at}", "row"], [f"v{at}"]),
        ]
    sums = ["v0", *(f"t{at}" for at in range(1, live))]
    nodes += [node("Add", [sums[at - 1], f"v{at}"], [sums[at]]) for at in range(1, live)]
    nodes += [
        node("Gather", [sums[-1], "zero"], ["u"], axis=0),
        node("Gather", ["u", "zero"], ["v"], axis=1),
        node("Reshape", ["v", "one"], ["y"]),
    ]
    return file(
        nodes,
        [tensor("x", [1, 1], TensorProto.INT64)],
        ["y"],
        column=np.arange(rows, dtype=np.int64).reshape(-1, 1),
        row=np.arange(rows, dtype=np.int64).reshape(1, -1),
        zero=np.array([0]),
        one=np.array([1]),
        **{f"k{at}": np.array([[at + 1]]) for at in range(live)},
    )


def light_file() -> bytes:
    weights = np.eye(courts.WIDTH, dtype=np.float32)
    return file(
        [node("MatMul", ["x", "w"], ["y"])], [tensor("x", [1, courts.WIDTH])], ["y"], w=weights
    )


@dataclass
class Real:
    """Models in child processes, as a worker runs them."""

    answers: Answers
    files: ModelFiles

    def publish(self, court: World, data: bytes) -> ModelId:
        program = lower(data)
        self.files.add(pack(program))
        return court.publish(
            name="heavy",
            program_root=program.root,
            source_hash=hashlib.sha256(data).digest(),
            signature=program.signature,
            royalty=Wei(0),
        )


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    files = ModelFiles(tmp_path / "models")
    answers = Answers(files, Opinions(Executor(2)), 2)
    yield Real(answers, files)
    answers.close()


@pytest.mark.parametrize("data", [turned_around(), held_at_once()], ids=["turned", "held"])
def test_a_model_whose_trace_could_not_be_shown_is_declined_and_others_are_answered(
    court: World, tmp_path: Path, real: Real, data: bytes
) -> None:
    """On a machine that hashes less than a hundred megabytes within the period."""
    court.stake()
    heavy, light = real.publish(court, data), real.publish(court, light_file())
    bait = court.ask(heavy, payload=(1).to_bytes(8, "big"), timeout=300)

    def hired() -> workers.Worker:
        slow = machine(hashed=REVEAL * 1e-8)
        return workers.hire(court, tmp_path, answers=real.answers, parallel=2, calibration=slow)

    first, worker = courts.ask(court, light), hired()
    settle(worker, lambda: court.status(first) is Status.PROPOSED)
    settle(worker, lambda: worker.why(bait) != "")
    reason = worker.why(bait)
    assert reason.startswith("we could not defend it: to show its trace 3 times")
    assert f"within {REVEAL} s" in reason and reason.endswith("s of one process")

    # After a restart the model is priced again, in its turn, and the request declined again.
    worker.store.close()
    again, second = hired(), courts.ask(court, light, seed=2)
    settle(again, lambda: court.status(second) is Status.PROPOSED)
    settle(again, lambda: State.DECLINED in again.states(DutyKind.PROPOSE))
    court.skip(300)
    again.tick(3)

    assert court.status(bait) is Status.REQUESTED
    assert again.states(DutyKind.PROPOSE) == [State.DECLINED]
    assert again.why(bait) != ""


def settle(worker: workers.Worker, is_so: Callable[[], bool]) -> None:
    """Works until it is so; children take the time that they take."""
    for _ in range(3000):
        if is_so():
            return
        worker.service.tick()  # by a clock that stands still: deadlines are not what is tried
        time.sleep(0.02)
    raise AssertionError(f"never: {worker.rows()}")


def test_a_model_holds_its_share_until_a_window_is_over(court: World, tmp_path: Path) -> None:
    """Of eight processes, half of an eighth of their time is half a period: two fit into it."""
    asked = asked_of(court, 4)
    price = taking(REVEAL / 5)

    worker = workers.hire(court, tmp_path, answers=Honest(), calibration=price)
    worker.work()
    assert statuses(court, asked) == [Status.PROPOSED] * 2 + [Status.REQUESTED] * 2
    reason = worker.why(asked[2])
    has, share = f"{2 * REVEAL / 5:.1f} s", f"{REVEAL / 2:.1f} s"
    assert f"takes {REVEAL / 5:.1f} s, and its model has {has} of a model's {share}" in reason

    # A restart forgets nothing.
    worker = workers.hire(court, tmp_path, answers=Honest(), calibration=price)
    worker.work()
    assert statuses(court, asked) == [Status.PROPOSED] * 2 + [Status.REQUESTED] * 2

    court.skip(chains.WINDOW + 1)
    worker.work()
    worker.wait(RETRY)
    worker.work()
    assert statuses(court, asked) == [Status.SETTLED] * 2 + [Status.PROPOSED] * 2
    assert worker.why(asked[3]) == ""


def test_bonds_at_risk_are_bounded_also_within_one_round(court: World, tmp_path: Path) -> None:
    asked = asked_of(court, 5, bond=2 * BOND)
    worker = workers.hire(court, tmp_path, answers=Honest(), max_exposure=Wei(6 * BOND - 1))

    worker.tick(3)
    worker.work()

    assert statuses(court, asked) == [Status.PROPOSED] * 2 + [Status.REQUESTED] * 3
    assert "above our exposure" in worker.why(asked[4])


def test_what_is_computed_is_weighed_again_before_it_is_posted(
    court: World, tmp_path: Path
) -> None:
    """A run that took long is one of the worst inputs, of which a pass takes as much longer."""

    class Long(Honest):
        def submit(self, model, uris, payload, most):
            future = super().submit(model, uris, payload, most)
            return replaced(future, Ran(future.result().data, REVEAL / 2))

    asked = asked_of(court, 1)
    worker = workers.hire(court, tmp_path, answers=Long(), calibration=machine(term=1.0))

    worker.work()

    assert worker.store.output(asked[0].request_id) is not None
    assert f"takes {MARGIN * 3 * REVEAL / 2:.1f} s of one process" in worker.why(asked[0])
    assert statuses(court, asked) == [Status.REQUESTED]


def replaced(future, result):
    fresh = type(future)()
    fresh.set_result(result)
    return fresh


def test_a_fee_pays_for_the_defence(court: World, tmp_path: Path) -> None:
    """20 s at 10^15 wei, for a window of two periods."""
    [asked] = asked_of(court, 1, fee=Wei(39 * 10**15), window=2 * REVEAL)
    rate: dict[str, Any] = {"calibration": taking(20), "defence_rate": Wei(10**15)}
    worker = workers.hire(court, tmp_path, answers=Honest(), **rate)

    worker.work()

    reason = worker.why(asked)
    assert f"to be ready to defend it another {40 * 10**15} wei" in reason
    dear = courts.ask(court, asked.request.model, fee=Wei(41 * 10**15), window=2 * REVEAL)
    worker.work()
    assert statuses(court, [asked, dear]) == [Status.REQUESTED, Status.PROPOSED]


def test_a_request_is_answered_when_gas_becomes_cheap_enough(court: World, tmp_path: Path) -> None:
    prices = [Wei(10**13)]

    class Market:
        def gas_price(self):
            return prices[-1]

    [asked] = asked_of(court, 1)
    chain = variant(court.chain, Market)
    worker = workers.hire(court, tmp_path, answers=Honest(), chain=chain)
    worker.work()
    assert "gas and margin need now" in worker.why(asked)
    assert worker.answers.asked == []  # and nothing of a stranger's was fetched

    prices.append(Wei(10**9))
    worker.wait(RETRY)
    worker.work()

    assert statuses(court, [asked]) == [Status.PROPOSED]


def test_the_model_of_an_open_result_is_priced_before_anything_is_taken_on(
    court: World, tmp_path: Path
) -> None:
    asked = asked_of(court, 1)
    workers.hire(court, tmp_path, answers=Honest()).work()
    late = [courts.ask(court, court.publish(version="2", **courts.terms()), seed=2)]

    class Unpriced(Honest):
        def ask(self, model, uris, payload, task):
            future = super().ask(model, uris, payload, task)
            waits = isinstance(task, Price) and model.version == "1"
            return type(future)() if waits else future

    worker = workers.hire(court, tmp_path, answers=Unpriced())
    worker.tick(5)
    assert statuses(court, asked + late) == [Status.PROPOSED, Status.REQUESTED]

    worker = workers.hire(court, tmp_path, answers=Honest())
    worker.work()
    assert statuses(court, asked + late) == [Status.PROPOSED] * 2


def test_a_model_that_is_priced_slowly_keeps_one_slot_and_no_more(
    court: World, tmp_path: Path
) -> None:
    """To price a model is to load it, and a stranger made its file. Each is stopped after a glance,
    so none keeps another from being priced."""

    class Slow(Honest):
        prices: list[tuple[Future[bytes], bytes]] = []

        def ask(self, model, uris, payload, task):
            future = super().ask(model, uris, payload, task)
            if not isinstance(task, Price) or model.version in ("1", "new"):
                return future
            waiting = type(future)()
            if task.most <= SHORT:
                waiting.set_exception(InferenceTooSlow(f"{task.most} s"))
            else:
                self.prices.append((waiting, future.result()))
            return waiting

    asked = asked_of(court, 1)
    worker = workers.hire(court, tmp_path, answers=Slow(), parallel=2)
    worker.work()
    slow = [
        courts.ask(court, court.publish(version=version, **courts.terms())) for version in "234"
    ]
    worker.tick(2)
    asked.append(courts.ask(court, asked[0].request.model, seed=9))
    asked.append(courts.ask(court, court.publish(version="new", **courts.terms())))
    worker.tick(5)
    assert statuses(court, asked) == [Status.PROPOSED] * 3
    assert len(Slow.prices) == 1

    for number in range(3):
        future, price = Slow.prices[number]
        future.set_result(price)
        worker.tick(3)
    worker.work()

    assert statuses(court, slow) == [Status.PROPOSED] * 3


def test_what_was_declined_is_priced_in_its_turn(court: World, tmp_path: Path) -> None:
    """Many may be declined until gas is cheaper, or were before a restart: to price all of them at
    once would load all of their models, and hold every slot."""
    asked = asked_of(court, 1)
    others = [
        courts.ask(court, court.publish(version=f"{n}", **courts.terms())) for n in range(2, 8)
    ]
    workers.hire(court, tmp_path, answers=Honest(), margin=10**9).work()
    assert set(statuses(court, asked + others)) == {Status.REQUESTED}

    class Endless(Honest):
        prices: list[object] = []

        def ask(self, model, uris, payload, task):
            if not isinstance(task, Price):
                return super().ask(model, uris, payload, task)
            self.prices.append(model)
            return Future()

    worker = workers.hire(court, tmp_path, answers=Endless(), parallel=2)
    worker.tick(2)
    worker.wait(2 * RETRY)
    worker.tick(5)

    assert len(Endless.prices) == 2


def test_a_worker_that_works_once_looks_again_at_what_was_declined(
    court: World, tmp_path: Path
) -> None:
    """Before it may look, it must know a price, which a child finds out meanwhile."""
    asked = asked_of(court, 2)
    workers.hire(court, tmp_path, answers=Honest(), max_exposure=asked[0].request.bond).work()
    assert sorted(statuses(court, asked)) == [Status.REQUESTED, Status.PROPOSED]

    class Later(Honest):
        found: list[tuple[Future[bytes], bytes]] = []

        def ask(self, model, uris, payload, task):
            future = super().ask(model, uris, payload, task)
            if not isinstance(task, Price):
                return future
            self.found.append((Future(), future.result()))
            return self.found[-1][0]

    worker = workers.hire(court, tmp_path, answers=Later())
    worker.tick()
    for _ in range(6):
        assert not worker.service.is_idle or statuses(court, asked) == [Status.PROPOSED] * 2
        for future, answer in Later.found:
            future.set_result(answer)
        Later.found.clear()
        worker.tick()

    assert statuses(court, asked) == [Status.PROPOSED] * 2


# How it defends.


def test_demands_are_answered_by_passes_a_third_of_the_period_apart(
    court: World, tmp_path: Path
) -> None:
    [asked] = asked_of(court, 1)
    worker = workers.hire(court, tmp_path, answers=Honest())
    worker.work()

    for step in range(8):
        for leaf in range(2):
            courts.demand(court, asked, Part(step % 5, LEAVES, 2 * (step // 5) + leaf, 1))
        worker.work()
        court.skip(REVEAL // 8)
    for _ in range(3):
        worker.work()
        court.skip(REVEAL // 8)

    passes = [task for task in worker.answers.asked if isinstance(task, Open)]
    assert [len(task.parts) for task in passes] == [2, 6, 6, 2]
    due = {event.demand.part: event.demand.deadline for event in court.all(PartDemanded)}
    revealed = court.all(PartRevealed)
    assert len(revealed) == len(due) == 16
    assert all(event.where.time <= due[event.part] for event in revealed)
    assert court.status(asked) is Status.PROPOSED
