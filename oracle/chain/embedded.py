"""A chain inside this process, by eth-tester: to try things without a node."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]
from eth_typing import BlockIdentifier
from web3 import EthereumTesterProvider, Web3

from oracle.chain.errors import reverted
from oracle.chain.provider import Chain


class EmbeddedChain(Chain):
    # It knows no pending block to estimate on; its latest is where time was moved to.
    estimation_block: BlockIdentifier = "latest"
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
                raise reverted(_revert_data(error)) from error

    def skip_time(self, seconds: int) -> None:
        tester: Any = self._provider.ethereum_tester
        tester.time_travel(self.block("latest").time + seconds)
        tester.mine_blocks(1)


def _revert_data(error: TransactionFailed) -> bytes:
    """eth-tester prints the bytes into its message and keeps them nowhere else."""
    _, _, printed = str(error).partition("execution reverted: ")
    if not printed.startswith(("b'", 'b"')):
        return b""
    data = ast.literal_eval(printed)
    return data if isinstance(data, bytes) else b""
