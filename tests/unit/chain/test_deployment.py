"""Found again, and never taken for what it is not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.chain.blueprints import QUEUE, REGISTRY
from oracle.chain.deployer import deploy
from oracle.chain.deployment import Deployment, check_deployment, read_deployment, save
from oracle.errors import ConfigError, WrongChain
from tests.chains import PEOPLE, World, address, parameters

DEPLOYER = PEOPLE["deployer"]


def deployed(world: World, path: Path, **changes: Any) -> Deployment:
    return deploy(world.chain, DEPLOYER, parameters(**changes), path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deployments" / "1.json"


def test_load_says_how_to_get_a_deployment_when_there_is_none(path: Path) -> None:
    with pytest.raises(ConfigError, match="run exactum deploy first"):
        read_deployment(path)


def test_load_names_what_is_missing_from_half_a_deployment(embedded: World, path: Path) -> None:
    whole = deployed(embedded, path)
    save(Deployment(whole.chain_id, {REGISTRY: whole.contracts[REGISTRY]}), path)

    with pytest.raises(ConfigError, match="lacks InferenceQueue: move it away"):
        read_deployment(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"chain_id": 1}',
        '{"chain_id": 1, "contracts": []}',
        '{"chain_id": 1, "contracts": {"ModelRegistry": {}}}',
        '{"chain_id": 1, "contracts": {"ModelRegistry": {"arguments": 3}}}',
        '{"chain_id": 1, "contracts": {"ModelRegistry": null}}',
        b"\xff\xfe",
    ],
)
def test_load_refuses_what_is_no_deployment_file(path: Path, content: str | bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match="is no deployment file"):
        read_deployment(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", 5),
        ("address", "0x1234"),
        ("block", "12"),
        ("block", -1),
        ("block", None),
    ],
)
def test_load_refuses_a_field_of_the_wrong_kind(
    embedded: World, path: Path, field: str, value: object
) -> None:
    deployed(embedded, path)
    content = json.loads(path.read_text())
    content["contracts"][QUEUE][field] = value
    path.write_text(json.dumps(content))

    with pytest.raises(ConfigError, match="is no deployment file"):
        read_deployment(path)


def test_verify_accepts_a_deployment(embedded: World) -> None:
    check_deployment(embedded.chain, embedded.deployment)


def changed(deployment: Deployment, name: str, **changes: Any) -> Deployment:
    contract = replace(deployment.contracts[name], **changes)
    return replace(deployment, contracts=dict(deployment.contracts) | {name: contract})


def test_verify_refuses_another_chain(embedded: World) -> None:
    with pytest.raises(WrongChain, match="the deployment of chain 5"):
        check_deployment(embedded.chain, replace(embedded.deployment, chain_id=5))


def test_verify_refuses_an_address_without_code(embedded: World) -> None:
    moved = changed(embedded.deployment, QUEUE, address=address("dead"))

    with pytest.raises(WrongChain, match="there is no code"):
        check_deployment(embedded.chain, moved)


def test_verify_refuses_code_of_another_hash(embedded: World) -> None:
    tampered = changed(embedded.deployment, QUEUE, code_hash="0x" + "00" * 32)

    with pytest.raises(WrongChain, match="the code's hash is not the deployment's"):
        check_deployment(embedded.chain, tampered)


def test_verify_refuses_the_address_of_another_contract(embedded: World) -> None:
    """Even with that one's hash: the code must be our artifact's."""
    registry = embedded.deployment.contracts[REGISTRY]
    swapped = changed(
        embedded.deployment, QUEUE, address=registry.address, code_hash=registry.code_hash
    )

    with pytest.raises(WrongChain, match="its code is another version's"):
        check_deployment(embedded.chain, swapped)


def test_verify_refuses_other_immutables(embedded: World, path: Path) -> None:
    """The same code with other parameters is another contract: the hash holds them."""
    other = deployed(embedded, path, min_window=9).contracts[QUEUE]
    swapped = changed(embedded.deployment, QUEUE, address=other.address)

    with pytest.raises(WrongChain, match="the code's hash is not the deployment's"):
        check_deployment(embedded.chain, swapped)


def test_verify_refuses_a_contract_that_we_do_not_know(embedded: World) -> None:
    contracts = dict(embedded.deployment.contracts)
    contracts["Unheard"] = contracts[QUEUE]

    with pytest.raises(ConfigError, match="knows no contract Unheard"):
        check_deployment(embedded.chain, replace(embedded.deployment, contracts=contracts))


def test_first_block_is_the_earliest(embedded: World) -> None:
    blocks = [each.block for each in embedded.deployment.contracts.values()]

    assert embedded.deployment.first_block == min(blocks)
