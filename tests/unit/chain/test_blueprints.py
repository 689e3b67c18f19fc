"""Code and parameters alone say where everything lies."""

from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from oracle.chain.artifacts import abi_type
from oracle.chain.blueprints import (
    DISPUTES,
    QUEUE,
    REFEREE,
    REGISTRY,
    Plan,
    Planned,
    constructor_inputs,
    created_by,
    families,
    plan,
)
from oracle.chain.presets import preset, presets
from oracle.types import Address
from tests.chains import address

WHOLE = plan(preset("l2"))


def contract(name: str, of: Plan = WHOLE) -> Planned:
    return next(each for each in of.contracts if each.name == name)


def test_plan_is_the_whole_system() -> None:
    names = [each.name for each in WHOLE.contracts]

    assert names == [REGISTRY, *families(), REFEREE, DISPUTES, QUEUE]


def test_plan_tells_queue_and_disputes_of_each_other() -> None:
    queue, disputes = contract(QUEUE), contract(DISPUTES)

    assert queue.arguments[:2] == (contract(REGISTRY).address, disputes.address)
    assert disputes.arguments[:2] == (queue.address, contract(REFEREE).address)


def test_plan_tells_the_referee_of_its_families() -> None:
    [judges] = contract(REFEREE).arguments

    assert judges == tuple(contract(name).address for name in families())


def test_plan_is_registry_and_queue_where_another_contract_slashes() -> None:
    other = plan(replace(preset("l2"), disputes=address("disputes")))

    assert [each.name for each in other.contracts] == [REGISTRY, QUEUE]
    assert contract(QUEUE, other).arguments[1] == address("disputes")


@pytest.mark.parametrize("name", [each.name for each in WHOLE.contracts])
def test_plan_gives_constructors_what_the_abi_asks_for(name: str) -> None:
    """Siblings first, then words: so the deployer concatenates them."""
    planned = contract(name)
    types = [abi_type(each) for each in constructor_inputs(name)]
    indices = [[each.address for each in WHOLE.contracts][i] for i in planned.blueprint.siblings]
    words = [*(int(each, 16) for each in indices), *planned.blueprint.parameters]

    assert encode(types, planned.arguments) == encode(["uint256"] * len(words), words)


@pytest.mark.parametrize("field", ["min_bond", "reveal_tip", "min_window", "extension_limit"])
def test_plan_lies_elsewhere_when_a_parameter_differs(field: str) -> None:
    changed = replace(preset("l2"), **{field: getattr(preset("l2"), field) + 1})

    assert plan(changed).deployer != WHOLE.deployer


def test_plan_lies_elsewhere_for_each_preset() -> None:
    assert len({plan(each.parameters).deployer for each in presets().values()}) == len(presets())


@pytest.mark.parametrize("index", [0, 1, 126])
def test_created_by_counts_nonces_from_one(index: int) -> None:
    creator = Address(to_checksum_address("0x" + "0a" * 20))
    rlp = bytes([0xC0 + 22, 0x80 + 20]) + bytes([0x0A] * 20) + bytes([index + 1])

    assert created_by(creator, index) == Address(to_checksum_address(keccak(rlp)[12:]))
