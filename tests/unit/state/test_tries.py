from oracle.state.tries import RETRY, Tries, forget_all_but


def test_fail_puts_the_next_try_off_and_counts() -> None:
    tries = Tries()
    assert tries.is_due(0)

    tries.fail(100)

    assert tries.failures == 1
    assert not tries.is_due(99 + RETRY) and tries.is_due(100 + RETRY)


def test_is_news_once_for_each_sentence() -> None:
    tries = Tries()
    assert [tries.is_news(each) for each in ("a", "b", "a")] == [True, True, False]


def test_forget_all_but_keeps_what_it_is_told_to() -> None:
    kept = {1: "one", 2: "two"}
    forget_all_but(kept, {2, 3})
    assert kept == {2: "two"}
