"""A chain that takes another id, as after a fork: what was asked, promised and signed before."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from oracle.chain.answers import Answer
from oracle.chain.connection import connect
from oracle.chain.contracts import SignedOptions
from oracle.chain.deployment import check_deployment
from oracle.chain.events import RequestExpired, ResultProposed
from tests import chains
from tests.chains import BOND, FEE, OUTPUT, PAYLOAD, PEOPLE, TIMEOUT, WINDOW, World, address


@pytest.fixture
def lone() -> Iterator[World]:
    with chains.anvil() as world:
        yield world


def renamed(world: World) -> World:
    """The same chain under another id, which whoever connects now is told."""
    world.chain.rpc("anvil_setChainId", [world.chain.id + 1])
    chain = connect(world.chain.url)
    assert chain.id == world.chain.id + 1
    return replace(world, chain=chain)


def test_attack_a_new_chain_id_strands_no_escrow(lone: World) -> None:
    lone.stake()
    model_id = lone.publish()
    settled, expired = lone.ask(model_id), lone.ask(model_id)
    proposed = lone.propose(settled)

    world = renamed(lone)
    world.skip(TIMEOUT + WINDOW)

    for asked in (settled, expired):
        assert world.queue.id_of(asked.request) == asked.request_id
    world.settle(settled, proposed)
    receipt = world.send("stranger", world.queue.expire(expired.request))
    assert world.of(receipt, RequestExpired).refund == FEE


def test_a_new_chain_id_ends_no_signature(lone: World) -> None:
    lone.stake()
    model_id = lone.publish()
    options = SignedOptions(address("operator"), BOND, WINDOW, lone.time() + 3000, nonce=7)
    request = options.request(model_id, lone.terms_of(model_id), PAYLOAD, address("requester"), FEE)
    queue = lone.queue
    answer = Answer(queue.id_of(request), OUTPUT, 0, queue.chain_id, queue.address)
    signature = answer.sign(PEOPLE["operator"])

    world = renamed(lone)

    call = world.queue.infer(model_id, PAYLOAD, FEE, options, OUTPUT, signature)
    receipt = world.send("requester", call)
    assert world.of(receipt, ResultProposed).request_id == world.queue.id_of(request)


def test_our_programs_go_on_under_a_new_chain_id(lone: World) -> None:
    """Whose file of the deployment is copied to the new id's name."""
    world = renamed(lone)

    check_deployment(world.chain, world.deployment)
