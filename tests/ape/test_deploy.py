"""Run by `./dev ape`, under Ape's own pytest."""

import json
from pathlib import Path
from typing import Any

import pytest
from ape import chain, project

from oracle.chain.blueprints import DEPLOYER, DISPUTES, QUEUE, REFEREE, REGISTRY, plan
from oracle.chain.presets import preset
from scripts.ape_deploy import deploy

ARTIFACTS = Path(__file__).resolve().parents[2] / "oracle/chain/artifacts"
# Not the families: Ape compiles all sources at once, which moves the code of some. What is deployed
# is what is committed, whatever Ape compiles.
NAMES = (DEPLOYER, REGISTRY, REFEREE, DISPUTES, QUEUE)


@pytest.mark.parametrize("name", NAMES)
def test_ape_compiles_the_code_that_is_committed(name: str) -> None:
    committed = json.loads((ARTIFACTS / f"{name}.json").read_text())

    assert project.contracts[name].deployment_bytecode.bytecode == committed["bytecode"]


def test_deploy_gives_a_queue_whose_operators_can_be_slashed(accounts: Any) -> None:
    contracts = deploy(accounts[0], preset("devnet"))
    queue, disputes = contracts[QUEUE], contracts[DISPUTES]

    assert queue.REGISTRY() == contracts[REGISTRY].address
    assert queue.DISPUTES() == disputes.address
    assert disputes.QUEUE() == queue.address
    assert disputes.REFEREE() == contracts[REFEREE].address
    assert all(chain.provider.get_code(each.address) for each in contracts.values())


def test_deploy_puts_them_where_exactum_deploy_does(accounts: Any) -> None:
    contracts = deploy(accounts[1], preset("l2"))

    planned = {each.name: each.address for each in plan(preset("l2")).contracts}
    assert {name: each.address for name, each in contracts.items()} == planned


def test_deploy_finds_what_is_there(accounts: Any) -> None:
    first = deploy(accounts[0], preset("l1"))
    before = accounts[1].nonce

    assert deploy(accounts[1], preset("l1"))[QUEUE].address == first[QUEUE].address
    assert accounts[1].nonce == before
