"""Chains with older rules: nothing is deployed where it could not work."""

from pathlib import Path

import pytest

from oracle.chain import devnet, machine
from oracle.chain.artifacts import artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REFEREE, REGISTRY
from oracle.chain.connection import connect
from oracle.chain.deployer import deploy
from oracle.chain.machine import require_machine
from oracle.errors import WrongChain
from tests import chains
from tests.chains import ETHER, PEOPLE, World

# Instructions that came after London, by their bytes, but for those of blobs.
NEWER = {0x5F: "PUSH0", 0x5E: "MCOPY", 0x5C: "TLOAD", 0x5D: "TSTORE"}


@pytest.mark.parametrize(
    ("rules", "lacks"),
    [("london", "PUSH0 .* and MCOPY"), ("shanghai", "does not know MCOPY"), ("cancun", None)],
)
def test_deploy_sends_nothing_to_a_chain_with_older_rules(
    rules: str, lacks: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.require_anvil()
    monkeypatch.setattr(devnet, "_ARGUMENTS", ("--hardfork", rules, "--silent"))
    with devnet.anvil() as url:
        chain, signer = connect(url), PEOPLE["deployer"]
        chain.rpc("anvil_setBalance", [signer.address, hex(100 * ETHER)])
        path = tmp_path / "deployment.json"
        if lacks is None:
            deploy(chain, signer, chains.parameters(), path)
            return
        with pytest.raises(WrongChain, match=lacks):
            deploy(chain, signer, chains.parameters(), path)

        assert chain.nonce(signer.address) == 0 and not path.exists()


def test_a_chain_that_knows_all_is_taken(world: World) -> None:
    require_machine(world.chain)


def test_each_instruction_that_the_contracts_use_is_probed() -> None:
    used = {
        name
        for contract in (REGISTRY, QUEUE, DISPUTES, REFEREE)
        for opcode, name in NEWER.items()
        if opcode in opcodes(artifact(contract).deployed)
    }

    assert used == {name.split()[0] for name in machine._PROBES}


def opcodes(code: bytes) -> set[int]:
    """The instructions of a contract's code, without the metadata behind it."""
    end = len(code) - 2 - int.from_bytes(code[-2:], "big")
    found, at = set(), 0
    while at < end:
        found.add(code[at])
        at += 1 + (code[at] - 0x5F if 0x60 <= code[at] <= 0x7F else 0)
    return found
