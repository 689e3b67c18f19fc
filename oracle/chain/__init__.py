"""Everything that speaks to a node; the only part that imports web3."""
