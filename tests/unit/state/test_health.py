"""What makes a program say that it is not well, by values alone: where each bound lies."""

from dataclasses import replace
from typing import Any

import pytest

from oracle.state import health
from oracle.state.agenda import Tally
from oracle.state.duties import DutyKind, State
from oracle.state.health import is_in_danger, reasons, unended
from oracle.state.vitals import (
    Blocks,
    NodeVitals,
    Purse,
    Stake,
    Urgent,
    Vitals,
    Waiting,
)

NOW = 2_000.0
OPEN = Tally(DutyKind.REVEAL, State.OPEN, 1, 5_000, 1, None)


def blocks(**changes: Any) -> Blocks:
    values = Blocks(
        head=10, read=10, final=5, time=1_000, moved_at=NOW, skew=0.0, replacements=0, deepest=0
    )
    return replace(values, **changes)


def vitals(**changes: Any) -> Vitals:
    values = Vitals(
        at=NOW,
        blocks=blocks(),
        tallies=[],
        urgent=[],
        oldest=None,
        stuck=0,
        missed={},
        missed_at=None,
        waiting=Waiting(0, None),
        nodes=[NodeVitals("a node", True, "up", 0, 0.0, 0)],
    )
    return replace(values, **changes)


def found(now: float = NOW, **changes: Any) -> list[str]:
    return list(reasons(vitals(**changes), now))


def urgent(deadline: int, takes: float = 60.0, **changes: Any) -> Urgent:
    values = Urgent(DutyKind.REVEAL, State.OPEN, b"\1" * 45, 0, deadline, takes)
    return replace(values, **changes)


def test_reasons_are_none_where_all_is_well() -> None:
    assert found() == []


@pytest.mark.parametrize(("deadline", "is_told"), [(1_060, False), (1_059, True)])
def test_a_deadline_is_in_danger_when_less_is_left_than_it_takes(
    deadline: int, is_told: bool
) -> None:
    assert bool(found(urgent=[urgent(deadline)])) is is_told


def test_a_deadline_comes_nearer_though_no_round_ends() -> None:
    assert found(urgent=[urgent(1_060)]) == []
    [why] = found(now=NOW + 1, urgent=[urgent(1_060)])
    assert why.startswith(f"reveal of 0x{'01' * 45} has 59 s left and takes 60 s:")


def test_what_never_had_the_time_that_it_takes_is_in_no_danger() -> None:
    """Or any stranger could make us say that we are not well."""
    assert is_in_danger(urgent(1_050, since=990), 1_000)
    assert not is_in_danger(urgent(1_050, since=991), 1_000)


def test_many_deadlines_in_danger_are_not_all_named() -> None:
    said = found(urgent=[urgent(1_010 + each) for each in range(5)])

    assert len(said) == health.MOST_NAMED + 1
    assert said[-1] == "2 more duties have less time left than they take."


def test_what_was_sent_is_told_apart_from_what_was_not() -> None:
    [why] = found(urgent=[urgent(1_010, state=State.SENT)])
    assert "not mined yet" in why and "--max-fee-per-gas" in why


@pytest.mark.parametrize(("ago", "is_told"), [(3_600, True), (3_601, False)])
def test_a_missed_duty_is_told_for_an_hour(ago: int, is_told: bool) -> None:
    said = found(missed={DutyKind.PROPOSE: 2}, missed_at=NOW - ago)
    assert [("2 propose" in each) for each in said] == [True] * is_told


@pytest.mark.parametrize(("still", "is_told"), [(300, False), (301, True)])
def test_a_chain_that_stands_still_is_told(still: int, is_told: bool) -> None:
    said = found(blocks=blocks(moved_at=NOW - still))
    assert [("stands still" in each) for each in said] == [True] * is_told


def test_a_node_that_is_behind_what_was_read_is_told() -> None:
    [why] = found(blocks=blocks(moved_at=NOW - 301, head=3))
    assert "at block 3, behind block 10" in why


@pytest.mark.parametrize("skew", [61.0, -61.0])
def test_a_clock_that_is_not_the_chains_is_told(skew: float) -> None:
    assert found(blocks=blocks(skew=skew - skew / 61)) == []
    [why] = found(blocks=blocks(skew=skew))
    assert f"61 s {'ahead of' if skew > 0 else 'behind'} the chain's" in why


def test_nodes_are_told_when_none_is_well_and_a_hiccup_is_over() -> None:
    down = NodeVitals("a node", False, "resting", 0, 0.0, 3)
    lagging = NodeVitals("another", False, "lagging", 9, 0.0, 0)
    up = NodeVitals("a third", True, "up", 0, 0.0, 0)

    assert found(now=NOW + 15, nodes=[down, lagging]) == []
    assert found(now=NOW + 16, nodes=[down, lagging, up]) == []
    [why] = found(now=NOW + 16, nodes=[down, lagging])
    assert "a node is resting; another is lagging" in why and "--rpc" in why


@pytest.mark.parametrize(("balance", "is_told"), [(4 * 10**5, False), (4 * 10**5 - 1, True)])
def test_an_account_without_coins_is_told_while_duties_are_open(
    balance: int, is_told: bool
) -> None:
    purse = Purse("0xme", balance, gas_price=1, spent=0)

    assert found(purse=purse) == []
    assert found(purse=purse, tallies=[replace(OPEN, kind=DutyKind.CHECK)]) == []
    assert found(purse=purse, tallies=[replace(OPEN, state=State.DECLINED)]) == []
    said = found(purse=purse, tallies=[OPEN])
    assert [("0xme" in each and "coins" in each) for each in said] == [True] * is_told


def test_an_open_result_without_its_model_is_told() -> None:
    stake = Stake(1, 1, 1, 1.0, 1.0, 0, [b"\2" * 32])
    [why] = found(stake=stake)
    assert "0x" + "02" * 32 in why and "add-file" in why


def test_stuck_histories_are_told() -> None:
    [why] = found(stuck=2)
    assert why.startswith("2 histories could not be understood")


def test_a_round_that_fails_or_hangs_is_told_after_a_minute() -> None:
    assert unended(NOW - 60, "it is down", NOW) is None
    failed, hangs = unended(NOW - 61, "it is down", NOW), unended(NOW - 61, None, NOW)
    assert failed is not None and failed.endswith("it is down")
    assert hangs is not None and "has been going on for 61 s" in hangs
