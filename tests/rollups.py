"""Makes a devnet a chain of the OP stack, which charges more than gas."""

from eth_abi import encode
from eth_utils import keccak

from oracle.chain.node import Call
from oracle.chain.rollups import ORACLE
from tests.chains import World
from tests.parity.evm import compiled_once

ECOTONE, FJORD, ISTHMUS, JOVIAN = range(4)
PRICE = 30 * 10**12  # wei/10^6: what a byte costs where L1's gas is at some 2 gwei


def become_rollup(
    world: World, fork: int, price: int = PRICE, scalar: int = 0, constant: int = 0
) -> None:
    code = compiled_once("tests/contracts/rollups/GasPriceOracle.sol")["deployedBytecode"]
    world.chain.rpc("anvil_setCode", [ORACLE, code])
    words = encode(["uint8", "uint256", "uint256", "uint256"], [fork, price, scalar, constant])
    selector = keccak(text="set(uint8,uint256,uint256,uint256)")[:4]
    world.send("stranger", Call(ORACLE, selector + words))
