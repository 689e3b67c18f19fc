from dataclasses import replace

import pytest

from scripts import bench_incentives as incentives


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incentives, "ROUNDS", 800)
    monkeypatch.setattr(incentives, "SETTLING", 400)


def test_least_bond_is_where_a_lie_just_does_not_pay() -> None:
    value, chance = 3.0, 0.8
    bond = incentives.least_bond(value, chance)
    assert value * (1 - chance) == pytest.approx(0.7 * bond * chance)


def test_simulate_is_the_same_for_the_same_seed() -> None:
    regime = incentives.REGIMES["sealed"]
    assert incentives.simulate(regime, 1) == incentives.simulate(regime, 1)
    assert incentives.simulate(regime, 1) != incentives.simulate(regime, 2)


def test_simulate_leaves_no_watcher_where_the_liar_takes_the_reward() -> None:
    outcome = incentives.simulate(incentives.REGIMES["today"], 0)
    assert outcome.watchers == pytest.approx(incentives.STUBBORN)
    assert outcome.told == 1


def test_simulate_leaves_half_of_the_lies_where_lies_pay_the_watchers() -> None:
    """Where no lie pays more than another, one is found with chance V / (V + loss)."""
    assert incentives.simulate(incentives.REGIMES["naive"], 0).final == pytest.approx(0.5, abs=0.05)
    assert incentives.simulate(incentives.REGIMES["sealed"], 0).final < 0.5


def test_simulate_knows_what_a_check_misses() -> None:
    check = replace(incentives.REGIMES["check"], check=0.75, margin=0.1)
    outcome = incentives.simulate(check, 0)
    assert outcome.told > 0.99
    assert outcome.final == pytest.approx(0.25, abs=0.01)


def test_simulate_tells_no_lie_where_the_bond_is_large_enough() -> None:
    assert incentives.simulate(incentives.REGIMES["check"], 0).harm < 0.0005


def test_expected_loss_is_what_a_draw_loses_on_average() -> None:
    check = incentives.REGIMES["check"]
    # Missed where the asker does not look, one time in ten, and none of half a watcher on average.
    assert incentives.expected_loss(check, 0.5) == pytest.approx(0.7 * (1 - 0.1 * 0.6065), rel=1e-3)
    assert incentives.chance_of(check, 0.5) == pytest.approx(1 - 0.1 * 0.6065, rel=1e-3)
