"""A worker whose key is not the operator's: what it may do in its name, and until when."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oracle.chain.contracts import Subject
from oracle.chain.events import (
    PartDemanded,
    PartRevealed,
    PrepaidCollected,
    RequestCreated,
    ResultProposed,
)
from oracle.chain.keys import Signer
from oracle.errors import NotItsSigner
from oracle.state.duties import DutyKind, State
from oracle.state.tries import RETRY
from oracle.types import LEAVES, Part, Status, Wei
from oracle.worker.mandate import Mandate
from oracle.worker.sending import NO_MANDATE, NO_STAKE
from tests import chains, courts
from tests.chains import (
    BOND,
    DELAY,
    ETHER,
    FEE,
    OUTPUT,
    PEOPLE,
    ROYALTY,
    STAKE,
    WINDOW,
    World,
    address,
)
from tests.courts import Honest
from tests.integration import workers
from tests.integration.workers import Hire, Worker

COLD, HOT = address("operator"), address("second")


def name(world: World, who: str | None = "second", max_locked: int = STAKE) -> None:
    signer = None if who is None else address(who)
    world.send("operator", world.queue.set_signer(signer, Wei(max_locked)))


def proposed(world: World, asked: RequestCreated) -> ResultProposed:
    found = [each for each in world.all(ResultProposed) if each.request_id == asked.request_id]
    return found[-1]


def lie_of_cold(world: World, asked: RequestCreated) -> None:
    """The operator is slashed for an answer that it gave itself."""
    world.slash(asked, world.propose(asked, "operator", bytes(8)))


# The whole way.


def test_a_hot_key_answers_settles_and_the_stake_is_paid(world: World, hire: Hire) -> None:
    world.stake()
    name(world)
    asked = world.ask(world.publish())
    sent_by_cold = world.chain.nonce(COLD)
    worker = hire(world, hot="second")

    worker.work()
    assert world.status(asked) is Status.PROPOSED
    answer = proposed(world, asked).proposal
    assert (answer.operator, answer.by_signer) == (COLD, True)
    world.skip(WINDOW)
    worker.work()

    assert world.status(asked) is Status.SETTLED
    account = world.queue.account_of(COLD)
    assert (account.staked, account.locked) == (STAKE + FEE - ROYALTY, 0)
    assert world.chain.nonce(COLD) == sent_by_cold
    assert world.chain.nonce(HOT) == 2  # proposeSigned, settleByRoot


def test_a_hot_key_signs_each_answer_and_settles_them_together(world: World, hire: Hire) -> None:
    world.stake()
    name(world)
    model_id = world.publish()
    asked = [world.ask(model_id) for _ in range(5)]
    worker = hire(world, hot="second", models=frozenset([model_id]))

    worker.work()
    world.skip(WINDOW)
    worker.work()

    assert {world.status(each) for each in asked} == {Status.SETTLED}
    assert world.chain.nonce(HOT) == 5 + 1


def test_a_hot_key_has_the_operator_paid_what_it_unstaked(embedded: World, hire: Hire) -> None:
    embedded.stake()
    name(embedded)
    embedded.send("operator", embedded.queue.unstake(Wei(5)))
    worker = hire(embedded, hot="second")
    worker.work()
    before = embedded.chain.balance(COLD)
    embedded.skip(DELAY)

    worker.work()

    assert worker.states() == []
    assert embedded.chain.balance(COLD) == before + 5


def test_a_hot_key_shows_the_trace_of_what_it_signed(court: World, tmp_path: Path) -> None:
    court.stake(amount=9 * ETHER)
    name(court, max_locked=9 * ETHER)
    asked = courts.ask(court, courts.publish(court))
    sent_by_cold = court.chain.nonce(COLD)
    worker = workers.hire(court, tmp_path, answers=Honest(), hot="second")
    worker.work()

    courts.demand(court, asked, Part(2, LEAVES, 0, 2))
    worker.work()

    assert [each.part.value for each in court.all(PartRevealed)] == [2]
    court.skip(chains.WINDOW + courts.REACTION)
    worker.work()
    assert court.status(asked) is Status.SETTLED
    assert [each.account for each in court.all(PrepaidCollected)] == [COLD]
    assert worker.states() == []
    assert court.chain.nonce(COLD) == sent_by_cold


def test_a_hot_key_defends_what_it_signed_before_a_slash(court: World, tmp_path: Path) -> None:
    """Void or not, whoever shows no trace is slashed again; and the cold key may be far away."""
    court.stake(amount=9 * ETHER)
    name(court, max_locked=9 * ETHER)
    model_id = courts.publish(court)
    asked = courts.ask(court, model_id, window=3600)
    worker = workers.hire(court, tmp_path, answers=Honest(), hot="second")
    worker.work()
    silent = courts.ask(court, model_id, seed=2, operator=COLD)
    court.propose(silent, "operator", proposed(court, asked).output)
    slash_by_silence(court, silent)
    assert court.queue.signer_of(COLD) is None

    courts.demand(court, asked, Part(2, LEAVES, 0, 2))
    workers.hire(court, tmp_path, answers=Honest(), hot="second").work()

    assert [each.request_id for each in court.all(PartRevealed)] == [asked.request_id]
    assert court.queue.account_of(COLD).epoch == 1


def slash_by_silence(court: World, asked: RequestCreated) -> None:
    courts.demand(court, asked, Part(2, LEAVES, 0, 2))
    [demanded] = [e for e in court.all(PartDemanded) if e.request_id == asked.request_id]
    court.skip(courts.REVEAL + 1)
    found = court.history.request(asked.request_id).proposed
    assert found is not None
    subject = Subject(asked.request, found.proposal, found.output)
    court.send("stranger", court.disputes.timeout(subject, demanded.demand))


# Until it no longer may.


def declined(worker: Worker, asked: RequestCreated) -> str:
    return worker.why(asked)


def test_a_slash_ends_a_hot_key_until_the_cold_one_renews_it(embedded: World, hire: Hire) -> None:
    embedded.stake()
    name(embedded)
    model_id = embedded.publish()
    worker = hire(embedded, hot="second")
    lie_of_cold(embedded, embedded.ask(model_id, operator=COLD))
    with capture_logs() as logs:
        asked = embedded.ask(model_id)
        worker.work()
        worker.wait(RETRY)
        worker.work()
        reason = str(NotItsSigner(HOT, COLD, 1))
        assert declined(worker, asked) == reason and worker.answers.asked == []
        assert worker.states(DutyKind.PROPOSE)[-1] is State.DECLINED

        name(embedded)
        worker.wait(RETRY)
        worker.work()

    assert embedded.status(asked) is Status.PROPOSED
    assert proposed(embedded, asked).proposal.epoch == 1
    said = [each for each in logs if each["event"] in ("we may not answer", "we may answer again")]
    assert [each["event"] for each in said] == ["we may not answer", "we may answer again"]
    assert said[0]["why"] == reason


def test_an_answer_waits_where_a_slash_comes_between_signing_and_sending(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    name(embedded)
    model_id = embedded.publish()
    asked = embedded.ask(model_id)
    lied = embedded.ask(model_id, operator=COLD)
    lie = embedded.propose(lied, "operator", bytes(8))
    worker = hire(embedded, hot="second")
    mandate = worker.service._sending._mandate
    propose = mandate.propose

    def slashed(answers):
        call = propose(answers)
        embedded.slash(lied, lie)
        mandate.propose = propose
        return call

    mandate.propose = slashed  # type: ignore[method-assign]
    with capture_logs() as logs:
        worker.tick(3)
    assert NO_MANDATE in [each["event"] for each in logs]
    assert worker.states(DutyKind.PROPOSE)[0] is State.OPEN

    name(embedded)
    worker.wait(RETRY)
    worker.work()
    assert embedded.status(asked) is Status.PROPOSED


def test_a_hot_key_locks_no_more_than_its_limit(embedded: World, hire: Hire) -> None:
    embedded.stake()
    name(embedded, max_locked=3 * BOND)
    model_id = embedded.publish()
    by_cold = embedded.ask(model_id, operator=COLD)
    embedded.propose(by_cold, "operator")
    asked = [embedded.ask(model_id) for _ in range(3)]
    worker = hire(embedded, hot="second", models=frozenset([model_id]))

    worker.work()

    assert [embedded.status(each) for each in asked].count(Status.PROPOSED) == 2
    [left] = [each for each in asked if embedded.status(each) is Status.REQUESTED]
    assert f"above the {3 * BOND} wei that may be locked where our key signs" in declined(
        worker, left
    )
    embedded.skip(WINDOW)
    worker.work()
    worker.wait(RETRY)
    worker.work()
    assert embedded.status(left) is Status.PROPOSED


def test_an_answer_waits_for_bonds_that_are_locked_and_no_longer_at_risk(
    embedded: World, hire: Hire
) -> None:
    embedded.stake()
    name(embedded, max_locked=BOND)
    model_id = embedded.publish()
    worker = hire(embedded, hot="second")
    embedded.ask(model_id)
    worker.work()
    [settle] = worker.rows(DutyKind.SETTLE)
    embedded.skip(WINDOW + 1)
    worker.service._tries[settle.key].not_before = float("inf")
    later = embedded.ask(model_id)

    with capture_logs() as logs:
        worker.tick(3)
    [said] = [each["why"] for each in logs if each["event"] == NO_STAKE]
    assert "SignerLimitReached" in said and f"locked={2 * BOND}, maxLocked={BOND}" in said
    worker.service._tries[settle.key].not_before = 0.0
    worker.work()
    worker.wait(RETRY)
    worker.work()
    assert embedded.status(later) is Status.PROPOSED


# Beside the cold key.


def test_a_cold_and_a_hot_worker_answer_each_request_once(world: World, hire: Hire) -> None:
    """Each has a state and nonces of its own, though the account is one."""
    world.stake()
    name(world)
    model_id = world.publish()
    both = [hire(world), hire(world, hot="second")]
    asked = [world.ask(model_id) for _ in range(3)]

    for _ in range(4):
        for worker in both:
            worker.tick()
    world.skip(WINDOW)
    for worker in both:
        worker.work()

    assert {world.status(each) for each in asked} == {Status.SETTLED}
    assert len(world.all(ResultProposed)) == 3
    assert world.queue.account_of(COLD).locked == 0


# At its start.


def mandate(world: World, key: Signer = PEOPLE["second"]) -> Mandate:
    return Mandate(world.queue, COLD, key)


def test_require_says_what_is_to_be_sent_where_the_key_was_not_named(embedded: World) -> None:
    with pytest.raises(NotItsSigner) as raised:
        mandate(embedded).require()

    assert (raised.value.key, raised.value.operator, raised.value.epoch) == (HOT, COLD, 0)
    assert f"exactum operator signer {HOT} --max-locked" in str(raised.value)


def test_require_takes_the_signer_and_the_operator_and_nobody_else(embedded: World) -> None:
    name(embedded)

    mandate(embedded).require()
    mandate(embedded, PEOPLE["operator"]).require()
    with pytest.raises(NotItsSigner):
        mandate(embedded, PEOPLE["rival"]).require()


def test_require_lets_a_key_defend_what_is_open(embedded: World) -> None:
    """Whoever is restarted after a slash must show its traces, though it may not answer."""
    embedded.stake()
    embedded.propose(embedded.ask(embedded.publish()), "operator", OUTPUT)
    assert mandate(embedded).standing().obstacle is not None

    mandate(embedded).require()
