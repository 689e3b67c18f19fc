"""Deployed once, found again, and never taken for what it is not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.chain.deployment import (
    QUEUE,
    REGISTRY,
    Deployment,
    check_deployment,
    create,
    deploy,
    read_deployment,
    save,
)
from oracle.errors import ChainError, ConfigError, WrongChain
from tests.chains import PEOPLE, World, address, parameters

DEPLOYER = PEOPLE["deployer"]


def deployed(world: World, path: Path, **changes: object) -> Deployment:
    return deploy(world.chain, DEPLOYER, parameters(**changes), path)


def nonce(world: World) -> int:
    return world.chain.nonce(DEPLOYER.address)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deployments" / "1.json"


def test_deploy_writes_what_load_reads(embedded: World, path: Path) -> None:
    deployment = deployed(embedded, path)

    assert read_deployment(path) == deployment


def test_deploy_sets_the_immutables(embedded: World, path: Path) -> None:
    deployment = deployed(embedded, path, min_window=7)

    limits = World(embedded.chain, deployment).queue.limits()

    assert (limits.min_window, limits.disputes) == (7, address("disputes"))


def test_deploy_does_nothing_the_second_time(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)
    before = nonce(embedded)

    assert deployed(embedded, path) == first
    assert nonce(embedded) == before


def test_deploy_reports_what_is_new(embedded: World, path: Path) -> None:
    told = []
    for _ in range(2):
        deploy(
            embedded.chain,
            DEPLOYER,
            parameters(),
            path,
            lambda name, _, is_new: told.append((name, is_new)),
        )

    assert told == [(REGISTRY, True), (QUEUE, True), (REGISTRY, False), (QUEUE, False)]


def test_deploy_goes_on_where_an_interrupted_one_stopped(embedded: World, path: Path) -> None:
    whole = deployed(embedded, path)
    save(Deployment(whole.chain_id, {REGISTRY: whole.contracts[REGISTRY]}), path)
    before = nonce(embedded)

    resumed = deployed(embedded, path)

    assert resumed.registry == whole.registry
    assert nonce(embedded) == before + 1


def test_deploy_keeps_the_registry_when_parameters_change(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)

    second = deployed(embedded, path, min_window=9)

    assert second.registry == first.registry
    assert second.queue != first.queue


def test_deploy_deploys_both_anew_when_the_registry_is_gone(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)
    lost = replace(first.contracts[REGISTRY], address=address("dead"))
    save(Deployment(first.chain_id, dict(first.contracts) | {REGISTRY: lost}), path)

    second = deployed(embedded, path)

    assert not {second.registry, second.queue} & {first.registry, first.queue}
    check_deployment(embedded.chain, second)


def test_deploy_refuses_the_file_of_another_chain(embedded: World, path: Path) -> None:
    deployment = deployed(embedded, path)
    save(replace(deployment, chain_id=5), path)

    with pytest.raises(WrongChain, match="is of chain 5"):
        deployed(embedded, path)


def test_deploy_leaves_no_temporary_file(embedded: World, path: Path) -> None:
    deployed(embedded, path)

    assert [each.name for each in path.parent.iterdir()] == ["1.json"]


def test_load_says_how_to_get_a_deployment_when_there_is_none(path: Path) -> None:
    with pytest.raises(ConfigError, match="run exactum deploy first"):
        read_deployment(path)


def test_load_names_what_is_missing_from_half_a_deployment(embedded: World, path: Path) -> None:
    whole = deployed(embedded, path)
    save(Deployment(whole.chain_id, {REGISTRY: whole.contracts[REGISTRY]}), path)

    with pytest.raises(ConfigError, match="lacks InferenceQueue; run exactum deploy again"):
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


def changed(deployment: Deployment, name: str, **changes: object) -> Deployment:
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


def test_create_deploys_a_contract_with_its_arguments(embedded: World) -> None:
    model_id = embedded.publish()
    arguments = (embedded.deployment.queue, model_id, 60)

    consumer = create(embedded.chain, PEOPLE["requester"], "MinimalConsumer", arguments)

    assert embedded.chain.code(consumer.address)


def test_create_raises_when_the_account_has_no_funds(embedded: World) -> None:
    with pytest.raises(ChainError):
        create(embedded.chain, PEOPLE["dead"], REGISTRY, ())


def test_first_block_is_the_earliest(embedded: World) -> None:
    blocks = [each.block for each in embedded.deployment.contracts.values()]

    assert embedded.deployment.first_block == min(blocks)
