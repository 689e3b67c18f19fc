"""The chain inside this process."""

import time

import pytest

from oracle.chain.connection import EMBEDDED, connect
from oracle.chain.keys import from_key
from oracle.chain.node import Call
from oracle.chain.transactions import transact
from tests.chains import eth_tester


def test_broadcast_gets_into_a_block_as_late_as_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though none was mined for a while: the chain began, and set the next block's time, earlier.
    py-evm takes no clock, hence the patch."""
    now = int(time.time())
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: now - 100)
        chain = connect(EMBEDDED)
    backend = eth_tester(chain).backend
    backend.chain.header = backend.chain.header.copy(timestamp=now - 50)
    rich = from_key(backend.account_keys[0].to_bytes())

    transact(chain, rich, not_before(now))

    assert chain.block("latest").time >= now


def not_before(moment: int) -> Call:
    """Reverts in a block that is earlier."""
    is_earlier = b"\x63" + moment.to_bytes(4, "big") + b"\x42\x10"  # PUSH4 moment, TIMESTAMP, LT
    return Call(None, is_earlier + bytes.fromhex("600b57005b5f5ffd"))
