"""Many digests at once are pysha3's."""

import numpy as np
import pytest

from oracle.keccak import LONGEST, digests
from oracle.merkle import keccak256


def one_by_one(data: bytes, length: int) -> bytes:
    return b"".join(keccak256(data[at : at + length]) for at in range(0, len(data), length))


@pytest.mark.parametrize("length", range(8, LONGEST + 1, 8))
def test_digests_are_those_of_one_by_one(length):
    rng = np.random.default_rng(length)
    for count in (0, 1, 2, 7, 8, 9, 63, 64, 65, 128, 300):
        data = rng.bytes(count * length)
        assert digests(data, length) == one_by_one(data, length)


@pytest.mark.parametrize("length", [64, 128])
def test_digests_are_those_of_one_by_one_when_bytes_are_all_alike(length):
    for byte in (b"\0", b"\1", b"\x80", b"\xff"):
        assert digests(byte * 100 * length, length) == one_by_one(byte * 100 * length, length)


@pytest.mark.parametrize(("size", "length"), [(128, 0), (136, 136), (12, 12), (65, 64)])
def test_digests_refuses_other_lengths(size, length):
    with pytest.raises(AssertionError):
        digests(bytes(size), length)
