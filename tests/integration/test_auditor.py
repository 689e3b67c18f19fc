"""Audits of a range on a devnet with operators that lie, and nodes that stutter."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.auditor import Auditor, Equal, Progress, Row, Scope, Unchecked, Wrong
from oracle.chain import archive
from oracle.chain.archive import Archive
from oracle.chain.histories import ModelHistory
from oracle.chain.proposals import Fate
from oracle.errors import InferenceFailed, ModelUnavailable, RpcUnavailable
from oracle.inference.engine import Infer
from oracle.inference.executor import Executor, Job
from oracle.types import Assurance, ModelId
from tests import chains
from tests.chains import WINDOW, World, address
from tests.networks import Network, network


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(processes=1) as executor:
        yield executor


@dataclass
class Infers:
    """Runs jobs here and at once, and remembers them."""

    jobs: list[Job] = field(default_factory=list)

    def infer(self, job: Job) -> bytes:
        self.jobs.append(job)
        return network().output(job.payload)

    def submit(self, job: Job) -> "Future[bytes]":
        future: Future[bytes] = Future()
        future.set_result(self.infer(job))
        return future

    def close(self) -> None: ...


@dataclass
class Desk:
    """Requests and their answers on a devnet, and an auditor of them."""

    world: World
    folder: Path
    executor: Any = field(default_factory=Infers)
    fetched: list[ModelId] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    network: Network = field(default_factory=network)

    def publish(self, **changes: Any) -> ModelId:
        return self.world.publish(**(self.network.terms | changes))

    def answer(self, model: ModelId, who: str = "operator", seed: int = 0, lies: bool = False):
        payload = self.network.payload(seed)
        asked = self.world.ask(model, payload=payload)
        output = self.network.lie(payload) if lies else self.network.output(payload)
        return asked, self.world.propose(asked, who, output)

    def audit(self, first: int = 0, last: int | None = None, chain=None, **filters) -> list[Row]:
        scope = Scope(first, self.world.head() if last is None else last, **filters)
        return self.auditor(chain).audit(scope)

    def auditor(self, chain=None) -> Auditor:
        past = Archive(chain or self.world.chain, self.world.deployment, self.waits.append)
        return Auditor(past, self.fetch, self.executor)

    def fetch(self, found: ModelHistory) -> Path:
        self.fetched.append(found.model_id)
        if found.model.source_hash != self.network.source_hash:
            raise ModelUnavailable("There is no URI for it.")
        return self.network.write(self.folder)


@pytest.fixture
def desk(embedded: World, tmp_path: Path) -> Desk:
    for who in ("operator", "rival"):
        embedded.stake(who)
    return Desk(embedded, tmp_path)


def test_audit_re_runs_every_result_and_finds_the_lie(
    world: World, tmp_path: Path, executor: Executor
) -> None:
    desk = Desk(world, tmp_path, executor)
    for who in ("operator", "rival"):
        world.stake(who)
    model = desk.publish()
    desk.answer(model, seed=1)
    lied, _ = desk.answer(model, "rival", seed=2, lies=True)
    desk.answer(model, seed=3)

    rows = desk.audit()

    assert [type(row.verdict) for row in rows] == [Equal, Wrong, Equal]
    assert (rows[1].request_id, rows[1].operator) == (lied.request_id, address("rival"))
    verdict = rows[1].verdict
    assert isinstance(verdict, Wrong)
    assert (verdict.first.tensor, verdict.first.index, verdict.elements) == ("scores", 0, 1)
    assert int(verdict.first.claimed_bits, 16) ^ int(verdict.first.recomputed_bits, 16) == 1
    assert rows[0].model == "doubler 1"


def test_audit_covers_what_was_slashed_voided_settled_and_answered_again(desk: Desk) -> None:
    model = desk.publish()
    settled, result = desk.answer(model, seed=1)
    desk.world.skip(WINDOW)
    desk.world.settle(settled, result)
    lied, lie = desk.answer(model, seed=2, lies=True)
    desk.answer(model, seed=3)
    desk.world.slash(lied, lie)
    desk.world.propose(lied, "rival", desk.network.output(lied.payload))

    rows = desk.audit()

    assert [(row.fate, type(row.verdict)) for row in rows] == [
        (Fate.SETTLED, Equal),
        (Fate.SLASHED, Wrong),
        (Fate.VOID, Equal),
        (Fate.PROPOSED, Equal),
    ]


def test_audit_of_a_range_has_its_proposals_alone_whatever_was_asked_before(desk: Desk) -> None:
    model = desk.publish()
    desk.answer(model, seed=1)
    asked = desk.world.ask(model, payload=desk.network.payload(2))
    for _ in range(25):  # more than one query takes
        desk.world.skip(1)
    first = desk.world.head() + 1
    desk.world.propose(asked, output=desk.network.output(asked.payload))
    last = desk.world.head()
    desk.answer(model, seed=3)
    desk.world.skip(WINDOW)

    [row] = desk.audit(first, last)

    assert (row.request_id, row.verdict, row.fate) == (asked.request_id, Equal(), Fate.PROPOSED)


def test_audit_says_what_is_final_at_the_end_of_the_range(desk: Desk) -> None:
    desk.answer(desk.publish())
    last = desk.world.head()
    desk.world.skip(WINDOW)

    assert [row.fate for row in desk.audit(last=last)] == [Fate.PROPOSED]
    assert [row.fate for row in desk.audit()] == [Fate.FINAL]


def test_audit_filters_by_model_and_operator(desk: Desk) -> None:
    one, other = desk.publish(), desk.publish(version="2")
    desk.answer(one, "operator", 1)
    desk.answer(one, "rival", 2)
    desk.answer(other, "rival", 3)

    rows = desk.audit(models=frozenset([one]), operators=frozenset([address("rival")]))

    assert [(row.model_id, row.operator) for row in rows] == [(one, address("rival"))]
    assert len(desk.executor.jobs) == 1


def test_audit_fetches_a_model_once_and_asks_for_no_second_opinion(desk: Desk) -> None:
    model = desk.publish()
    for seed in range(4):
        desk.answer(model, seed=seed)

    desk.audit()

    assert desk.fetched == [model]
    assert [job.task for job in desk.executor.jobs] == [Infer()] * 4


def test_audit_says_why_it_could_not_check(desk: Desk, executor: Executor) -> None:
    desk.executor = executor
    vanilla = desk.publish(assurance=Assurance.VANILLA, program_root=bytes(32))
    lost = desk.publish(source_hash=b"\x77" * 32)
    odd = desk.publish(program_root=b"\x78" * 32)
    for seed, model in enumerate((vanilla, lost, lost, odd)):
        desk.answer(model, seed=seed)

    reasons = [row.verdict.why for row in desk.audit() if isinstance(row.verdict, Unchecked)]

    assert len(reasons) == 4
    assert "VANILLA" in reasons[0] and "no URI" in reasons[1]
    assert reasons[1] == reasons[2] and desk.fetched.count(lost) == 1
    assert "program has root" in reasons[3]


def test_audit_says_what_is_no_program(desk: Desk, executor: Executor) -> None:
    desk.executor, desk.network = executor, network(9)
    path = desk.folder / "source.onnx"
    path.write_bytes(desk.network.onnx)
    model = desk.publish()
    desk.answer(model)
    past = Archive(desk.world.chain, desk.world.deployment)

    [row] = Auditor(past, lambda _found: path, executor).audit(Scope(0, desk.world.head()))

    assert isinstance(row.verdict, Unchecked)
    assert "no safetensors file that can be read" in row.verdict.why


def test_audit_goes_on_when_an_inference_dies(desk: Desk) -> None:
    class Dying(Infers):
        def infer(self, job: Job) -> bytes:
            if not self.jobs:
                self.jobs.append(job)
                raise InferenceFailed("The inference took more than 1 s, and was stopped.")
            return super().infer(job)

        def submit(self, job: Job) -> "Future[bytes]":
            future: Future[bytes] = Future()
            try:
                future.set_result(self.infer(job))
            except InferenceFailed as error:
                future.set_exception(error)
            return future

    desk.executor = Dying()
    model = desk.publish()
    for seed in range(3):
        desk.answer(model, seed=seed)

    verdicts = [row.verdict for row in desk.audit()]

    assert isinstance(verdicts[0], Unchecked) and "took more" in verdicts[0].why
    assert verdicts[1:] == [Equal(), Equal()]


def test_audit_survives_a_node_that_stutters(desk: Desk) -> None:
    model = desk.publish()
    for seed in range(3):
        desk.answer(model, seed=seed)
    failures = iter([True, False, True, True, False, True] + [False] * 1000)

    class Stuttering:
        def block(self, number):
            if next(failures):
                raise RpcUnavailable("the node does not answer")
            return super().block(number)

        def logs(self, addresses, first, last, subject=None):
            if next(failures):
                raise RpcUnavailable("the node does not answer")
            return super().logs(addresses, first, last, subject)

    rows = desk.audit(chain=chains.variant(desk.world.chain, Stuttering))

    assert [row.verdict for row in rows] == [Equal()] * 3
    assert desk.waits


def test_audit_gives_up_on_a_node_that_is_down(desk: Desk) -> None:
    class Down:
        def block(self, _number):
            raise RpcUnavailable("the node does not answer")

    with pytest.raises(RpcUnavailable):
        desk.audit(chain=chains.variant(desk.world.chain, Down))
    assert sum(desk.waits) < 2 * 2**archive.TRIES


def test_audit_finds_a_request_again_that_was_too_long_ago(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs are kept for those that come soon."""
    monkeypatch.setattr("oracle.audit.auditor.KEPT", 1)
    model = desk.publish()
    asked = [desk.world.ask(model, payload=desk.network.payload(seed)) for seed in range(5)]
    for each in asked:
        desk.world.propose(each, output=desk.network.output(each.payload))

    assert [row.verdict for row in desk.audit()] == [Equal()] * 5


def test_audit_reports_how_far_it_is(desk: Desk) -> None:
    model = desk.publish()
    desk.answer(model, lies=True)
    seen: list[Progress] = []

    desk.auditor().audit(Scope(0, desk.world.head()), seen.append)

    assert [each.block for each in seen] == sorted(each.block for each in seen)
    assert seen[-1] == Progress(desk.world.head(), checked=1, wrong=1)


def test_audit_of_nothing_is_nothing(desk: Desk) -> None:
    assert desk.audit() == []
