"""Writes addresses with their checksums. Each takes a hash, so the last ones are kept."""

from functools import lru_cache

from eth_utils import to_checksum_address

from oracle.types import Address

KEPT = 1 << 12  # addresses


@lru_cache(KEPT)
def checksummed(raw: bytes) -> Address:
    """Writes an address of 20 bytes as EIP-55 has it."""
    return Address(to_checksum_address(raw))
