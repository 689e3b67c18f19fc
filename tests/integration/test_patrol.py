"""Disputes as the programs fight them: liars are slashed, the honest are not and lose nothing."""

import hashlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from oracle import serialization
from oracle.chain import transactions
from oracle.chain.contracts import Disputes
from oracle.chain.events import (
    DemandTimedOut,
    FraudCommitted,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
)
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import Sender
from oracle.challenger import records as challenging_records
from oracle.challenger import sending as challenging
from oracle.challenger.checking import Checking
from oracle.challenger.policy import TRANSACTIONS
from oracle.errors import InferenceFailed, InferenceTooSlow, ModelUnavailable, Reverted
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.exact.run import Runner
from oracle.inference.answers import Answers
from oracle.inference.engine import Pursue, Task, load_engine
from oracle.inference.executor import Executor
from oracle.inference.files import ModelFiles
from oracle.inference.findings import read_finding
from oracle.inference.opinions import Opinions
from oracle.state.duties import DutyKind, State
from oracle.state.tries import RETRY
from oracle.types import (
    LEAVES,
    FileKind,
    FileName,
    ModelId,
    Part,
    Signature,
    Status,
    Wei,
)
from oracle.worker import sending as answering
from oracle.worker.answering import Answering
from oracle.worker.budget import PASSES
from oracle.worker.defence import Defence
from oracle.worker.models import Models
from oracle.worker.records import Records
from tests import chains, courts
from tests.chains import BOND, ETHER, World, address, variant
from tests.courts import Challenger, Honest, Liar
from tests.integration import workers
from tests.liars import Lie, accuse
from tests.networks import network
from tests.silencers import SILENCERS

PART = Part(0, LEAVES, 0, 1)
REVEAL_PAUSE = courts.REVEAL // PASSES + 1


def disputed(
    court: World, folder: Path, answers: Honest, who: str = "operator"
) -> tuple[RequestCreated, workers.Worker]:
    """A request that an operator of that kind has answered."""
    court.stake(who)
    asked = courts.ask(court, courts.publish(court))
    budgeted = not isinstance(answers, Liar)
    worker = workers.hire(court, folder, who, answers=answers, budgeted=budgeted)
    worker.work()
    assert court.status(asked) is Status.PROPOSED
    return asked, worker


def fight(challenger: Challenger, *workers_: workers.Worker, rounds: int = 12) -> None:
    """Turn by turn, until nobody does anything any more."""
    for _ in range(rounds):
        before = challenger.world.head()
        challenger.work()
        for worker in workers_:
            worker.work()
        if challenger.world.head() == before:
            return
    raise AssertionError(f"no end: {challenger.rows()}")


@pytest.mark.parametrize("lie", [Lie(None, 3), Lie(0, 5), Lie(2, 123), Lie(4, 299)])
def test_a_lying_operator_is_slashed(court: World, tmp_path: Path, lie: Lie) -> None:
    asked, liar = disputed(court, tmp_path, Liar(lie=lie))
    challenger = courts.hire(court, tmp_path)

    fight(challenger, liar)

    [slashed] = court.all(OperatorSlashed)
    assert (slashed.operator, slashed.challenger) == (address("operator"), address("challenger"))
    assert len(court.all(FraudProven)) == 1
    assert court.status(asked) is Status.REQUESTED
    assert challenger.patrol.open_pursuits == 0
    assert challenger.rows() == []
    # The reward is paid out, and all that was prepaid has come back.
    assert court.queue.credit_of(address("challenger")) == 0
    assert court.chain.balance(court.deployment.disputes) == 0


def test_a_silent_operator_is_slashed_by_timeout(court: World, tmp_path: Path) -> None:
    asked, silent = disputed(court, tmp_path, Liar(is_silent=True))
    challenger = courts.hire(court, tmp_path)

    fight(challenger, silent)
    assert court.all(OperatorSlashed) == []
    court.skip(courts.REVEAL + 1)
    fight(challenger, silent)

    assert len(court.all(DemandTimedOut)) == 1
    [slashed] = court.all(OperatorSlashed)
    assert slashed.challenger == address("challenger")
    assert court.chain.balance(court.deployment.disputes) == 0
    assert court.status(asked) is Status.REQUESTED


def test_an_honest_operator_is_left_alone(court: World, tmp_path: Path) -> None:
    asked, honest = disputed(court, tmp_path, Honest())
    challenger = courts.hire(court, tmp_path)

    fight(challenger, honest)
    court.skip(chains.WINDOW)
    fight(challenger, honest)

    assert court.all(PartDemanded) == []
    assert court.chain.nonce(address("challenger")) == 0
    assert court.status(asked) is Status.SETTLED
    assert challenger.rows() == []


def test_a_challenger_that_starts_anew_each_round_convicts_too(
    court: World, tmp_path: Path
) -> None:
    _, liar = disputed(court, tmp_path, Liar())

    for _ in range(40):
        challenger = courts.hire(court, tmp_path)
        challenger.tick(2)
        challenger.store.close()
        liar.tick()

    assert len(court.all(FraudProven)) == 1
    assert court.chain.balance(court.deployment.disputes) == 0


def test_two_challengers_share_a_dispute(court: World, tmp_path: Path) -> None:
    _, liar = disputed(court, tmp_path, Liar())
    first = courts.hire(court, tmp_path)
    second = courts.hire(court, tmp_path, "second")

    for _ in range(30):
        for each in (first, second, liar):
            each.tick()

    assert len(court.all(OperatorSlashed)) == 1
    parts = [event.demand.part for event in court.all(PartDemanded)]
    assert len(parts) == len(set(parts))
    assert court.chain.balance(court.deployment.disputes) == 0
    assert first.patrol.open_pursuits == second.patrol.open_pursuits == 0


class Wrong(Liar):
    """Of a challenger: it believes its own false trace."""

    def answer(self, payload: bytes, task: Task) -> bytes:
        if not isinstance(task, Pursue):
            return super().answer(payload, task)
        return accuse(courts.engine().runner, payload, self.lie, task)


def test_a_challenger_that_is_wrong_gains_nothing(court: World, tmp_path: Path) -> None:
    """The operator is honest, answers, and is paid for it."""
    asked, honest = disputed(court, tmp_path, Honest())
    staked = court.queue.account_of(address("operator")).staked
    before = court.chain.balance(address("operator"))
    challenger = courts.hire(court, tmp_path, inference=Wrong())

    for _ in range(4):
        fight(challenger, honest)
        court.skip(REVEAL_PAUSE)  # until it looks at its trace again
    court.skip(courts.REACTION + chains.WINDOW)
    for _ in range(6):
        honest.work()

    assert court.all(OperatorSlashed) == [] and court.status(asked) is Status.SETTLED
    assert court.queue.account_of(address("operator")).staked > staked
    assert court.chain.balance(address("operator")) + chains.FEE > before
    assert court.chain.balance(court.deployment.disputes) == 0
    assert court.chain.balance(address("challenger")) < 1000 * ETHER


def test_a_copied_commitment_stops_nobody(court: World, tmp_path: Path) -> None:
    """Whoever sends it first: it is the challenger's, and the contract takes it once."""
    _, liar = disputed(court, tmp_path, Liar())

    class Copied(Disputes):
        def commit(self, commitment: bytes) -> Call:
            call = super().commit(commitment)
            with suppress(Reverted):
                court.send("stranger", call)
            return call

    copied = Copied(court.chain, court.deployment)
    challenger = courts.hire(court, tmp_path, disputes=copied)

    fight(challenger, liar)

    [slashed] = court.all(OperatorSlashed)
    assert slashed.challenger == address("challenger")
    assert {each.challenger for each in court.all(FraudCommitted)} == {address("stranger")}


@pytest.mark.parametrize("reason", ["WrongStatus", "AlreadyDemanded", "DemandNotOpen"])
def test_a_node_that_is_behind_stops_no_pursuit(court: World, tmp_path: Path, reason: str) -> None:
    """A simulation on an older block says that a step is not needed; the events do not."""
    _, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path, chain=behind(court.chain, reason))

    fight(challenger, liar)

    assert len(court.all(FraudProven)) == 1


@pytest.mark.parametrize("reason", ["NothingToCollect", "NothingToWithdraw"])
def test_a_node_that_is_behind_costs_the_finder_no_money(
    court: World, tmp_path: Path, reason: str
) -> None:
    """What it prepaid and its reward are there; only that node does not know yet."""
    refused: list[Call] = []

    class Behind:
        def estimate(self, call, sender):
            if court.all(FraudProven) and len(refused) < 4:
                refused.append(call)
                raise Reverted(reason)
            return super().estimate(call, sender)  # type: ignore[misc]

    _, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path, chain=variant(court.chain, Behind))
    fight(challenger, liar)
    for _ in range(8):
        challenger.tick()
        challenger.clock[0] += RETRY

    assert len(refused) == 4
    assert address("challenger") in [event.account for event in court.all(PrepaidCollected)]
    assert court.queue.credit_of(address("challenger")) == 0


@pytest.mark.parametrize("reason", ["WrongDemand", "DemandNotOpen", "WrongStatus", "Unknown"])
def test_a_node_that_is_behind_costs_no_bond(court: World, tmp_path: Path, reason: str) -> None:
    """Until the chain says that a demand was answered or its time is over, it is to be answered."""
    asked, _ = disputed(court, tmp_path, Honest())
    demander = courts.hire(court, tmp_path, inference=Wrong())
    demander.work()
    [demanded] = court.all(PartDemanded)
    chain = behind(court.chain, reason)
    honest = workers.hire(court, tmp_path, answers=Honest(), chain=chain)

    for _ in range(4):
        honest.tick()
        honest.wait(RETRY)

    assert [event.part for event in court.all(PartRevealed)] == [demanded.demand.part]
    [*_, opened] = honest.answers.asked
    assert opened.patience > courts.REVEAL / 4
    assert court.status(asked) is Status.PROPOSED


def behind(chain: Chain, reason: str) -> Chain:
    """Its first simulation is one of a block that is long past."""
    refusals = [Reverted(reason)]

    class Behind:
        def estimate(self, call, sender):
            if refusals:
                raise refusals.pop()
            return super().estimate(call, sender)  # type: ignore[misc]

    return variant(chain, Behind)


def test_requests_that_never_end_keep_no_demand_waiting(court: World, tmp_path: Path) -> None:
    class Stuck(Honest):
        def submit(self, model, uris, payload, most):
            if payload == courts.payload(2):
                return Future()
            return super().submit(model, uris, payload, most)

    court.stake(amount=3 * ETHER)
    model_id = courts.publish(court)
    courts.ask(court, model_id)
    honest = workers.hire(court, tmp_path, answers=Stuck(), parallel=1)
    honest.work()
    for _ in range(3):
        courts.ask(court, model_id, seed=2)
    honest.tick(2)
    courts.hire(court, tmp_path, inference=Wrong()).work()

    honest.tick(3)

    assert len(court.all(PartRevealed)) == len(court.all(PartDemanded)) == 1


@contextmanager
def real_answers(folder: Path) -> Iterator[Answers]:
    """With the model's file in the cache, and a server that never answers for all others."""
    files = ModelFiles(folder / "models", allow_local=True, patience=1800, timeout=1800)
    files.add(network().file)
    answers = Answers(files, Opinions(Executor(processes=1)), parallel=1)
    try:
        yield answers
    finally:
        answers.close()


@contextmanager
def silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def ask_for_what_nobody_serves(court: World, url: str) -> list[RequestCreated]:
    return [
        court.ask(
            court.publish(url, **(network().terms | {"program_root": bytes([number]) * 32})),
            payload=network().payload(),
            bond=2 * BOND,
        )
        for number in range(1, 7)
    ]


def test_six_models_on_servers_that_never_answer_keep_no_answer_waiting(
    court: World, tmp_path: Path
) -> None:
    court.stake(amount=5 * ETHER)
    with silent_server() as url, real_answers(tmp_path) as answers:
        hung = ask_for_what_nobody_serves(court, url)
        asked = court.ask(
            court.publish(**network().terms), payload=network().payload(), bond=2 * BOND
        )
        worker = workers.hire(court, tmp_path, answers=answers, parallel=1)
        while court.status(asked) is not Status.PROPOSED:
            worker.tick()
            time.sleep(0.01)
        assert {court.status(each) for each in hung} == {Status.REQUESTED}
        assert worker.states(DutyKind.PROPOSE).count(State.OPEN) == len(hung)
        assert not worker.service.is_idle


def test_six_models_on_servers_that_never_answer_hide_no_lie(court: World, tmp_path: Path) -> None:
    court.stake(amount=5 * ETHER)
    with silent_server() as url, real_answers(tmp_path) as answers:
        hung = ask_for_what_nobody_serves(court, url)
        asked = court.ask(
            court.publish(**network().terms), payload=network().payload(), bond=2 * BOND
        )
        for each in (*hung, asked):
            court.propose(each, output=network().lie(network().payload()))
        challenger = courts.hire(court, tmp_path, inference=answers)
        while not challenger.patrol.open_pursuits:
            challenger.tick()
            time.sleep(0.01)
        assert len(challenger.store.duties(State.OPEN, kind=DutyKind.CHECK)) == len(hung)


def test_the_file_of_an_open_result_is_kept_until_it_is_settled(
    court: World, tmp_path: Path
) -> None:
    """Its publisher may serve it no more, and a demand for its trace may still come."""
    court.stake()
    model_id = courts.publish(court)
    courts.ask(court, model_id)
    kept: list[set[FileName]] = []

    class Keeping(Honest):
        def keep(self, files):
            kept.append(files)

    worker = workers.hire(court, tmp_path, answers=Keeping())
    worker.work()
    program = FileName(FileKind.PROGRAM, courts.terms()["program_root"])
    assert kept[0] == set() and kept[-1] == {program}
    court.skip(chains.WINDOW)
    worker.work()
    worker.tick(2)
    assert kept[-1] == set()


def test_a_stream_of_answers_keeps_no_challenger_from_its_next_step(
    court: World, tmp_path: Path
) -> None:
    """A liar's sybil demands, and the liar answers, in each block: whatever a challenger works out
    is out of date when it has it."""

    class Slow(Honest):
        late: list[tuple[Future[bytes], bytes, Task]] = []

        def ask(self, _model, _uris, payload, task):
            future: Future[bytes] = Future()
            self.late.append((future, payload, task))
            return future

    asked, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path, inference=Slow())
    for round_ in range(30):
        challenger.tick()
        if court.all(FraudProven):
            break
        courts.demand(court, asked, Part(round_ // 10, LEAVES, round_ % 10, 1))
        liar.work()
        while Slow.late:
            future, payload, task = Slow.late.pop()
            future.set_result(Honest().answer(payload, task))

    assert len(court.all(FraudProven)) == 1


def test_a_flood_of_demands_is_answered_a_few_at_a_time(
    court: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes keep few transactions of an account, and what it costs to look one demand up must not
    grow with how many there are."""
    most = 16
    monkeypatch.setattr(transactions, "MAX_WAITING", most)
    asked, _ = disputed(court, tmp_path, Honest())
    parts = [Part(value, LEAVES, leaf, 1) for value in range(5) for leaf in range(10)]
    for part in parts:
        courts.demand(court, asked, part)
    honest = workers.hire(court, tmp_path, answers=Honest(), parallel=len(parts))
    looks: list[object] = []
    looked = honest.store._histories

    def look(*arguments: Any) -> Any:
        looks.append(arguments)
        return looked(*arguments)

    monkeypatch.setattr(honest.store, "_histories", look)
    court.chain.rpc("evm_setAutomine", [False])

    honest.tick(3)

    assert len(honest.store.waiting()) == most
    assert len(looks) < 5
    court.chain.rpc("evm_setAutomine", [True])
    for _ in range(2 + len(parts) // most):
        court.chain.rpc("evm_mine", [])
        honest.tick(2)
    assert len(court.all(PartRevealed)) == len(parts)


def test_a_flood_of_lies_is_pursued_a_few_at_a_time(
    court: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three transactions may wait, and six demands are to be made."""
    monkeypatch.setattr(transactions, "MAX_WAITING", 3)
    court.stake(amount=9 * ETHER)
    model_id = courts.publish(court)
    for seed in range(6):
        courts.ask(court, model_id, seed=seed)
    workers.hire(court, tmp_path, answers=Liar(), budgeted=False).work()
    challenger = courts.hire(court, tmp_path)
    court.chain.rpc("evm_setAutomine", [False])

    challenger.tick(9)

    assert challenger.patrol.open_pursuits == 6
    assert len(challenger.store.waiting()) == 3
    court.chain.rpc("evm_setAutomine", [True])
    court.chain.rpc("evm_mine", [])
    challenger.work()
    assert len(court.all(PartDemanded)) == 6


def test_a_bug_lets_no_liar_go(court: World, tmp_path: Path) -> None:
    class Faulty(Honest):
        def answer(self, payload, task):
            if len(self.asked) < 3:
                raise ZeroDivisionError
            return super().answer(payload, task)

        def ask(self, model, uris, payload, task):
            try:
                return super().ask(model, uris, payload, task)
            except ZeroDivisionError as error:
                failed: Future[bytes] = Future()
                failed.set_exception(error)
                return failed

    _, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path, inference=Faulty())
    for _ in range(3):
        challenger.tick(2)
        challenger.clock[0] += RETRY

    fight(challenger, liar)

    assert len(court.all(FraudProven)) == 1


def test_models_that_fail_keep_no_lie_from_being_found(court: World, tmp_path: Path) -> None:
    """They are many, and each has a nearer deadline."""

    class Poisoned(Honest):
        def ask(self, model, uris, payload, task):
            if payload == courts.payload(1):
                return super().ask(model, uris, payload, task)
            failed: Future[bytes] = Future()
            failed.set_exception(InferenceFailed("It took all the time there is."))
            return failed

    court.stake(amount=9 * ETHER)
    model_id = courts.publish(court)
    for seed in range(2, 14):
        courts.ask(court, model_id, seed=seed, window=3000)
    courts.ask(court, model_id, window=3600)
    workers.hire(court, tmp_path, answers=Liar(), budgeted=False).work()
    challenger = courts.hire(court, tmp_path, inference=Poisoned())

    for _ in range(20):
        challenger.tick()
        challenger.clock[0] += RETRY  # what failed may be tried again at once

    assert challenger.store.wrong() == 1


def test_a_model_whose_name_is_no_text_hides_no_lie(court: World, tmp_path: Path) -> None:
    """Its id is the hash of the name's bytes, which a demand and a proof must pass as they are."""
    published = court.publish_as(b"\xff\0\xfe", **courts.terms())
    court.stake()
    courts.ask(court, published.model_id)
    liar = workers.hire(court, tmp_path, answers=Liar(), budgeted=False)
    liar.work()

    fight(courts.hire(court, tmp_path), liar)

    assert "\ufffd" in published.model.name
    assert len(court.all(FraudProven)) == 1


@dataclass
class Doubting:
    """A second node that bears nothing out until it is up to date."""

    is_behind: bool = True
    asked: int = 0

    def objection(self, *_: object) -> str | None:
        self.asked += 1
        return "the second node knows no result" if self.is_behind else None


def test_a_second_node_that_is_behind_costs_no_further_run(court: World, tmp_path: Path) -> None:
    """What was found holds, and it alone is asked again."""
    _, liar = disputed(court, tmp_path, Liar())
    inference, second = Honest(), Doubting()
    challenger = courts.hire(court, tmp_path, inference=inference, second_view=second)
    for _ in range(5):
        challenger.tick(3)
        challenger.clock[0] += RETRY

    assert (len(inference.asked), second.asked) == (1, 5)
    assert challenger.rows(DutyKind.PURSUE) == []

    second.is_behind = False
    fight(challenger, liar)
    assert len(court.all(FraudProven)) == 1


def test_no_step_is_taken_for_another(court: World, tmp_path: Path) -> None:
    """A demand that is wanted no more is no proof, nor a proof a demand."""
    asked, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path)
    seen = set()
    for _ in range(20):
        challenger.tick()
        liar.tick()
        finding = challenger.patrol._checking.finding(asked.request_id)
        if finding is None or court.all(OperatorSlashed):
            continue
        wanted = DutyKind.DEMAND if finding.question is not None else DutyKind.PROVE
        step = challenger.patrol._sending._step
        made = [
            kind
            for kind in (DutyKind.DEMAND, DutyKind.PROVE)
            if step(kind, asked.request_id) is not None
        ]
        assert made == [wanted]
        seen.add(wanted)
    assert seen == {DutyKind.DEMAND, DutyKind.PROVE}


def test_ids_in_logs_are_as_commands_take_them(court: World, tmp_path: Path) -> None:
    """`exactum dispute show` takes no id without 0x."""
    with capture_logs() as logged:
        asked, liar = disputed(court, tmp_path, Liar())
        challenger = courts.hire(court, tmp_path)
        challenger.tick(3)
        pursued = challenger.patrol.summary().pursued
        fight(challenger, liar)

    assert pursued == ("0x" + asked.request_id.hex(),)
    ids = [each for line in logged for each in line.values() if is_hex(each)]
    assert len(ids) > 10 and all(each.startswith("0x") for each in ids)


def is_hex(value: object) -> bool:
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    return len(text) >= 40 and not set(text.lower()) - set("0123456789abcdef")


# What is kept


def kept(program: object) -> dict[str, Any]:
    """All that a program and its parts keep by what they work on. Of models they may remember
    more."""
    found: dict[str, Any] = {}
    for name, value in vars(program).items():
        if isinstance(value, PARTS):
            found |= kept(value)
        elif isinstance(value, dict | set) and value and name not in ("_turns", "_took"):
            found[name] = value
    return found


PARTS = (
    *(Checking, challenging.Sending, challenging_records.Records),
    *(Answering, Defence, Models, answering.Sending, Records, Sender),
)


def test_a_challenger_keeps_nothing_of_what_has_ended(court: World, tmp_path: Path) -> None:
    """A finding holds up to a mebibyte, and there is one for each lie."""
    _, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path)
    court.chain.rpc("evm_setAutomine", [False])
    challenger.tick(3)
    assert kept(challenger.patrol).keys() == {"_found", "_tries", "_handed_over"}
    court.chain.rpc("evm_setAutomine", [True])
    court.chain.rpc("evm_mine", [])

    fight(challenger, liar)

    assert challenger.rows() == []
    assert kept(challenger.patrol) == {}


def test_a_worker_keeps_nothing_of_what_has_ended(court: World, tmp_path: Path) -> None:
    asked, honest = disputed(court, tmp_path, Honest(is_silent=True))
    courts.demand(court, asked, Part(0, LEAVES, 0, 1))
    honest.tick(3)
    honest.answers.is_silent = False  # type: ignore[attr-defined]
    assert kept(honest.service).keys() == {"_tries", "_past"}

    court.skip(REVEAL_PAUSE)
    honest.work()
    assert len(court.all(PartRevealed)) == 1
    # A pass over the same trace must wait, whether or not a demand is open now.
    assert kept(honest.service).keys() == {"_past"}
    court.skip(courts.REACTION + chains.WINDOW)
    honest.work()
    honest.work()

    assert honest.rows() == []
    assert kept(honest.service) == {}


# What would silence a challenger


def real(folder: Path, data: bytes, rounds: int | None = None) -> Answers:
    """What the programs run: processes of their own, which have the model's file."""
    files = ModelFiles(folder / "models")
    files.add(pack(lower(data)))
    opinions = Opinions(Executor(processes=1, time_limit=30), rounds=rounds)
    return Answers(files, opinions, 1)


def publish_file(court: World, data: bytes, **changes: Any) -> ModelId:
    program = lower(data)
    terms: dict[str, Any] = {
        "program_root": program.root,
        "source_hash": hashlib.sha256(data).digest(),
        "signature": program.signature,
        "royalty": Wei(0),
    }
    return court.publish(name="silencer", **terms | changes)


@pytest.mark.parametrize("silencer", SILENCERS)
def test_what_silences_onnxruntime_hides_no_lie(
    court: World, tmp_path: Path, silencer: str
) -> None:
    """It dies of −2³¹ / −1, runs nodes that the law drops, and does not load everything."""
    data, payload = SILENCERS[silencer]
    court.stake()
    bond = Wei(ETHER // 2)
    asked = court.ask(publish_file(court, data), payload=payload, bond=bond, window=3000)
    right = Runner(lower(data)).infer(payload)
    court.propose(asked, output=right[:-1] + bytes([right[-1] ^ 1]))
    answers = real(tmp_path, data)
    challenger = courts.hire(court, tmp_path, inference=answers)
    try:
        for _ in range(200):
            proven, demanded = court.all(FraudProven), court.all(PartDemanded)
            if proven or demanded:
                break
            challenger.tick()
            time.sleep(0.1)
    finally:
        answers.close()

    assert challenger.store.wrong() == 1
    demanded = court.all(PartDemanded)
    assert len(court.all(FraudProven)) + len(demanded) == 1


def test_a_wrong_name_hides_no_lie(court: World, tmp_path: Path) -> None:
    """An id's names are in no program and no root: who compared them would refuse a model that the
    referee judges."""
    signature = courts.engine().runner.program.signature
    renamed = Signature(signature.inputs, (replace(signature.outputs[0], name="probabilities"),))
    court.stake()
    model_id = court.publish(name="renamed", **courts.terms() | {"signature": renamed})
    courts.ask(court, model_id)
    liar = workers.hire(court, tmp_path, answers=Liar(), budgeted=False)
    liar.work()
    published = court.history.model(model_id).model
    path = tmp_path / "m.safetensors"
    path.write_bytes(pack(courts.engine().runner.program))
    assert load_engine(path, published).infer(courts.payload())

    fight(courts.hire(court, tmp_path), liar)

    assert len(court.all(FraudProven)) == 1


@dataclass
class Slow(Honest):
    """Each pursuit needs so many seconds; one that is not given them is stopped."""

    seconds: float = 0.0
    given: list[float] = field(default_factory=list)

    def ask(self, model, uris, payload, task):
        self.given.append(task.patience)
        if max(task.patience, 600) >= self.seconds:
            return super().ask(model, uris, payload, task)
        failed: Future[bytes] = Future()
        failed.set_exception(InferenceTooSlow("It took more than that."))
        return failed


def test_a_trace_that_takes_long_hides_no_lie(court: World, tmp_path: Path) -> None:
    """A pursuit gets more time each time, up to two thirds of what is left of the window."""
    court.stake()
    courts.ask(court, courts.publish(court), window=3600)
    workers.hire(court, tmp_path, answers=Liar(), budgeted=False).work()
    slow = Slow(seconds=2000)
    challenger = courts.hire(court, tmp_path, inference=slow)

    for _ in range(4):
        challenger.tick(2)
        challenger.clock[0] += RETRY

    assert challenger.store.wrong() == 1
    assert slow.given[0] == 0
    assert 2000 < slow.given[1] <= (3600 - TRANSACTIONS) * 2 / 3


def test_slow_runs_leave_a_place_to_others(court: World, tmp_path: Path) -> None:
    class Endless(Slow):
        def ask(self, model, uris, payload, task):
            if payload == courts.payload(1):
                return super().ask(model, uris, payload, task)
            if task.patience:
                self.given.append(task.patience)
                return Future()  # as long as it may, and it may long
            return Slow.ask(replace(self, seconds=1e9), model, uris, payload, task)

    court.stake(amount=9 * ETHER)
    model_id = courts.publish(court)
    for seed in range(2, 6):
        courts.ask(court, model_id, seed=seed, window=3000)
    liar = workers.hire(court, tmp_path, answers=Liar(), budgeted=False)
    liar.work()
    challenger = courts.hire(court, tmp_path, inference=Endless())
    for _ in range(8):
        challenger.tick()
        challenger.clock[0] += RETRY
    courts.ask(court, model_id, window=3600)
    liar.work()

    challenger.tick(3)

    assert challenger.store.wrong() == 1


def test_what_nobody_could_be_convicted_of_is_reported(court: World, tmp_path: Path) -> None:
    """A result that cannot be checked, or about which a lie could not be proven, is no result that
    somebody watches: silence must not be taken for consent."""

    class Flawed(Honest):
        is_mended = False

        def answer(self, payload, task):
            if self.is_mended:
                return super().answer(payload, task)
            if payload == courts.payload(2):
                raise ModelUnavailable("no URI gave it")
            found = read_finding(super().answer(payload, task))
            return serialization.dump(replace(found, unwatched="its proof fits nowhere"))

        def ask(self, model, uris, payload, task):
            try:
                return super().ask(model, uris, payload, task)
            except ModelUnavailable as error:
                failed: Future[bytes] = Future()
                failed.set_exception(error)
                return failed

    court.stake(amount=3 * ETHER)
    model_id = courts.publish(court)
    asked = [courts.ask(court, model_id, seed=seed) for seed in (1, 2)]
    workers.hire(court, tmp_path, answers=Honest()).work()
    inference = Flawed()
    challenger = courts.hire(court, tmp_path, inference=inference)
    challenger.tick(3)

    assert challenger.patrol.summary().unwatched == {
        "0x" + asked[0].request_id.hex(): "its proof fits nowhere",
        "0x" + asked[1].request_id.hex(): "it cannot be checked yet: no URI gave it",
    }

    inference.is_mended = True  # now it can be checked
    challenger.clock[0] += RETRY
    challenger.tick(3)
    assert "0x" + asked[1].request_id.hex() not in challenger.patrol.summary().unwatched


def test_what_would_cost_more_than_max_spend_is_held_back(court: World, tmp_path: Path) -> None:
    _, liar = disputed(court, tmp_path, Liar())
    challenger = courts.hire(court, tmp_path, max_spend=Wei(1))

    fight(challenger, liar)

    assert challenger.patrol.open_pursuits == 1
    assert court.chain.nonce(address("challenger")) == 0
    assert challenger.patrol.summary().spent == 0


def test_results_whose_refund_is_ours_are_checked_first(court: World, tmp_path: Path) -> None:
    court.stake(amount=5 * ETHER)
    model_id = courts.publish(court)
    for seed in range(2, 5):
        courts.ask(court, model_id, seed=seed, window=60)
    ours = address("second")
    courts.ask(court, model_id, window=3000, refund_to=ours)
    workers.hire(court, tmp_path, answers=Liar(), budgeted=False).work()
    inference = Honest()
    challenger = courts.hire(court, tmp_path, inference=inference, refund_to=frozenset([ours]))

    challenger.tick(2)

    pursued = [row.duty.request_id for row in challenger.rows(DutyKind.PURSUE)]
    requests = [challenger.store.request(each) for each in pursued]
    assert len(requests) < 4 and ours in [each.refund_to for each in requests if each]
    share = ETHER // 2 * 30 // 100
    assert challenger.patrol.summary().certain_income == share
