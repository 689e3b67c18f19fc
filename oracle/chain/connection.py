"""From a URL to a chain: a node's, or one inside this process."""

from oracle.chain.node import Chain, http_chain

EMBEDDED = "embedded"


def connect(url: str) -> Chain:
    """Opens `url`: http(s)://…, or `embedded` for a fresh chain inside this process."""
    if url == EMBEDDED:
        # Half a second of imports that no other chain needs.
        from oracle.chain.embedded import EmbeddedChain

        return EmbeddedChain()
    return http_chain(url)
