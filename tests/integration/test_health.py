"""Programs say that they are not well, and why, when something is amiss that a person should see
to: each reason is caused with the real service."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from oracle.chain.nodes import Nodes
from oracle.errors import ChainError, ModelUnavailable, RpcUnavailable
from oracle.state.duties import DutyKind, State
from oracle.state.health import HICCUP, LONGEST_ROUND, LONGEST_STILL, MISSED_FOR
from oracle.state.lookout import ASK, MINED
from oracle.state.rounds import MOST_SKEW
from oracle.types import LEAVES, Part, Status
from tests import courts
from tests.chains import TIMEOUT, WINDOW, World, address, eth_tester, undone
from tests.courts import Honest, Liar
from tests.integration import workers
from tests.integration.workers import Answers, Hire, Worker
from tests.nodes import Fault, proxy

UNAVAILABLE = ModelUnavailable("no URI gave it")


def why(worker: Worker) -> list[str]:
    assert worker.watch is not None
    return worker.watch.reasons()


def watched(world: World, hire: Hire, **options: object) -> Worker:
    """One that has worked a round, and is well."""
    worker = hire(world, watched=True, **options)
    worker.tick()
    assert why(worker) == []
    return worker


def test_a_program_that_has_not_worked_a_round_says_that_it_starts(
    embedded: World, hire: Hire
) -> None:
    [reason] = why(hire(embedded, watched=True))
    assert reason.startswith("It is starting")


def test_a_program_at_work_is_well(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = watched(embedded, hire)

    worker.work()
    embedded.skip(WINDOW)
    worker.work()

    assert (embedded.status(asked), why(worker)) == (Status.SETTLED, [])


# Deadlines.


def test_a_deadline_that_comes_near_is_told_by_its_duty(embedded: World, hire: Hire) -> None:
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    worker = watched(embedded, hire, answers=Answers(failures=[UNAVAILABLE] * 99))

    embedded.skip(TIMEOUT - int(MINED) - 30)
    worker.tick()
    assert why(worker) == []
    embedded.skip(60)
    worker.tick()

    [reason] = why(worker)
    assert reason.startswith(f"propose of 0x{asked.request_id.hex()} has ")
    assert "see in the log why it waits" in reason


def test_a_deadline_that_comes_near_is_told_though_no_round_ends(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain's time goes on, and nothing was sent."""
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = watched(embedded, hire, answers=Answers(failures=[UNAVAILABLE] * 99))
    embedded.skip(TIMEOUT - int(MINED) - 30)
    worker.tick()

    monkeypatch.setattr(type(embedded.chain), "block", failing)
    worker.wait(40)
    with pytest.raises(RpcUnavailable):
        worker.service.tick()

    assert any(each.startswith("propose of") for each in why(worker))


def failing(*_: object) -> None:
    raise RpcUnavailable("the node is down")


def test_a_stranger_who_leaves_no_time_makes_nobody_unwell(embedded: World, hire: Hire) -> None:
    """Any number of requests with deadlines that nobody could keep."""
    embedded.stake()
    worker = watched(embedded, hire, answers=Answers(failures=[UNAVAILABLE] * 99))
    model = embedded.publish()
    asked = embedded.ask(model, timeout=20)
    worker.tick()

    assert worker.store.duty((DutyKind.PROPOSE, asked.request_id)) is not None
    assert why(worker) == []


def test_a_missed_duty_is_told_for_an_hour(embedded: World, hire: Hire) -> None:
    embedded.stake()
    embedded.ask(embedded.publish())
    worker = watched(embedded, hire, answers=Answers(failures=[UNAVAILABLE] * 99))

    embedded.skip(TIMEOUT)
    worker.tick()

    assert worker.states() == [State.MISSED]
    [reason] = why(worker)
    assert reason.startswith("A duty was missed 0 min ago (since the start: 1 propose)")
    worker.wait(MISSED_FOR + 1)
    embedded.skip(int(MISSED_FOR) + 1)
    worker.tick()
    assert why(worker) == []


def test_a_request_whose_deadline_had_passed_was_never_ours_to_miss(
    embedded: World, hire: Hire
) -> None:
    """A worker that comes back, or begins, reads many of them."""
    embedded.stake()
    asked = embedded.ask(embedded.publish())
    embedded.skip(TIMEOUT)

    worker = watched(embedded, hire)

    assert worker.states() == [State.DROPPED]
    assert worker.why(asked) == "its deadline had passed when it was read"


# Rounds, nodes, blocks.


def test_rounds_that_fail_are_told_with_what_the_node_said(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = watched(embedded, hire)
    monkeypatch.setattr(type(embedded.chain), "block", failing)
    with pytest.raises(ChainError):
        worker.service.tick()
    assert why(worker) == []  # a hiccup

    worker.wait(HICCUP + 1)
    [nodes] = why(worker)
    worker.wait(LONGEST_ROUND)
    [rounds, _] = why(worker)

    assert nodes.startswith("No node is well (the embedded chain is resting)")
    assert rounds.startswith("No round has succeeded for ")
    assert rounds.endswith("the node is down")


def test_a_program_that_works_a_round_an_hour_is_well_between_them(
    embedded: World, hire: Hire
) -> None:
    worker = watched(embedded, hire)

    worker.wait(3600)

    assert why(worker) == []


def test_a_round_that_hangs_is_told(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = watched(embedded, hire)
    found: list[str] = []

    def hangs(*_: object) -> None:
        worker.wait(LONGEST_ROUND + 1)
        found.extend(why(worker))
        failing()

    monkeypatch.setattr(type(embedded.chain), "block", hangs)
    with pytest.raises(ChainError):
        worker.service.tick()

    [reason] = found
    assert reason.startswith("The round has been going on for 61 s")


def test_it_is_well_again_when_a_round_succeeds(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = watched(embedded, hire)
    with monkeypatch.context() as patched:
        patched.setattr(type(embedded.chain), "block", failing)
        with pytest.raises(ChainError):
            worker.service.tick()
        worker.wait(LONGEST_ROUND + 1)
        assert why(worker) != []
    eth_tester(embedded.chain).mine_blocks(1)

    worker.service.tick()

    assert not [each for each in why(worker) if "clock" not in each]


def test_several_nodes_of_which_none_answers_are_told(anvil: World, hire: Hire) -> None:
    with proxy(anvil.chain.url) as first, proxy(anvil.chain.url) as second:
        nodes = Nodes([first.url, second.url])
        worker = watched(anvil, hire, chain=nodes)
        first.fail(Fault.CLOSE)
        worker.tick()
        assert why(worker) == []  # the other answers
        second.fail(Fault.CLOSE)
        with pytest.raises(ChainError):
            worker.tick()
        worker.wait(HICCUP + 1)

        [reason] = why(worker)
        nodes.hang_up()

    assert reason.startswith("No node is well (")
    assert reason.count("is resting") == 2


def test_a_chain_that_stands_still_is_told(embedded: World, hire: Hire) -> None:
    worker = watched(embedded, hire)

    worker.wait(LONGEST_STILL + 1)
    worker.tick()

    [reason] = why(worker)
    assert "stands still" in reason


def test_a_node_that_is_behind_what_was_read_is_told(embedded: World, hire: Hire) -> None:
    with undone(embedded.chain):
        eth_tester(embedded.chain).mine_blocks(3)
        worker = watched(embedded, hire, finality=0)

    worker.wait(LONGEST_STILL + 1)
    worker.tick()

    [reason] = why(worker)
    assert reason.startswith("The node is at block ") and "behind block" in reason


def test_a_clock_that_is_not_the_chains_is_told(embedded: World, hire: Hire) -> None:
    worker = watched(embedded, hire)
    eth_tester(embedded.chain).mine_blocks(1)
    worker.clock[0] = embedded.time() + MOST_SKEW + 30

    worker.service.tick()

    [reason] = why(worker)
    assert "ahead of the chain's: set it by NTP" in reason


def test_a_history_that_is_stuck_is_told(
    embedded: World, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = watched(embedded, hire)
    asked = embedded.ask(embedded.publish())
    monkeypatch.setattr("oracle.worker.service.owed", poisoned)

    worker.tick()

    [reason] = why(worker)
    assert reason.startswith("1 histories could not be understood")
    assert worker.store.history(asked.request_id) is not None


def poisoned(*_: object) -> None:
    raise ValueError("poison")


# Money.


def test_an_account_without_coins_is_told_while_duties_are_open(anvil: World, hire: Hire) -> None:
    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = watched(anvil, hire)
    worker.work()
    anvil.chain.rpc("anvil_setBalance", [address("operator"), "0x0"])

    worker.wait(ASK)
    worker.tick()

    # Rounds that wait for anvil move our clock too.
    [reason] = [each for each in why(worker) if "clock" not in each]
    assert anvil.status(asked) is Status.PROPOSED
    assert reason.startswith(f"Our account {address('operator')} has 0 wei")
    assert reason.endswith("send it coins.")


# Defence.


class Gone(Answers):
    """Whose models can no longer be had."""

    def ask(self, *_: object) -> "Future[bytes]":
        future: Future[bytes] = Future()
        future.set_exception(UNAVAILABLE)
        return future


def test_an_open_result_whose_model_is_gone_is_told(court: World, hire: Hire) -> None:
    court.stake()
    model = courts.publish(court)
    asked = courts.ask(court, model)
    hire(court, answers=Honest()).work()
    assert court.status(asked) is Status.PROPOSED

    worker = hire(court, answers=Gone(), watched=True)
    worker.tick()

    [reason] = why(worker)
    assert reason.startswith(f"Open results of 0x{model.hex()} could not be defended now")


def test_a_demand_whose_deadline_comes_near_is_told(court: World, hire: Hire) -> None:
    court.stake()
    asked = courts.ask(court, courts.publish(court))
    hire(court, answers=Honest(is_silent=True)).work()
    courts.demand(court, asked, Part(0, LEAVES, 0, 1))
    worker = hire(court, answers=Honest(is_silent=True), watched=True)
    worker.tick()
    assert why(worker) == []

    court.skip(courts.REVEAL - int(MINED))
    worker.tick()

    [reason] = why(worker)
    assert reason.startswith("reveal of 0x")


# A challenger.


def test_a_challenger_says_what_it_found_and_that_it_is_well(court: World, tmp_path: Path) -> None:
    court.stake()
    courts.ask(court, courts.publish(court))
    worker = workers.hire(court, tmp_path, answers=Liar(), budgeted=False)
    worker.work()
    challenger = courts.hire(court, tmp_path, watched=True)

    challenger.work()
    challenger.clock[0] += ASK
    challenger.tick()

    assert challenger.watch is not None and challenger.watch.vitals is not None
    findings = challenger.watch.vitals.findings
    assert findings is not None and findings.wrong == 1
    assert not [each for each in challenger.watch.reasons() if "clock" not in each]
    worker.store.close()
    challenger.store.close()
