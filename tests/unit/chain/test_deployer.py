"""Put on a chain once, by whoever, always at the same place; and never over another deployment."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_utils import keccak, to_checksum_address

from oracle.chain import deployer
from oracle.chain.blueprints import FACTORY, QUEUE, REGISTRY, plan
from oracle.chain.connection import connect
from oracle.chain.deployer import FACTORY_SIGNER, FACTORY_TRANSACTION, create, deploy
from oracle.chain.deployment import Deployment, check_deployment, read_deployment, save
from oracle.chain.keys import from_key
from oracle.chain.node import Call, Chain
from oracle.chain.presets import Parameters, preset
from oracle.chain.transactions import transact
from oracle.errors import ChainError, ConfigError, Reverted, WrongChain
from oracle.types import Address, Wei
from tests import chains
from tests.chains import ETHER, PEOPLE, World, address, eth_tester, parameters, variant

DEPLOYER = PEOPLE["deployer"]
# Of two contracts, which are not the fixture's own.
OTHERS = parameters(min_window=7)
PLACE = keccak(text="place((bytes,uint256[],uint256[]))")[:4]


def deployed(
    world: World, path: Path, by: Parameters = OTHERS, who: str = "deployer"
) -> Deployment:
    return deploy(world.chain, PEOPLE[who], by, path)


def nonce(world: World) -> int:
    return world.chain.nonce(DEPLOYER.address)


def place(world: World, index: int, who: str = "stranger") -> None:
    """What somebody else may do before or between."""
    planned = plan(OTHERS)
    deployer._ensure_deployer(world.chain, PEOPLE[who], planned)
    call = deployer._call(planned.deployer, "place", planned.contracts[index].blueprint.words)
    world.send(who, call)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deployments" / "1.json"


# WHERE


def test_deploy_puts_each_where_the_plan_says(embedded: World, path: Path) -> None:
    deployment = deployed(embedded, path)

    planned = {each.name: (each.address, each.arguments) for each in plan(OTHERS).contracts}
    found = {name: (each.address, each.arguments) for name, each in deployment.contracts.items()}

    assert found == planned


def test_deploy_puts_them_at_the_same_place_whoever_deploys(embedded: World, path: Path) -> None:
    with chains.undone(embedded.chain):
        first = deployed(embedded, path)
    path.unlink()

    assert deployed(embedded, path, who="stranger").queue == first.queue


def test_deploy_puts_the_whole_system_on_chain(embedded: World, path: Path) -> None:
    world = World(embedded.chain, deployed(embedded, path, preset("devnet")))

    assert world.queue.limits().disputes == world.deployment.disputes
    assert world.disputes.periods().tip == preset("devnet").reveal_tip
    check_deployment(world.chain, world.deployment)


def test_deploy_sets_the_immutables(embedded: World, path: Path) -> None:
    limits = World(embedded.chain, deployed(embedded, path)).queue.limits()

    assert (limits.min_window, limits.disputes) == (7, address("disputes"))


# ONCE


def test_deploy_writes_what_load_reads(embedded: World, path: Path) -> None:
    deployment = deployed(embedded, path)

    assert read_deployment(path) == deployment


def test_deploy_leaves_no_temporary_file(embedded: World, path: Path) -> None:
    deployed(embedded, path)

    assert [each.name for each in path.parent.iterdir()] == ["1.json"]


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
            OTHERS,
            path,
            lambda name, _, is_new: told.append((name, is_new)),
        )

    assert told == [(REGISTRY, True), (QUEUE, True), (REGISTRY, False), (QUEUE, False)]


def test_deploy_finds_what_is_there_without_a_file(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)
    path.unlink()
    before = nonce(embedded)

    second = deployed(embedded, path)

    assert (second.queue, second.registry) == (first.queue, first.registry)
    assert nonce(embedded) == before


def test_deploy_looks_for_events_from_before_what_others_created(
    embedded: World, path: Path
) -> None:
    first = deployed(embedded, path)
    path.unlink()
    for _ in range(3):
        embedded.skip(10)

    second = deployed(embedded, path)

    assert first.first_block - 2 <= second.first_block <= first.first_block
    assert {each.transaction for each in second.contracts.values()} == {None}


def test_deploy_goes_on_where_anybody_stopped(embedded: World, path: Path) -> None:
    place(embedded, 0)
    before = nonce(embedded)

    deployment = deployed(embedded, path)

    assert nonce(embedded) == before + 1
    check_deployment(embedded.chain, deployment)


class Rival(Chain):
    """Somebody else places the first contract just before we do."""

    world: World
    is_done = False

    def estimate(self, call: Call, sender: Address) -> int:
        if call.data[:4] == PLACE and not self.is_done:
            self.is_done = True
            place(self.world, 0)
        return super().estimate(call, sender)


def test_deploy_goes_on_when_somebody_is_faster(embedded: World, path: Path) -> None:
    rival = variant(embedded.chain, Rival)
    vars(rival)["world"] = embedded

    deployment = deploy(rival, DEPLOYER, OTHERS, path)

    assert deployment.contracts[REGISTRY].transaction is None
    assert deployment.contracts[QUEUE].transaction is not None
    check_deployment(embedded.chain, deployment)


def test_deploy_raises_when_a_constructor_refuses(embedded: World, path: Path) -> None:
    before = nonce(embedded)
    for wrong in (
        parameters(min_window=OTHERS.max_window + 1),
        replace(preset("l2"), reveal_period=1 << 40),
    ):
        with pytest.raises(Reverted, match="WindowOutOfRange|WrongPeriods"):
            deployed(embedded, path, wrong)

    assert not path.exists() and nonce(embedded) == before


def test_deploy_sends_nothing_when_the_file_could_not_be_written(
    embedded: World, tmp_path: Path
) -> None:
    before = nonce(embedded)
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"file/1\.json could not be written: File exists"):
        deployed(embedded, tmp_path / "file" / "1.json")

    assert nonce(embedded) == before


def test_deploy_believes_no_block_of_a_chain_that_is_gone(embedded: World, path: Path) -> None:
    """A devnet that was started anew has the same id and the same addresses, at other blocks."""
    first = deployed(embedded, path)
    stale = {
        name: replace(each, block=10_000, transaction="0x" + "77" * 32)
        for name, each in first.contracts.items()
    }
    save(replace(first, contracts=stale), path)

    assert deployed(embedded, path).first_block <= first.first_block


# NEVER OVER ANOTHER


def test_deploy_refuses_other_parameters_and_says_which(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)
    written, before = path.read_bytes(), nonce(embedded)

    with pytest.raises(ConfigError) as refusal:
        deployed(embedded, path, parameters(min_window=9))

    assert f"stands at {first.queue}; minWindow is 7 there and 9 here." in str(refusal.value)
    assert (path.read_bytes(), nonce(embedded)) == (written, before)


def test_deploy_refuses_another_preset_and_says_which(embedded: World, path: Path) -> None:
    deployed(embedded, path, preset("devnet"))

    with pytest.raises(ConfigError, match="holds another deployment: preset devnet, whose queue"):
        deployed(embedded, path, preset("l2"))


def test_deploy_refuses_another_judge(embedded: World, path: Path) -> None:
    deployed(embedded, path)

    with pytest.raises(ConfigError, match=f"disputes is {address('disputes')} there and 0x"):
        deployed(embedded, path, replace(OTHERS, disputes=None))


def test_deploy_refuses_other_code(embedded: World, path: Path) -> None:
    first = deployed(embedded, path)
    moved = replace(first.contracts[QUEUE], address=address("stranger"))
    save(replace(first, contracts=dict(first.contracts) | {QUEUE: moved}), path)

    with pytest.raises(ConfigError, match="its contracts are another version's"):
        deployed(embedded, path)


def test_deploy_says_when_the_other_is_gone(embedded: World, path: Path) -> None:
    with chains.undone(embedded.chain):
        deployed(embedded, path)

    with pytest.raises(ConfigError, match="stood on a chain that is gone at"):
        deployed(embedded, path, parameters(min_window=9))


def test_deploy_refuses_the_file_of_another_chain(embedded: World, path: Path) -> None:
    save(replace(deployed(embedded, path), chain_id=5), path)

    with pytest.raises(WrongChain, match="is of chain 5"):
        deployed(embedded, path)


def test_deploy_refuses_demands_that_may_be_free(embedded: World, path: Path) -> None:
    with pytest.raises(ConfigError, match="A reveal tip of zero makes demands free"):
        deployed(embedded, path, replace(preset("l2"), reveal_tip=Wei(0)))


def test_disputes_refuses_them_too(embedded: World) -> None:
    arguments = (address("stranger"), address("stranger"), 1, 1, 2, 0)

    with pytest.raises(Reverted, match="ZeroRevealTip"):
        create(embedded.chain, DEPLOYER, "Disputes", arguments)


# THE FACTORY


def test_factory_transaction_is_the_canonical_one() -> None:
    signer = Account.recover_transaction(FACTORY_TRANSACTION)
    # Where an account comes to put its first contract: the nonce zero.
    rlp = b"\xd6\x94" + bytes.fromhex(signer[2:]) + b"\x80"

    assert signer == FACTORY_SIGNER
    assert Address(to_checksum_address(keccak(rlp)[12:])) == FACTORY


@pytest.fixture
def bare() -> Iterator[Chain]:
    """A chain with nothing on it."""
    chain = connect("embedded")
    rich = eth_tester(chain).backend.account_keys[0]
    transact(chain, from_key(rich.to_bytes()), Call(DEPLOYER.address, b"", Wei(ETHER)))
    yield chain


def test_deploy_places_the_factory_where_there_is_none(bare: Chain, path: Path) -> None:
    assert not bare.code(FACTORY)

    check_deployment(bare, deploy(bare, DEPLOYER, OTHERS, path))


class Protected(Chain):
    """A node that refuses transactions that are valid on every chain."""

    def broadcast(self, raw: bytes) -> None:
        if raw == FACTORY_TRANSACTION:
            raise ChainError("only replay-protected transactions allowed")
        super().broadcast(raw)


def test_deploy_says_what_to_do_when_the_node_refuses_the_factory(bare: Chain, path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no CREATE2 factory at 0x4e59") as refusal:
        deploy(variant(bare, Protected), DEPLOYER, OTHERS, path)

    assert "only replay-protected" in str(refusal.value)


class Impostor(Chain):
    """A chain on which something else lies at the factory's address."""

    def code(self, account: Address) -> bytes:
        return b"\x00" if account == FACTORY else super().code(account)


def test_deploy_trusts_no_other_factory(embedded: World, path: Path) -> None:
    with pytest.raises(WrongChain, match="is not the CREATE2 factory"):
        deploy(variant(embedded.chain, Impostor), DEPLOYER, OTHERS, path)


# ONE CONTRACT BY ITSELF


def test_create_deploys_a_contract_with_its_arguments(embedded: World) -> None:
    model_id = embedded.publish()
    arguments = (embedded.deployment.queue, model_id, 60)

    consumer = create(embedded.chain, PEOPLE["requester"], "MinimalConsumer", arguments)

    assert embedded.chain.code(consumer.address)


def test_create_raises_when_the_account_has_no_funds(embedded: World) -> None:
    with pytest.raises(ChainError):
        create(embedded.chain, PEOPLE["dead"], REGISTRY, ())
