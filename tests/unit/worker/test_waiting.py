"""Requests wait in the order of their deadlines, each model's by themselves."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from oracle.state.agenda import Row
from oracle.state.duties import Duty, DutyKind, Key, State
from oracle.types import ModelId, RequestId
from oracle.worker.waiting import Waiting

BUSY, OTHER, THIRD = MODELS = tuple(ModelId(bytes([number] * 32)) for number in range(3))


def row(number: int, deadline: int | None = 100, block: int = 1) -> Row:
    duty = Duty(DutyKind.PROPOSE, RequestId(number.to_bytes(32, "big")), deadline=deadline)
    return Row(duty, State.OPEN, "", (block, number))


def first(waiting: Waiting, most: int = 99) -> list[int]:
    return [row.place[1] for row in waiting.first(most)]


def test_first_has_the_nearest_deadline_first_and_what_failed_last() -> None:
    waiting = Waiting()
    for number, deadline, failures in [(1, 30, 0), (2, 10, 1), (3, 20, 0), (4, 20, 0)]:
        waiting.put(row(number, deadline), BUSY, failures)

    assert first(waiting) == [3, 4, 1, 2]


def test_first_has_some_of_each_model_however_many_another_has() -> None:
    waiting = Waiting()
    for number in range(100):
        waiting.put(row(number, deadline=1), BUSY, 0)
    waiting.put(row(100, deadline=99), OTHER, 0)
    waiting.put(row(101, deadline=99), THIRD, 0)

    assert {100, 101} <= set(first(waiting, most=3))
    assert len(first(waiting, most=3)) <= 3 + len(MODELS)


def test_put_moves_what_waits() -> None:
    """Its model is the same, but it may have failed meanwhile, or been asked for anew."""
    waiting = Waiting()
    waiting.put(row(1, deadline=10), BUSY, 0)
    waiting.put(row(2, deadline=20), BUSY, 0)

    waiting.put(row(1, deadline=10), BUSY, 1)

    assert (first(waiting), len(waiting)) == ([2, 1], 2)


@given(st.integers(0, 10**6))
def test_whatever_comes_and_goes_waits_in_order(seed: int) -> None:
    random, waiting, known = Random(seed), Waiting(), dict[Key, tuple[Row, ModelId, int]]()
    for _ in range(40):
        each = row(random.randrange(12), random.choice([None, 1, 2, 3]), random.randrange(3))
        if random.random() < 0.3:
            waiting.discard(each.key)
            known.pop(each.key, None)
        else:
            model, failures = random.choice(MODELS), random.randrange(2)
            waiting.put(each, model, failures)
            known[each.key] = each, model, failures

        assert len(waiting) == len(known)
        for model in MODELS:
            found = [each for each in waiting.first(999) if known[each.key][1] == model]
            assert found == [
                one
                for one, its, _ in sorted(
                    known.values(), key=lambda e: (e[2], e[0].duty.deadline or 0, *e[0].place)
                )
                if its == model
            ]
