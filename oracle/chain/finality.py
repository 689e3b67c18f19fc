"""Which blocks no chain takes back any more."""

from oracle.chain.node import Chain
from oracle.chain.replies import Block
from oracle.errors import ChainError, RpcUnavailable

DEPTH = 128  # blocks behind the head, where a node tells no other


class Finality:
    """Goes by the tag `finalized`; with `depth`, by that many blocks instead, since the tag of some
    chains lies, and some nodes know none."""

    def __init__(self, chain: Chain, depth: int | None = None):
        self._chain = chain
        self._depth = depth

    def last(self, head: Block) -> int:
        """Gives the last final block's number, which is below 0 where none is."""
        if self._depth is not None:
            return head.number - self._depth
        try:
            tagged = self._chain.block("finalized").number
        except RpcUnavailable:
            raise
        except ChainError:  # also where it knows no such block yet
            return head.number - DEPTH
        # A node between two of its own answers may name one that is ahead of the head it gave.
        return min(tagged, head.number)
