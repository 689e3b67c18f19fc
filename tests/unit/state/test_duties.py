"""Words that are stored: a changed one would orphan the duties of a running worker."""

import pytest

from oracle.state.duties import OF_A_DEMAND, OF_AN_ACCOUNT, Duty, DutyKind, State, account_id
from oracle.types import Address, RequestId

ID = RequestId(b"\x01" * 32)


def test_kinds_keep_the_words_that_stores_hold() -> None:
    assert {kind.value for kind in DutyKind} == {
        *("reveal", "prove", "commit", "timeout", "demand", "propose", "settle"),
        *("collect", "withdraw", "check", "pursue"),
    }


def test_states_keep_the_words_that_stores_hold() -> None:
    assert {state.value for state in State} == {"open", "sent", "declined", "dropped", "missed"}


def test_duty_is_due_at_once_and_for_ever_unless_it_says_otherwise() -> None:
    duty = Duty(DutyKind.SETTLE, ID)

    assert (duty.not_before, duty.deadline) == (0, None)


def test_key_is_the_same_whenever_a_duty_is_due() -> None:
    assert Duty(DutyKind.SETTLE, ID, 1, 2).key == Duty(DutyKind.SETTLE, ID).key
    assert Duty(DutyKind.SETTLE, ID).key == (DutyKind.SETTLE, ID)


def size_of(kind: DutyKind) -> int:
    return 45 if kind in OF_A_DEMAND else 20 if kind in OF_AN_ACCOUNT else 32


@pytest.mark.parametrize("kind", DutyKind)
def test_subjects_are_read_as_what_they_are(kind: DutyKind) -> None:
    """The 20 bytes of an account are no request's id, nor are the 45 of a demand."""
    subject = bytes(size_of(kind))
    duty = Duty(kind, subject)  # type: ignore[arg-type]

    if kind in OF_A_DEMAND:
        assert duty.demand_id == subject
    else:
        with pytest.raises(AssertionError):
            _ = duty.demand_id
    if kind in OF_A_DEMAND or kind in OF_AN_ACCOUNT:
        with pytest.raises(AssertionError):
            _ = duty.request_id
    else:
        assert duty.request_id == subject


@pytest.mark.parametrize("kind", DutyKind)
@pytest.mark.parametrize("size", [0, 20, 32, 45])
def test_duty_refuses_a_subject_that_is_no_subject_of_its_kind(kind: DutyKind, size: int) -> None:
    if size == size_of(kind):
        return
    with pytest.raises(ValueError, match=f"{kind} is about has {size_of(kind)} bytes"):
        Duty(kind, bytes(size))  # type: ignore[arg-type]


def test_account_id_is_the_addresss_bytes() -> None:
    assert account_id(Address("0x" + "Ab" * 20)) == b"\xab" * 20
