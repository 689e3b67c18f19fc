"""What Python copies from Solidity says the same there."""

import re
from pathlib import Path

import pytest

from oracle import merkle, types
from oracle.audit import proof as audited
from oracle.challenger import policy as challenger
from oracle.exact import program
from oracle.exact.proofs import pursuit
from oracle.types import Wei
from oracle.worker.policy import answer_gas
from tests import chains
from tests.chains import GWEI, ROYALTY, World

CONTRACTS = Path(__file__).parents[3] / "contracts"


def solidity(file: str, name: str) -> int:
    """The value of a constant that is a number, or an expression of numbers."""
    text = (CONTRACTS / file).read_text()
    [expression] = re.findall(rf"\bconstant {name} =\s*([^;]+);", text)
    maximum = {"uint": lambda bits: 2**bits - 1, "int": lambda bits: 2 ** (bits - 1) - 1}
    number = re.sub(
        r"type\((u?int)(\d+)\)\.max",
        lambda found: str(maximum[found[1]](int(found[2]))),
        expression,
    )
    number = re.sub(r"\bu?int\d+\(", "(", number)
    assert re.fullmatch(r"[0-9a-fx_ ()*+<-]+", number), number
    return int(eval(number))


@pytest.mark.parametrize(
    ("ours", "file", "name"),
    [
        (challenger.REWARD_PERCENT, "OperatorStaking.sol", "REWARD_PERCENT"),
        (types.SUSPENDED, "libraries/Proposal.sol", "SUSPENDED"),
        (types.VALUE_TREE, "libraries/Part.sol", "VALUE_TREE"),
        (types.LEAVES, "libraries/Part.sol", "LEAVES"),
        (merkle.LEAF, "libraries/Merkle.sol", "LEAF"),
        (1 << pursuit.STEP, "libraries/Part.sol", "MAX_NODES"),
        (program.LAW_VERSION, "libraries/Descriptor.sol", "LAW_VERSION"),
        (program.MAX_RANK, "libraries/TensorType.sol", "MAX_RANK"),
        (audited.MAX_RANK, "libraries/TensorType.sol", "MAX_RANK"),
    ],
)
def test_constant_is_the_contracts(ours: int, file: str, name: str) -> None:
    assert ours == solidity(file, name)


def test_a_pursuit_demands_no_more_leaves_than_a_demand_may_name() -> None:
    assert solidity("libraries/Part.sol", "MAX_LEAVES") >= 1 << pursuit.RUN


@pytest.mark.parametrize("callback_gas", [0, 70_000])
def test_the_worker_counts_gas_as_the_queue_quotes_it(embedded: World, callback_gas: int) -> None:
    model = embedded.publish()

    quoted = embedded.queue.quote(model, callback_gas, Wei(GWEI)) - ROYALTY

    request = chains.request(terms=embedded.terms_of(model), callback_gas=callback_gas)
    assert quoted == answer_gas(request) * GWEI


def test_contracts_count_in_blocks_for_commitments_alone() -> None:
    """On Arbitrum `block.number` is L1's: whatever else went by it would go at another pace."""
    found = [
        (path.stem, line.strip())
        for path in sorted(CONTRACTS.rglob("*.sol"))
        for line in path.read_text().splitlines()
        if "block.number" in line or "blockhash" in line
    ]

    late = "CommittedTooLate(commitment, blockNumber)"
    assert found == [
        ("Disputes", "_commitments[commitment] = block.number;"),
        ("Disputes", f"require(blockNumber < block.number, {late});"),
    ]
