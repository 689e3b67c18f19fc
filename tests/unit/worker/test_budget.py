"""What an operator can defend, to the second and to the wei. Pure: no chain, no store, no clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.types import ModelId, Wei
from oracle.worker.budget import Budget, Liability, Load, Standing

HEAVY, OTHER = ModelId(b"\x01" * 32), ModelId(b"\x02" * 32)
# Two processes work 1,600 s within the period: a half of that is 800 s, a model's eighth 100 s,
# and what anybody may ask for 600 s.
BUDGET = Budget(processes=2, reveal_period=800)


def result(
    price: float, model: ModelId = OTHER, bond: int = 5, names_us: bool = False
) -> Liability:
    return Liability(model, Wei(bond), price, names_us)


def filled(*prices: float, names_us: bool = False) -> Load:
    """By a model each."""
    return Load(
        result(price, ModelId(bytes([number] * 32)), names_us=names_us)
        for number, price in enumerate(prices, 10)
    )


def objects(to: Liability, load: Load | None = None, budget: Budget = BUDGET) -> str:
    return budget.objection(to, load or Load()) or ""


def test_seconds_are_half_of_what_the_processes_do() -> None:
    assert BUDGET.seconds == 800


def test_pause_leaves_three_passes_to_a_period() -> None:
    assert BUDGET.pause == pytest.approx(800 / 3)


def test_objection_is_none_where_nobody_may_ask_for_a_trace() -> None:
    assert objects(result(1e9), budget=Budget(2, None)) == ""


def test_objection_fills_the_budget_and_not_a_second_more() -> None:
    load = filled(400, 399, names_us=True)

    assert objects(result(1, names_us=True), load) == ""
    assert objects(result(1.1, names_us=True), load) == (
        "we could not defend it: to show its trace 3 times, as we could be made to within 800 s,"
        " takes 1.1 s, and open results have 799.0 s of our 800.0 s"
    )


def test_objection_keeps_a_quarter_for_requests_that_name_us() -> None:
    load = filled(300, 299)

    assert objects(result(1), load) == ""
    assert "do not name us" in objects(result(1.1), load)
    assert objects(result(201, names_us=True), load) == ""


def test_objection_lets_requests_that_name_us_take_what_anybody_may_have() -> None:
    assert objects(result(100), filled(700, names_us=True)) == ""


def test_objection_gives_a_model_an_eighth() -> None:
    load = Load([result(60, HEAVY)])

    assert objects(result(40, HEAVY), load) == ""
    assert "its model has 60.0 s of a model's 100.0 s" in objects(result(40.1, HEAVY), load)
    assert objects(result(40.1, OTHER), load) == ""


def test_objection_gives_each_model_one_result_if_the_whole_fits() -> None:
    assert objects(result(600, HEAVY)) == ""
    assert "do not name us" in objects(result(600.1, HEAVY))
    assert objects(result(800, HEAVY, names_us=True)) == ""
    assert "of our 800.0 s" in objects(result(1, HEAVY, names_us=True), filled(800, names_us=True))


def test_objection_refuses_what_one_process_could_not_show() -> None:
    """Three passes follow one another, however many processes there are."""
    many = Budget(processes=100, reveal_period=800)

    assert objects(result(800), budget=many) == ""
    assert "of one process" in objects(result(800.1), budget=many)


def test_objection_bounds_bonds_to_the_wei() -> None:
    by = replace(BUDGET, max_exposure=Wei(12))
    load = Load([result(0, bond=5)])

    assert objects(result(0, bond=7), load, by) == ""
    assert objects(result(0, bond=8), load, by) == (
        "its bond of 8 wei and the 5 wei behind our open results are above our exposure of 12 wei"
    )


def test_objection_bounds_bonds_where_nobody_may_ask_for_a_trace() -> None:
    assert "exposure" in objects(result(0, bond=8), budget=Budget(2, None, max_exposure=Wei(7)))


def test_load_adds_up() -> None:
    load = filled(1, 2)
    load.add(result(3, names_us=True))

    assert (load.seconds, load.of_anybody, load.bonds) == (6, 3, 15)


@pytest.mark.parametrize(
    ("window", "wei"),
    [(1, 35), (800, 35), (1600, 70), (801, 36)],
    ids=["short", "period", "two", "up"],
)
def test_cost_is_for_each_period_of_the_window(window: int, wei: int) -> None:
    assert replace(BUDGET, rate=Wei(10)).cost(result(3.5), window, Load()) == wei


def test_cost_doubles_with_each_eighth_that_is_taken() -> None:
    by = replace(BUDGET, rate=Wei(8))
    anybodys, ours = filled(75), filled(100, names_us=True)  # an eighth of 600 s, and of 800 s

    assert (
        by.cost(result(10), 800, anybodys) == by.cost(result(10, names_us=True), 800, ours) == 160
    )
    assert by.cost(result(10), 800, filled(300)) == 80 * 2**4
    assert (
        by.cost(result(10), 800, filled(600)) == by.cost(result(10), 800, filled(700)) == 80 * 2**8
    )


def test_cost_goes_by_all_that_is_taken() -> None:
    """Whoever also names us would have a quarter of it for little."""
    by = replace(BUDGET, rate=Wei(8))

    assert by.cost(result(10, names_us=True), 800, filled(600)) == 80 * 2**6
    assert by.cost(result(10), 800, filled(200, names_us=True)) == 80 * 2**2


def test_doublings_make_it_dear_to_take_all_whoever_is_named() -> None:
    by, load, paid = replace(BUDGET, rate=Wei(1000)), Load(), 0

    def offers() -> list[tuple[Wei, Liability]]:
        model = ModelId(paid.to_bytes(32, "big"))
        results = (result(1, model), result(1, model, names_us=True))
        return [(by.cost(each, 800, load), each) for each in results if fits(each)]

    def fits(each: Liability) -> bool:
        return by.objection(each, load) is None

    while found := offers():
        cost, cheapest = min(found, key=lambda each: each[0])
        paid += cost
        load.add(cheapest)

    assert load.seconds == 800 and 45 < paid / (800 * by.rate) < 47


def test_cost_is_nothing_where_nobody_may_ask_for_a_trace() -> None:
    assert Budget(2, None, rate=Wei(10)).cost(result(3.5), 1600, Load()) == 0


def test_objection_bounds_bonds_by_the_limit_of_a_signer_to_the_wei() -> None:
    load = Load([result(0, bond=5)], Standing(Wei(100), signer_limit=Wei(12)))

    assert objects(result(0, bond=7), load) == ""
    assert objects(result(0, bond=8), load) == (
        "its bond of 8 wei and the 5 wei behind our open results are above the 12 wei that may be"
        " locked where our key signs"
    )


def test_objection_is_the_obstacle_whatever_else_there_is() -> None:
    load = Load((), Standing(Wei(9), Wei(9), "not named"))

    assert objects(result(0, bond=1), load) == "not named"


def test_objection_bounds_bonds_by_the_stake_to_the_wei() -> None:
    load = Load([result(0, bond=5)], Standing(Wei(12)))

    assert objects(result(0, bond=7), load) == ""
    assert objects(result(0, bond=8), load) == (
        "its bond of 8 wei and the 5 wei behind our open results are above our stake of 12 wei"
    )


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**20), st.booleans())))
def test_what_is_taken_away_leaves_what_was_there_before(
    given_: list[tuple[float, int, bool]],
) -> None:
    """To the last bit, after however many: a load is kept for months."""
    load = filled(0.1, 0.2, 0.7)
    before = (load.bonds, load.seconds, load.of_anybody, load.of_model(HEAVY), load._of_model)
    results = [
        result(price, HEAVY if names_us else OTHER, bond, names_us)
        for price, bond, names_us in given_
    ]
    copied = load.copy()
    for each in results:
        copied.add(each)
    for each in reversed(results):
        copied.remove(each)

    after = (
        *(copied.bonds, copied.seconds, copied.of_anybody),
        *(copied.of_model(HEAVY), copied._of_model),
    )
    assert after == before


def test_copy_shares_nothing() -> None:
    load = Load([result(3)])

    load.copy().add(result(4))

    assert (load.seconds, load.of_model(OTHER), load.bonds) == (3, 3, 5)
