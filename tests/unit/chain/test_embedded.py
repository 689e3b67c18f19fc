"""The chain inside this process."""

import time

from oracle.chain.connection import EMBEDDED, connect
from oracle.chain.keys import from_key
from oracle.chain.node import Call
from oracle.chain.transactions import transact


def test_broadcast_gets_into_a_block_as_late_as_the_estimate() -> None:
    """Though none was mined for a while."""
    chain = connect(EMBEDDED)
    rich = from_key(chain.web3.provider.ethereum_tester.backend.account_keys[0].to_bytes())
    transact(chain, rich, Call(rich.address, b""))
    time.sleep(4)
    now = int(time.time())

    transact(chain, rich, not_before(now))

    assert chain.block("latest").time >= now


def not_before(moment: int) -> Call:
    """Reverts in a block that is earlier."""
    is_earlier = b"\x63" + moment.to_bytes(4, "big") + b"\x42\x10"  # PUSH4 moment, TIMESTAMP, LT
    return Call(None, is_earlier + bytes.fromhex("600b57005b5f5ffd"))
