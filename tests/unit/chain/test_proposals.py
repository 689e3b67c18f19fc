from dataclasses import replace

from oracle.chain.events import (
    OperatorSlashed,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
)
from oracle.chain.proposals import Fate, Proposals
from oracle.types import Address, RequestId, Wei
from tests.chains import WINDOW, address, created, proposed, where

TIME = 1_900_000_100  # of a proposal in these tests


def proposal(number: int = 1, who: str = "operator", epoch: int = 0) -> ResultProposed:
    event = proposed(created(number), who)
    return replace(event, proposal=replace(event.proposal, epoch=epoch))


def id_of(number: int) -> RequestId:
    return RequestId(number.to_bytes(32, "big"))


def slashed(who: str = "operator", epoch: int = 1, time: int = TIME) -> OperatorSlashed:
    nobody = Address("0x" + "00" * 20)
    at = where(200, 1, time)
    return OperatorSlashed(at, address(who), nobody, Wei(1), Wei(1), Wei(1), epoch)


def fates(proposals: Proposals, time: int = TIME) -> list[Fate]:
    return [tracked.fate_at(time) for tracked in proposals]


def tracked(*events: ResultProposed) -> Proposals:
    proposals = Proposals()
    for event in events:
        proposals.track(event, created().request.model)
    return proposals


def test_fate_is_proposed_while_the_window_is_open_and_then_final() -> None:
    proposals = tracked(proposal())

    assert fates(proposals, TIME + WINDOW - 1) == [Fate.PROPOSED]
    assert fates(proposals, TIME + WINDOW) == [Fate.FINAL]


def test_follow_tells_what_was_settled() -> None:
    proposals = tracked(proposal(1), proposal(2))

    proposals.follow(RequestSettled(where(), id_of(2), address("operator")))

    assert fates(proposals) == [Fate.PROPOSED, Fate.SETTLED]


def test_follow_tells_the_convicted_from_those_that_its_slash_took_along() -> None:
    proposals = tracked(proposal(1), proposal(2), proposal(3, "rival"))

    proposals.follow(RequestReopened(where(200), id_of(1), address("operator")))
    proposals.follow(slashed())

    assert fates(proposals) == [Fate.SLASHED, Fate.VOID, Fate.PROPOSED]


def test_follow_tells_who_was_convicted_after_the_deadline() -> None:
    """Then the request expires, and is not reopened."""
    proposals = tracked(proposal(1))

    proposals.follow(RequestExpired(where(200), id_of(1), address("requester"), Wei(1)))
    proposals.follow(slashed())

    assert fates(proposals) == [Fate.SLASHED]


def test_follow_convicts_a_second_lie_that_was_void_already() -> None:
    proposals = tracked(proposal(1), proposal(2))
    for number in (1, 2):
        proposals.follow(RequestReopened(where(200), id_of(number), address("operator")))
        proposals.follow(slashed(epoch=number))

    assert fates(proposals) == [Fate.SLASHED, Fate.SLASHED]


def test_follow_leaves_alone_what_was_final_before_the_slash() -> None:
    proposals = tracked(proposal(1))

    proposals.follow(slashed(time=TIME + WINDOW))

    assert fates(proposals, TIME + WINDOW) == [Fate.FINAL]


def test_follow_leaves_alone_what_was_proposed_after_the_slash() -> None:
    proposals = tracked(proposal(1, epoch=1))

    proposals.follow(slashed(epoch=1))

    assert fates(proposals) == [Fate.PROPOSED]


def test_follow_keeps_both_answers_of_a_request_apart() -> None:
    proposals = tracked(proposal(1))
    proposals.follow(RequestReopened(where(200), id_of(1), address("operator")))
    proposals.follow(slashed())
    proposals.track(proposal(1, "rival"), created().request.model)

    proposals.follow(RequestSettled(where(300), id_of(1), address("rival")))

    assert fates(proposals) == [Fate.SLASHED, Fate.SETTLED]
