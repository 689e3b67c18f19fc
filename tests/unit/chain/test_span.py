"""The most blocks that a node gives are found in few questions, and looked for again one day."""

import pytest

from oracle.chain.span import MOST_PATIENCE, Span


def read(span: Span, blocks: int, limit: int) -> tuple[int, int]:
    """Reads as many blocks of a node with that limit, and counts answers and refusals."""
    answers = refusals = 0
    while blocks > 0:
        asked = min(blocks, span.size)
        if asked > limit:
            span.refused(asked)
            refusals += 1
        else:
            span.given(asked)
            answers += 1
            blocks -= asked
    return answers, refusals


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 49, 100, 1000, 1999, 2000])
def test_span_finds_the_limit(limit: int) -> None:
    span = Span(2000)

    read(span, 10 * limit, limit)

    assert limit * 7 / 9 <= span.size <= limit


def test_span_asks_for_all_at_once_while_nothing_is_refused() -> None:
    assert read(Span(2000), 100_000, 2000) == (50, 0)


@pytest.mark.parametrize("limit", [1, 10, 500])
def test_span_wastes_few_questions_on_a_limit(limit: int) -> None:
    answers, refusals = read(Span(2000), 1000 * limit, limit)

    assert answers <= 1040
    assert refusals <= 60


def test_span_grows_again_when_the_limit_does() -> None:
    span = Span(2000)
    read(span, 100, limit=10)

    answers, _ = read(span, 100_000, limit=2000)

    assert span.size >= 1000
    assert answers < 2 * MOST_PATIENCE


def test_span_shrinks_when_what_was_given_is_refused() -> None:
    span = Span(2000)
    read(span, 10_000, limit=1000)

    read(span, 100, limit=10)

    assert span.size <= 10


def test_span_learns_nothing_from_the_rest_of_a_range() -> None:
    span = Span(2000)

    span.given(3)

    assert span.size == 2000
    span.refused(2000)
    span.given(3)
    assert span.size == 500
