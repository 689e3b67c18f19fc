"""What contracts revert with, and contracts that revert with anything."""

import pytest
from eth_abi import encode
from eth_utils import keccak

from oracle.chain.node import Call
from oracle.errors import Reverted
from tests.chains import World, address

PANIC = keccak(text="Panic(uint256)")[:4]
ERROR = keccak(text="Error(string)")[:4]
NO_TEXT = ERROR + encode(["bytes"], [b"\xff"])


def refusal(world: World, call: Call, who: str = "stranger") -> Reverted:
    with pytest.raises(Reverted) as by_call:
        world.chain.call(call, address(who))
    with pytest.raises(Reverted) as by_estimate:
        world.chain.estimate(call, address(who))
    assert str(by_call.value) == str(by_estimate.value)
    return by_call.value


def reverts_with(data: bytes) -> bytes:
    """Creation code of a contract that reverts with `data`, whatever it is called with."""
    size = len(data)
    code = bytes.fromhex(f"61{size:04x}600c5f3961{size:04x}5ffd") + data
    return bytes.fromhex(f"61{len(code):04x}80600a5f395ff3") + code
