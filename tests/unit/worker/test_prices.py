"""What a pass over a model's trace takes, as a child counts it. Nothing is waited for."""

from concurrent.futures import Future
from dataclasses import replace
from math import inf

import pytest

from oracle import serialization
from oracle.errors import InferenceFailed, InferenceTooSlow, ModelUnavailable
from oracle.exact.proofs.cost import MARGIN, Calibration, TraceWork, Unit
from oracle.types import ModelId
from oracle.worker.prices import PassTime, Prices

MODEL, RETRY, GLANCE = ModelId(b"\x01" * 32), 10, 2.0
WORK = TraceWork({Unit.HASHED: 3, Unit.NODE: 1}, {Unit.RULE: 40})
CALIBRATION = Calibration({Unit.HASHED: 2.0, Unit.NODE: 1.0, Unit.RULE: 0.5})


class Children:
    """That answer when they are told to."""

    def __init__(self) -> None:
        self.asked: list[Future[bytes]] = []
        self.most: list[float] = []

    def __call__(self, _: ModelId, most: float) -> "Future[bytes]":
        self.asked.append(Future())
        self.most.append(most)
        return self.asked[-1]


def test_of_is_unknown_until_the_child_has_counted() -> None:
    children = Children()
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)

    assert prices.of(MODEL, 0) is prices.of(MODEL, 1) is prices.known(MODEL) is None
    assert (prices.waiting, len(children.asked)) == ((MODEL,), 1)
    children.asked[0].set_result(serialization.dump(WORK))

    assert prices.of(MODEL, 2) == prices.known(MODEL) == PassTime(7, 20)
    assert prices.of(MODEL, 3) == PassTime(7, 20)
    assert (prices.waiting, len(children.asked)) == ((), 1)


def test_of_counts_what_it_takes_to_load_a_model() -> None:
    """Whoever loads models that fold for minutes, and whose traces take no time, could be asked for
    more of them than there is time to load."""
    children = Children()
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)
    prices.of(MODEL, 0)
    children.asked[0].set_result(serialization.dump(replace(WORK, loading=100.0)))

    assert prices.of(MODEL, 1) == PassTime(MARGIN * 100 + 7, 20)


def test_collect_frees_the_place_of_what_was_found_out() -> None:
    children = Children()
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)
    prices.of(MODEL, 0)
    children.asked[0].set_result(serialization.dump(WORK))

    prices.collect(1)

    assert (prices.waiting, prices.known(MODEL)) == ((), PassTime(7, 20))


def test_of_says_what_failed_and_asks_again_later() -> None:
    children, failure = Children(), ModelUnavailable("no URI gave it")
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)
    prices.of(MODEL, 0)
    children.asked[0].set_exception(failure)

    assert prices.of(MODEL, 0) is prices.of(MODEL, RETRY - 1) is failure
    assert prices.of(MODEL, RETRY) is None and len(children.asked) == 2


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"usual": {"hashed": "x"}, "hard": {}}', b"[" * 9]
)
def test_of_believes_no_answer_that_is_none(answer: bytes) -> None:
    children = Children()
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)
    prices.of(MODEL, 0)
    children.asked[0].set_result(answer)

    assert isinstance(prices.of(MODEL, 0), InferenceFailed)


def test_after_takes_what_is_hard_to_be_no_more_than_the_run() -> None:
    time = PassTime(usual=7, hard=20)

    assert (time.after(0), time.after(8), time.after(99)) == (7, 7 + MARGIN * 8, 27)


def test_of_asks_again_without_haste_for_what_takes_longer_than_a_glance() -> None:
    """Its loading takes an inference's place, so others would wait for it; and it must be priced
    all the same."""
    children = Children()
    prices = Prices(children, CALIBRATION, RETRY, GLANCE)
    prices.of(MODEL, 0)
    children.asked[0].set_exception(InferenceTooSlow("2 s"))

    assert not prices.is_slow(MODEL)
    assert prices.of(MODEL, 0) is None and prices.is_slow(MODEL)
    assert prices.of(MODEL, 0) is None and children.most == [GLANCE, inf]
    children.asked[1].set_exception(too_slow := InferenceTooSlow("300 s"))

    assert prices.of(MODEL, 0) is prices.of(MODEL, RETRY - 1) is too_slow
    assert prices.of(MODEL, RETRY) is None and children.most == [GLANCE, inf, inf]
