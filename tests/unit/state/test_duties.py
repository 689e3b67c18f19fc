"""Words that are stored: a changed one would orphan the duties of a running worker."""

from oracle.state.duties import Close, Duty, DutyKind, State


def test_kinds_keep_the_words_that_stores_hold() -> None:
    assert {kind.value for kind in DutyKind} == {
        *("reveal", "prove", "commit", "timeout", "demand", "propose", "settle"),
        *("collect", "withdraw", "check", "pursue"),
    }


def test_states_keep_the_words_that_stores_hold() -> None:
    assert {state.value for state in State} == {
        *("open", "sent", "done", "superseded", "missed", "declined"),
    }


def test_duty_is_due_at_once_and_for_ever_unless_it_says_otherwise() -> None:
    duty = Duty(DutyKind.SETTLE, b"x")

    assert (duty.not_before, duty.deadline) == (0, None)


def test_close_ends_all_unless_it_says_otherwise() -> None:
    assert Close(DutyKind.SETTLE, b"x", State.DONE).due_by is None
