"""The chain under a chaos test: an anvil whose blocks and time come as the test says, and go."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from oracle.errors import ChainError
from tests.chains import GWEI, World

PACE = 12  # seconds from block to block
FEE, STORM, STORM_BLOCKS = GWEI, 10 * GWEI, 20


@dataclass
class Ground:
    """Mines nothing by itself. `now` is the time on everybody's wall, in seconds."""

    world: World
    rng: Random
    now: int = field(init=False)
    _floor: int = field(init=False)  # the last block that stays
    stormy: int = 0  # blocks for which gas stays dear

    def __post_init__(self) -> None:
        self.now, self._floor = self.world.time(), self.world.head()
        self.rpc("evm_setAutomine", False)

    def rpc(self, method: str, *parameters: Any) -> Any:
        return self.world.chain.rpc(method, list(parameters))

    def pass_time(self, seconds: int = PACE) -> None:
        """Until the next block, which takes what waits."""
        self.now += seconds
        self.mine(self.now)

    def mine(self, time: int) -> None:
        self.stormy = max(0, self.stormy - 1)
        self.rpc("anvil_setNextBlockBaseFeePerGas", hex(STORM if self.stormy else FEE))
        self.rpc("evm_mine", hex(max(time, self.world.time() + 1)))

    def raise_fees(self) -> None:
        self.stormy = STORM_BLOCKS

    def roll_back(self, depth: int) -> list[str]:
        """Leaves the chain without its last blocks, and gives the transactions that were there.
        What was there when all began stays."""
        head = self.world.head()
        depth = min(depth, head - self._floor)
        dropped = [raw for at in range(head - depth + 1, head + 1) for raw in self._raw(at)]
        if depth:
            self.rpc("anvil_rollback", depth)
        assert self.world.head() == head - depth
        return dropped

    def replace(self, depth: int) -> str:
        """Puts other blocks in the place of the last ones: some transactions are in them again,
        others are nowhere."""
        depth = min(depth, self.world.head() - self._floor)
        dropped = self.roll_back(depth)
        again = [raw for raw in dropped if self.rng.random() < 0.5]
        self.rng.shuffle(again)
        before = self.world.time()
        blocks = depth + self.rng.randrange(3)
        times = sorted(self.rng.sample(range(before + 1, self.now + blocks + 1), blocks))
        for time in times:
            self._offer(again[:: max(1, blocks // 2)])
            again = [raw for at, raw in enumerate(again) if at % max(1, blocks // 2)]
            self.mine(time)
        self._offer(again)
        return f"{depth} blocks by {blocks}, {len(dropped)} transactions out, {len(again)} late"

    def _raw(self, block: int) -> Sequence[str]:
        hashes = self.world.chain.transactions(block)
        return [self.rpc("eth_getRawTransactionByHash", "0x" + each.hex()) for each in hashes]

    def _offer(self, raws: Sequence[str]) -> None:
        for raw in raws:
            with suppress(ChainError):  # its program was faster
                self.rpc("eth_sendRawTransaction", raw)

    def is_empty(self) -> bool:
        """Says whether no transaction waits for a block. One of the crowd may wait for ever for
        another before it, which a reorganisation took."""
        return int(self.rpc("txpool_status")["pending"], 16) == 0
