"""Operators that answer the same requests, and know of each other."""

from collections import Counter
from collections.abc import Sequence

from structlog.testing import capture_logs

from oracle.chain.events import ResultProposed
from oracle.errors import ChainError
from oracle.state.tries import RETRY
from oracle.types import ModelId, Status
from oracle.worker.policy import Policy, least_fee
from oracle.worker.rivals import Rivals
from tests.chains import ETHER, World, address, variant
from tests.integration.workers import Hire, Worker


def acquainted(world: World, hire: Hire) -> tuple[ModelId, Sequence[Worker]]:
    """Two operators, each of which has seen an answer of the other's."""
    model_id = world.publish()
    for who in ("operator", "rival"):
        world.stake(who, 5 * ETHER)
        world.propose(world.ask(model_id), who)
    workers = [hire(world, who=who) for who in ("operator", "rival")]
    for worker in workers:
        worker.work()
    return model_id, workers


def test_two_operators_answer_each_request_once_and_pay_for_nothing_else(
    anvil: World, hire: Hire
) -> None:
    model_id, workers = acquainted(anvil, hire)
    before = len(anvil.all(ResultProposed))
    asked = [anvil.ask(model_id) for _ in range(10)]
    anvil.chain.rpc("evm_setAutomine", [False])

    with capture_logs() as logs:
        for number in range(40):
            for worker in workers:
                worker.tick()
            if number % 4 == 3:
                anvil.chain.rpc("evm_mine", [])

    assert {anvil.status(each) for each in asked} == {Status.PROPOSED}
    proposed = Counter(event.proposal.operator for event in anvil.all(ResultProposed)[before:])
    assert proposed.keys() == {address("operator"), address("rival")}
    sent = [log["duties"] for log in logs if log["event"] == "sent"]
    assert sum(sent) == sum(proposed.values()) == 10
    nonces = [anvil.chain.nonce(address(who)) for who in ("operator", "rival")]
    assert sum(nonces) == len(sent) + 4


def test_two_operators_leave_nothing_to_one_that_is_gone(anvil: World, hire: Hire) -> None:
    model_id, [worker, _] = acquainted(anvil, hire)
    asked = [anvil.ask(model_id) for _ in range(10)]

    for _ in range(20):
        worker.tick()

    assert {anvil.status(each) for each in asked} == {Status.PROPOSED}


def test_a_single_pass_waits_for_its_turn(anvil: World, hire: Hire) -> None:
    """With --once it ends when it is idle. The next pass may see the rival at work again, and would
    never have its turn."""
    model_id, [worker, _] = acquainted(anvil, hire)
    known = Rivals(address("operator"))
    known.note(anvil.history.request(anvil.all(ResultProposed)[1].request_id))
    asked = [anvil.ask(model_id) for _ in range(10)]
    for each in [each for each in asked if known.turn(each.request_id, 0) == 0]:
        anvil.propose(each, "rival")

    worker.tick()
    while not worker.service.is_idle:
        worker.tick()

    assert {anvil.status(each) for each in asked} == {Status.PROPOSED}


def test_tick_looks_at_the_last_block_where_a_node_knows_of_none_that_is_to_come(
    anvil: World, hire: Hire
) -> None:
    refused = []

    class Settled:
        def ask_many(self, questions, read=lambda found: found):
            if any("pending" in parameters for _, parameters in questions):
                refused.append(len(questions))
                raise ChainError("unknown block")
            return super().ask_many(questions, read)  # type: ignore[misc]

    model_id = anvil.publish()
    for who in ("operator", "rival"):
        anvil.stake(who)
    anvil.propose(anvil.ask(model_id), "rival")
    asked = anvil.ask(model_id)
    worker = hire(World(variant(anvil.chain, Settled), anvil.deployment))

    for _ in range(20):
        worker.tick()

    assert anvil.status(asked) is Status.PROPOSED
    assert refused


# What is too dear by its estimate.


def test_tick_declines_what_is_too_dear_by_its_estimate_until_it_is_not(
    anvil: World, hire: Hire
) -> None:
    dear = [1000]

    class Dear:
        def estimate(self, call, sender):
            return dear[0] * super().estimate(call, sender)  # type: ignore[misc]

    anvil.stake()
    asked = anvil.ask(anvil.publish())
    worker = hire(World(variant(anvil.chain, Dear), anvil.deployment))
    worker.work()
    assert anvil.status(asked) is Status.REQUESTED
    assert "wei" in worker.why(asked)

    dear[0] = 1
    worker.wait(RETRY + 1)
    worker.work()

    assert anvil.status(asked) is Status.PROPOSED


def test_tick_answers_alone_what_pays_by_the_arithmetic(anvil: World, hire: Hire) -> None:
    """The fee that is quoted is one for which it is answered."""
    anvil.stake()
    model_id = anvil.publish()
    request = anvil.ask(model_id).request
    policy = Policy(address("operator"))
    worker = hire(anvil)
    worker.work()
    fee = least_fee(request, policy, anvil.chain.gas_price())

    asked = anvil.ask(model_id, fee=fee)
    worker.work()

    assert anvil.status(asked) is Status.PROPOSED, worker.why(asked)
