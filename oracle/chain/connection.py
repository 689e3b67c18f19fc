"""From URLs to a chain: one node's, several nodes', or one inside this process."""

from oracle.chain.node import Chain, open_node
from oracle.chain.nodes import Nodes

EMBEDDED = "embedded"


def connect(*urls: str) -> Chain:
    """Opens `urls`, each http(s)://… or ws(s)://…; where there are several, the first is preferred.
    `embedded` alone is a fresh chain inside this process."""
    if urls == (EMBEDDED,):
        # Half a second of imports that no other chain needs.
        from oracle.chain.embedded import EmbeddedChain

        return EmbeddedChain()
    return open_node(*urls) if len(urls) == 1 else Nodes(urls)
