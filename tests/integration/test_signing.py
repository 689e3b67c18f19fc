"""Answers that the real service signs: which it gives away, what it promises by them, and that the
queue takes them."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.chain.answers import Answer
from oracle.chain.contracts import SignedOptions
from oracle.chain.events import PartRevealed, RequestCreated, ResultProposed
from oracle.chain.replies import Receipt
from oracle.errors import (
    Busy,
    Declined,
    ModelUnavailable,
    NotAppraised,
    NotFound,
    RunsDiffer,
    Unwatched,
)
from oracle.exact.proofs.cost import Calibration, Unit
from oracle.inference.executor import Ran
from oracle.state.deeds import KEPT, Signed
from oracle.state.duties import DutyKind
from oracle.types import DType, Model, ModelId, Part, Signature, Status, TensorType, Wei
from oracle.worker.budget import PASSES
from oracle.worker.orders import Inquiry, Order, Quote, SignedAnswer
from oracle.worker.signing import STALE, Signing, SigningLimits
from tests import courts
from tests.chains import (
    BOND,
    ETHER,
    FEE,
    OUTPUT,
    PAYLOAD,
    STAKE,
    WINDOW,
    World,
    address,
    taken_back,
)
from tests.integration import workers
from tests.integration.workers import Answers, Hire, Worker

MOST = SigningLimits(max_timeout=120)


@pytest.fixture
def model(embedded: World) -> ModelId:
    embedded.stake()
    return embedded.publish()


@pytest.fixture
def worker(embedded: World, hire: Hire, model: ModelId) -> Worker:
    assert model
    found = hire(embedded, signing=MOST)
    found.tick()
    return found


def desk(worker: Worker) -> Signing:
    assert worker.service.signing is not None
    return worker.service.signing


def options(worker: Worker, **changes: Any) -> SignedOptions:
    time = int(max(worker.clock[0], worker.world.time()))
    found = SignedOptions(address("operator"), BOND, WINDOW, time + 60, nonce=1)
    return replace(found, **changes)


def order(worker: Worker, model: ModelId, fee: int | None = FEE, **changes: Any) -> Order:
    wei = None if fee is None else Wei(fee)
    return Order(model, options(worker, **changes), PAYLOAD, address("requester"), wei)


def put(worker: Worker, asked: Order) -> SignedAnswer:
    """Without another round: what an answer waits for is its run."""
    desk(worker).put(asked)
    for _ in range(3):
        desk(worker).work()
    return asked.future.result(timeout=0)


def post(world: World, asked: Order, answer: SignedAnswer, who: str = "requester") -> Receipt:
    call = world.queue.infer(
        asked.model,
        asked.payload,
        answer.request.fee,
        asked.options,
        answer.output,
        answer.signature,
    )
    return world.send(who, call)


# What is signed is taken.


def test_a_signed_answer_is_posted_and_settled_and_pays(worker: Worker, model: ModelId) -> None:
    world, asked = worker.world, order(worker, model)
    answer = put(worker, asked)

    receipt = post(world, asked, answer)

    assert world.of(receipt, RequestCreated).request_id == answer.request_id
    assert world.of(receipt, ResultProposed).output == OUTPUT
    worker.work()
    world.skip(WINDOW)
    worker.work()
    assert world.queue.status_of(answer.request_id)[0] is Status.SETTLED
    assert worker.states(DutyKind.SETTLE) == []
    earned = world.queue.account_of(address("operator")).staked - STAKE
    assert earned == answer.request.fee - answer.request.terms.royalty
    assert len(worker.answers.asked) == 1  # it was not run again


def test_without_a_fee_it_is_what_a_quote_says(worker: Worker, model: ModelId) -> None:
    inquiry = Inquiry(model, options(worker))
    desk(worker).put(inquiry)
    desk(worker).work()
    quote: Quote = inquiry.future.result(timeout=0)
    asked = order(worker, model, fee=None)

    answer = put(worker, asked)

    assert answer.request.fee == quote.fee > answer.request.terms.royalty
    with pytest.raises(Declined, match="it earns"):
        put(worker, order(worker, model, fee=quote.fee - 1))
    post(worker.world, asked, answer)


def test_nothing_is_signed_at_first_where_the_state_may_be_an_old_copy(
    embedded: World, model: ModelId, tmp_path: Path
) -> None:
    """What was signed since the copy was made may still be posted, and nobody knows of it."""
    limits = SigningLimits(max_timeout=120)
    before = workers.hire(embedded, tmp_path, signing=limits)
    before.tick()
    put(before, order(before, model))
    before.store.close()

    soon = workers.hire(embedded, tmp_path, signing=limits)
    soon.tick()
    put(soon, order(soon, model, nonce=2))
    soon.store.close()

    late = workers.hire(embedded, tmp_path, signing=limits)
    late.wait(300)
    late.tick()
    with pytest.raises(Busy, match="just started"):
        put(late, order(late, model, nonce=3))
    late.wait(120)
    late.tick()
    put(late, order(late, model, nonce=4))
    late.store.close()


def test_nothing_is_signed_at_first_where_the_chain_knows_more_than_a_new_state(
    embedded: World, model: ModelId, tmp_path: Path
) -> None:
    before = workers.hire(embedded, tmp_path, signing=SigningLimits())
    before.tick()
    asked = order(before, model)
    post(embedded, asked, put(before, asked))

    (tmp_path / "new").mkdir()
    anew = workers.hire(embedded, tmp_path / "new", signing=SigningLimits())
    anew.tick()

    with pytest.raises(Busy, match="just started"):
        put(anew, order(anew, model, nonce=2))


def test_the_same_order_again_is_the_same_answer(worker: Worker, model: ModelId) -> None:
    asked = order(worker, model)
    first = put(worker, asked)

    again = put(worker, replace(asked, future=Future()))

    assert again == first and len(worker.answers.asked) == 1


# What was signed is not forgotten.


def test_an_answer_is_kept_before_it_is_signed(
    worker: Worker, model: ModelId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Answer, "sign", killed)
    asked = order(worker, model)
    with pytest.raises(KeyboardInterrupt):
        put(worker, asked)

    [deed] = worker.store.unposted(0)
    assert deed.request.bond == BOND and not asked.future.done()


def test_a_restart_remembers_what_was_signed(
    worker: Worker, hire: Hire, model: ModelId, embedded: World
) -> None:
    put(worker, order(worker, model, bond=STAKE // 2))
    worker.store.close()

    again = hire(embedded, signing=MOST)
    again.tick()

    with pytest.raises(Busy, match="not posted yet are above"):
        put(again, order(again, model, nonce=2))


def test_what_was_signed_counts_until_its_deadline(worker: Worker, model: ModelId) -> None:
    """Answers that are asked for and never used cost an operator its bond's time, and no more."""
    put(worker, order(worker, model, bond=STAKE // 2))
    with pytest.raises(Busy, match="not posted yet are above"):
        put(worker, order(worker, model, nonce=2))

    worker.world.skip(61)
    worker.tick(2)

    put(worker, order(worker, model, nonce=3))


def test_what_nobody_posted_is_forgotten_a_day_after_its_deadline(
    worker: Worker, model: ModelId
) -> None:
    def deed(answer: SignedAnswer) -> Signed | None:
        return worker.store.signed(answer.request_id)

    first, second = order(worker, model), order(worker, model, nonce=2)
    unposted, posted = put(worker, first), put(worker, second)
    post(worker.world, second, posted)
    worker.world.skip(61)
    worker.tick(2)
    for answer in (unposted, posted):
        over = deed(answer)
        assert over is not None and over.output is None

    worker.world.skip(KEPT)
    worker.tick(2)

    assert deed(unposted) is None and deed(posted) is not None


def test_what_was_posted_counts_once(worker: Worker, model: ModelId) -> None:
    asked = order(worker, model, bond=STAKE // 2)
    post(worker.world, asked, put(worker, asked))
    worker.work()

    # The other half is free still, of which nothing is promised.
    put(worker, order(worker, model, bond=STAKE // 2, nonce=2))


def test_strangers_cannot_drain_the_stake_by_signatures(worker: Worker, model: ModelId) -> None:
    """However many ask for however much, what nobody posted is half of the stake at most, and the
    rest answers requests."""
    given = 0
    for nonce in range(50):
        try:
            put(worker, order(worker, model, bond=STAKE // 20, nonce=nonce))
            given += STAKE // 20
        except Busy:
            pass
    asked = worker.world.ask(model, bond=STAKE // 2)

    worker.work()

    assert given == STAKE // 2
    assert worker.world.status(asked) is Status.PROPOSED


def test_a_request_is_declined_while_signatures_may_take_the_stake(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker = hire(embedded, signing=SigningLimits(max_unposted=STAKE))
    worker.tick()
    put(worker, order(worker, model, bond=STAKE))
    asked = embedded.ask(model)

    worker.work()

    assert "above our stake" in str(worker.why(asked))


def test_no_more_is_signed_than_is_free(worker: Worker, model: ModelId) -> None:
    """Whatever locks the rest of it, which may be nothing that we know of yet."""
    world = worker.world
    world.propose(world.ask(model, bond=STAKE - BOND))
    signing = desk(worker)
    signing.refresh(worker.clock[0], worker.clock[0], world.time(), Wei(0))  # no event was read

    with pytest.raises(Busy, match="that are free"):
        put(worker, order(worker, model, bond=2 * BOND))


def test_a_hot_key_signs_within_its_limit_and_not_once_it_is_replaced(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    def name(who: str) -> None:
        embedded.send("operator", embedded.queue.set_signer(address(who), Wei(3 * BOND)))

    name("second")
    worker = hire(embedded, hot="second", signing=MOST)
    worker.tick()
    asked = order(worker, model, bond=2 * BOND)
    answer = put(worker, asked)

    with pytest.raises(Busy, match="may be locked where our key signs"):
        put(worker, order(worker, model, bond=2 * BOND, nonce=2))
    post(embedded, asked, answer)
    name("rival")
    worker.tick()
    with pytest.raises(Declined, match="is not the signer"):
        put(worker, order(worker, model, nonce=3))
    assert answer.signer == address("second")


def test_a_slash_ends_what_was_signed_and_the_next_is_good(worker: Worker, model: ModelId) -> None:
    world, asked = worker.world, order(worker, model)
    before = put(worker, asked)
    wrong = world.ask(model)
    world.slash(wrong, world.propose(wrong))
    worker.work()

    after = put(worker, replace(asked, future=Future()))

    assert (before.epoch, after.epoch) == (0, 1)
    post(world, asked, after)


# What was signed is defended.


def matrices(worker: Worker, model: ModelId, nonce: int = 1) -> Order:
    asked = order(worker, model, nonce=nonce)
    return replace(asked, payload=courts.payload(), future=Future())


def test_a_signed_answer_is_defended_like_any_result(court: World, hire: Hire) -> None:
    court.stake()
    model = courts.publish(court)
    worker = hire(court, answers=courts.Honest(), signing=MOST)
    worker.work()
    asked = matrices(worker, model)
    answer = put(worker, asked)
    created = court.of(post(court, asked, answer), RequestCreated)
    worker.work()

    courts.demand(court, created, Part(0, 0, 0, 1))
    worker.work()

    assert court.all(PartRevealed)
    assert worker.states(DutyKind.REVEAL) == []


def test_what_was_signed_takes_of_what_can_be_defended(court: World, hire: Hire) -> None:
    """Before it is posted too: then nothing could be declined any more."""
    court.stake(amount=9 * ETHER)
    model = courts.publish(court)
    # Of 1200 s of each process, half is for defence; three quarters of that is for anybody, and a
    # model has an eighth of it.
    price = Calibration(dict.fromkeys(Unit, 0.0) | {Unit.HASHED: 80 / PASSES / (5 * 10 * 128)})
    worker = hire(
        court, answers=courts.Honest(), signing=MOST, calibration=price, parallel=2, defence_rate=0
    )
    worker.work()
    put(worker, matrices(worker, model))

    with pytest.raises(Busy, match="its model has 80.0 s of a model's 150.0 s"):
        put(worker, matrices(worker, model, nonce=2))


def test_what_was_signed_for_a_model_that_was_taken_back_stops_nothing(
    court: World, hire: Hire
) -> None:
    """It may be published again, and the answer posted: its bond still counts."""
    court.stake()
    kept = courts.publish(court)
    worker = hire(court, answers=courts.Honest(), signing=MOST)
    with taken_back(court):
        gone = court.publish(name="gone", **courts.terms())
        worker.work()
        put(worker, matrices(worker, gone))
    worker.store.close()
    asked = courts.ask(court, kept)

    again = hire(court, answers=courts.Honest(), signing=MOST, watched=True)
    again.work()

    assert court.status(asked) is Status.PROPOSED
    assert again.watch is not None
    [reason] = again.watch.reasons()
    assert f"0x{gone.hex()} could not be defended now" in reason
    with pytest.raises(NotFound):
        put(again, matrices(again, gone, nonce=2))


# What is not signed.


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bond": 1}, "below the queue's least"),
        ({"window": 0}, "is not between the queue's"),
        ({"window": 10**6}, "is not between the queue's"),
        ({"operator": address("rival")}, "We sign for"),
        ({"callback_gas": 10**7 + 1}, "above the queue's 10000000"),
        ({"bond": 2 * ETHER}, "above our stake"),
        ({"bond": STAKE * 3 // 4}, "that we keep for these"),
    ],
)
def test_terms_that_are_not_taken_are_declined(
    worker: Worker, model: ModelId, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Declined, match=why):
        put(worker, order(worker, model, **changes))
    assert worker.answers.asked == [] and desk(worker).is_idle


@pytest.mark.parametrize("ahead", [-1, 0, 121, 3600])
def test_a_deadline_is_ahead_and_near(worker: Worker, model: ModelId, ahead: int) -> None:
    deadline = int(desk(worker).chain_time) + ahead

    with pytest.raises(Declined, match="The deadline must be"):
        put(worker, order(worker, model, deadline=deadline))


def test_an_unknown_model_is_not_found(worker: Worker) -> None:
    with pytest.raises(NotFound):
        put(worker, order(worker, ModelId(b"\x05" * 32)))


def test_a_stranger_cannot_have_a_file_fetched(embedded: World, hire: Hire, model: ModelId) -> None:
    class Elsewhere(Answers):
        def is_here(self, *_: object) -> bool:
            return False

        def ready(self, *_: object) -> bool:
            raise AssertionError("a fetch was begun")

    worker = hire(embedded, answers=Elsewhere(), signing=MOST)
    worker.tick(3)

    with pytest.raises(NotFound):
        put(worker, order(worker, model))


class Cached(Answers):
    """Says whether a file is here, and remembers which must stay."""

    is_there = True
    kept: object = None

    def is_here(self, *_: object) -> bool:
        return self.is_there

    def keep(self, files: object) -> None:
        self.kept = files


def test_a_strangers_model_that_is_offered_may_leave_the_cache(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    answers = Cached()
    worker = hire(embedded, answers=answers, signing=MOST)
    worker.tick(2)
    assert answers.kept == set()

    put(worker, order(worker, model))
    worker.tick()
    assert answers.kept != set()  # what is signed may have to be defended

    answers.is_there = False
    worker.wait(20)
    worker.tick()
    with pytest.raises(NotFound):
        put(worker, order(worker, model, nonce=2))


def test_what_fits_no_transaction_is_not_offered(embedded: World, hire: Hire) -> None:
    embedded.stake()
    signature = Signature(
        (TensorType("x", DType.UINT8, (120_000,)),), (TensorType("y", DType.FLOAT, (2_000,)),)
    )
    model = embedded.publish(signature=signature)
    worker = hire(embedded, signing=MOST)
    worker.tick()

    with pytest.raises(NotFound, match="128000 bytes fit no transaction"):
        put(worker, replace(order(worker, model), payload=bytes(120_000)))


def test_nothing_is_signed_by_what_a_silent_node_said_long_ago(
    worker: Worker, model: ModelId
) -> None:
    asked = order(worker, model, deadline=int(worker.clock[0] + STALE + 60))
    worker.wait(STALE + 1)

    with pytest.raises(Busy, match="Our node does not answer"):
        put(worker, asked)


def test_runs_that_differ_are_not_signed(worker: Worker, model: ModelId) -> None:
    worker.answers.failures.append(RunsDiffer("two runs differ"))

    with pytest.raises(RunsDiffer):
        put(worker, order(worker, model))
    assert worker.store.unposted(0) == []
    put(worker, order(worker, model))


def test_a_model_that_nobody_could_be_held_to_is_offered_no_more(
    worker: Worker, model: ModelId
) -> None:
    worker.answers.failures.append(Unwatched("a lie could not be proven"))

    with pytest.raises(Unwatched):
        put(worker, order(worker, model))
    worker.wait(20)
    worker.tick()
    with pytest.raises(NotFound):
        put(worker, order(worker, model))


# How many are run.


class Slow(Answers):
    """Runs end when the test says so."""

    def submit(self, model: Model, *rest: Any) -> "Future[Ran]":
        super().submit(model, *rest)
        self.runs.append(Future())
        return self.runs[-1]

    runs: list["Future[Ran]"]


def slow(embedded: World, hire: Hire, **limits: Any) -> tuple[Worker, list["Future[Ran]"]]:
    answers = Slow()
    answers.runs = []
    worker = hire(embedded, answers=answers, parallel=2, signing=SigningLimits(**limits))
    worker.tick()
    return worker, answers.runs


def test_orders_take_half_of_the_processes_and_wait_in_line(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, runs = slow(embedded, hire)
    orders = [order(worker, model, nonce=nonce) for nonce in range(3)]
    for each in orders:
        desk(worker).put(each)
    desk(worker).work()
    assert len(runs) == 1

    worker.service.bell.wait(0)
    runs[0].set_result(Ran(OUTPUT, 0.0))

    assert worker.service.bell.wait(0)
    desk(worker).work()
    assert orders[0].future.done() and len(runs) == 2


def test_more_orders_than_are_taken_are_told_so(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, _ = slow(embedded, hire, orders=2)
    orders = [order(worker, model, nonce=nonce) for nonce in range(3)]
    for each in orders:
        desk(worker).put(each)
    desk(worker).work()

    assert [each.future.done() for each in orders] == [False, False, True]
    assert isinstance(orders[2].future.exception(), Busy)


def test_an_order_that_nobody_waits_for_is_not_run(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, runs = slow(embedded, hire)
    first, second = (order(worker, model, nonce=nonce) for nonce in range(2))
    for each in (first, second):
        desk(worker).put(each)
    desk(worker).work()
    assert second.future.cancel()

    runs[0].set_result(Ran(OUTPUT, 0.0))
    desk(worker).work()

    assert first.future.done() and len(runs) == 1 and desk(worker).is_idle


def test_an_order_that_comes_again_while_it_waits_is_answered(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, runs = slow(embedded, hire)
    other, first = order(worker, model, nonce=0), order(worker, model)
    again, beside = (replace(first, future=Future()) for _ in range(2))
    for each in (other, first):
        desk(worker).put(each)
    desk(worker).work()
    assert first.future.cancel()  # its connection is lost, and it is asked again

    for each in (again, beside):
        desk(worker).put(each)
    for number in range(2):
        desk(worker).work()
        runs[number].set_result(Ran(OUTPUT, 0.0))
    for _ in range(3):
        desk(worker).work()

    assert again.future.result(timeout=0) == beside.future.result(timeout=0)
    assert desk(worker).is_idle


def test_an_order_waits_for_a_while_only(embedded: World, hire: Hire, model: ModelId) -> None:
    worker, _ = slow(embedded, hire)
    orders = [order(worker, model, nonce=nonce) for nonce in range(2)]
    for each in orders:
        desk(worker).put(each)
    desk(worker).work()
    worker.wait(61)
    worker.tick()

    assert isinstance(orders[1].future.exception(timeout=0), Busy)


def test_a_run_that_outlives_its_deadline_is_not_signed(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, runs = slow(embedded, hire)
    asked = order(worker, model)
    desk(worker).put(asked)
    desk(worker).work()
    embedded.skip(61)
    worker.tick()
    runs[0].set_result(Ran(OUTPUT, 0.0))
    desk(worker).work()

    with pytest.raises(Busy, match="the deadline was over"):
        asked.future.result(timeout=0)
    assert worker.store.unposted(0) == []


def test_whoever_stops_answers_what_came_before(
    embedded: World, hire: Hire, model: ModelId
) -> None:
    worker, runs = slow(embedded, hire)
    before, after = (order(worker, model, nonce=nonce) for nonce in range(2))
    desk(worker).put(before)
    desk(worker).work()
    desk(worker).close()
    desk(worker).put(after)
    desk(worker).work()
    runs[0].set_result(Ran(OUTPUT, 0.0))
    desk(worker).work()

    assert before.future.result(timeout=0).output == OUTPUT
    assert isinstance(after.future.exception(timeout=0), Busy)


@pytest.mark.parametrize("kind", [NotAppraised, ModelUnavailable])
def test_a_model_is_still_offered_after_what_may_pass(
    worker: Worker, model: ModelId, kind: type[Exception]
) -> None:
    worker.answers.failures.append(kind("it is not known now"))

    with pytest.raises(Busy, match="it is not known now"):
        put(worker, order(worker, model))

    assert put(worker, order(worker, model)).output == OUTPUT
