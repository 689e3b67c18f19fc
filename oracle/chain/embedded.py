"""A chain inside this process, by eth-tester: to try things without a node."""

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]
from eth_tester.exceptions import ValidationError as TesterValidationError
from eth_utils import ValidationError
from web3 import EthereumTesterProvider, Web3

from oracle.chain.errors import reverted
from oracle.chain.node import Chain
from oracle.errors import ChainError, Reverted


class EmbeddedChain(Chain):
    # It knows no pending block to estimate on; its latest is where time was moved to.
    estimation_block: str | None = "latest"
    # It reads every block for every query: 10 blocks take 70 ms, 200 take 6 s.
    log_span = 10
    is_embedded = True

    def __init__(self) -> None:
        self._provider = EthereumTesterProvider()
        super().__init__(Web3(self._provider), "embedded", "the embedded chain")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with super().guarded():
            try:
                yield
            except TransactionFailed as error:
                raise _reverted(error) from error
            except UnicodeDecodeError as error:  # eth-tester, of a revert's reason
                raise Reverted("Malformed", {"data": "0x" + error.object.hex()}) from error
            except (ValidationError, TesterValidationError) as error:
                raise ChainError(f"{self.name} refused: {error}") from error

    def broadcast(self, raw: bytes) -> None:
        # A block's time is set when the one before it is mined, an estimate's is now: what an
        # estimate allows, such as the end of a window, a block that waited would refuse.
        now = int(time.time())
        tester: Any = self._provider.ethereum_tester
        if now > tester.get_block_by_number("pending")["timestamp"]:
            tester.time_travel(now)
        super().broadcast(raw)

    def skip_time(self, seconds: int) -> None:
        tester: Any = self._provider.ethereum_tester
        tester.time_travel(self.block("latest").time + seconds)
        tester.mine_blocks(1)


def _reverted(error: TransactionFailed) -> Reverted:
    """Recovers the revert data from what web3 makes of eth-tester's error: a text that holds the
    bytes as they are, inside another error, or printed."""
    first = error.__context__ if isinstance(error.__context__, TransactionFailed) else error
    raised = first.args[0] if first.args else b""
    if isinstance(raised, Exception):
        raised = raised.args[0] if raised.args else b""
    if isinstance(raised, str) and raised.startswith(("b'", 'b"')):
        raised = ast.literal_eval(raised)
    # Other text is a reason that eth-tester has decoded, or what ailed the machine itself.
    return reverted(raised) if isinstance(raised, bytes) else Reverted("Error", {"reason": raised})
