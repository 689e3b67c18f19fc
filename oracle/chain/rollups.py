"""What a transaction pays besides its gas, on a chain that puts its data on another.

Chains of the OP stack charge for the data on L1 and, since Isthmus, a fee of whoever runs the
chain; a contract that all of them have at one address says how much. Arbitrum's estimates of gas
hold what L1 costs already, and move with it. Other chains charge nothing but gas.
"""

import time
from collections.abc import Callable, Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from oracle.chain import replies
from oracle.chain.node import Call, Chain
from oracle.chain.transactions import MOST_GAS
from oracle.errors import ChainError, Reverted
from oracle.types import Address, Wei

ORACLE = Address("0x420000000000000000000000000000000000000F")
ASKED_AGAIN = 600.0  # seconds after which it is asked again whether there is such a contract
KEPT = 12.0  # seconds that an answer is used for: as long as L1 takes for a block, which sets it
MOST_SIZE = 1 << 17  # bytes of a transaction that nodes take
MOST_FEE = 1 << 96  # wei; a node that says more is wrong
# What lies between two steps costs as the higher one, so that strangers, who choose sizes, cannot
# have a node asked for each.
_BYTES, _GAS = 1 << 8, 1 << 14


class RollupFees:
    """Asks a chain what it charges besides gas, and remembers the answers for `KEPT` seconds."""

    def __init__(self, chain: Chain, clock: Callable[[], float] = time.monotonic):
        self._chain = chain
        self._clock = clock
        self._charges: bool | None = None
        self._charges_until = 0.0
        self._known: dict[tuple[str, int], Wei] = {}
        self._until = 0.0

    @property
    def charges(self) -> bool:
        """Whether the chain charges more than gas. Raises ChainError where the node does not
        tell. One may be wrong, so no answer is for good."""
        if self._charges is None or self._clock() >= self._charges_until:
            self._charges = bool(self._chain.code(ORACLE))
            self._charges_until = self._clock() + ASKED_AGAIN
        return self._charges

    def of(self, sizes: Sequence[int], gas: int) -> Wei:
        """Bounds what transactions of these sizes pay, which take `gas` together. Raises
        ChainError."""
        if not sizes:
            return Wei(0)
        share = -(-gas // len(sizes))
        return Wei(sum(map(self.data_fee, sizes)) + len(sizes) * self.operator_fee(share))

    def data_fee(self, size: int) -> Wei:
        """Bounds what the data of a signed transaction of `size` bytes costs, whatever they are.
        Raises ChainError."""
        # What fits no transaction is nobody's to pay: no node is asked about so many bytes.
        pieces = -(-size // MOST_SIZE)
        return Wei(pieces * self._asked(_data_fee, min(size, MOST_SIZE), _BYTES))

    def operator_fee(self, gas: int) -> Wei:
        """Bounds what the chain's own operator takes for a transaction of so much gas. Raises
        ChainError."""
        return self._asked(_operator_fee, min(gas, MOST_GAS), _GAS)

    def _asked(self, ask: Callable[[Chain, int], Wei], amount: int, step: int) -> Wei:
        if not self.charges:
            return Wei(0)
        now = self._clock()
        if now >= self._until:
            self._known.clear()
            self._until = now + KEPT
        amount = -(-amount // step) * step
        key = ask.__name__, amount
        if key not in self._known:
            try:
                self._known[key] = ask(self._chain, amount)
            except ChainError:
                self._charges = None  # there may be no such contract, whatever a node said
                raise
        return self._known[key]


def _data_fee(chain: Chain, size: int) -> Wei:
    try:
        return _read(chain, "getL1FeeUpperBound(uint256)", size)
    # Before Fjord there was no bound to be had. What was charged was the bytes, zeros less.
    except Reverted:
        return _read(chain, "getL1Fee(bytes)", b"\xff" * size)


def _operator_fee(chain: Chain, gas: int) -> Wei:
    try:
        return _read(chain, "getOperatorFee(uint256)", gas)
    except Reverted:  # before Isthmus there was none
        return Wei(0)


def _read(chain: Chain, function: str, argument: int | bytes) -> Wei:
    kind = function[function.index("(") + 1 : -1]
    said = chain.call(Call(ORACLE, keccak(text=function)[:4] + encode([kind], [argument])))
    with chain.guarded():
        return Wei(replies.number(int.from_bytes(replies.data(said, 32), "big"), MOST_FEE))
