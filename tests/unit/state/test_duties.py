"""Words that are stored: a changed one would orphan the duties of a running worker."""

import pytest

from oracle.state.duties import (
    OF_A_DEMAND,
    OF_AN_ACCOUNT,
    Close,
    Duty,
    DutyKind,
    State,
    account_id,
)
from oracle.types import Address, RequestId


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
    duty = Duty(DutyKind.SETTLE, RequestId(b"x"))

    assert (duty.not_before, duty.deadline) == (0, None)


def test_close_ends_all_unless_it_says_otherwise() -> None:
    assert Close(DutyKind.SETTLE, RequestId(b"x"), State.DONE).due_by is None


@pytest.mark.parametrize("kind", DutyKind)
def test_subjects_are_read_as_what_they_are(kind: DutyKind) -> None:
    """The 20 bytes of an account are no request's id, nor are the 45 of a demand."""
    duty = Duty(kind, b"x")  # type: ignore[arg-type]
    is_of_a_demand, is_of_an_account = kind in OF_A_DEMAND, kind in OF_AN_ACCOUNT

    if is_of_a_demand:
        assert duty.demand_id == b"x"
    else:
        with pytest.raises(AssertionError):
            _ = duty.demand_id
    if is_of_a_demand or is_of_an_account:
        with pytest.raises(AssertionError):
            _ = duty.request_id
    else:
        assert duty.request_id == b"x"


def test_account_id_is_the_addresss_bytes() -> None:
    assert account_id(Address("0x" + "Ab" * 20)) == b"\xab" * 20
