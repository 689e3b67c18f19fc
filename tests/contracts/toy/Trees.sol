// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The prover's side of `Merkle`, level by level as `oracle/merkle.py` has it.
library Trees {
    function root(bytes32[] memory lowest, bytes32 empty) internal pure returns (bytes32) {
        while (lowest.length > 1) {
            lowest = parents(lowest, empty);
            empty = parent(empty, empty);
        }
        return lowest[0];
    }

    /// @return nodes `count` nodes of that height.
    /// @return siblings Beside their common path, lowest first, left before right.
    function open(
        bytes32[] memory lowest,
        bytes32 empty,
        uint256 height,
        uint256 first,
        uint256 count
    ) internal pure returns (bytes32[] memory nodes, bytes32[] memory siblings) {
        for (uint256 at; at < height; ++at) {
            lowest = parents(lowest, empty);
            empty = parent(empty, empty);
        }
        nodes = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            nodes[i] = lowest[first + i];
        }
        bytes32[] memory found = new bytes32[](128);
        uint256 used;
        uint256 last = first + count - 1;
        while (lowest.length > 1) {
            if (first % 2 == 1) found[used++] = lowest[first - 1];
            if (last % 2 == 0) found[used++] = last + 1 < lowest.length ? lowest[last + 1] : empty;
            lowest = parents(lowest, empty);
            empty = parent(empty, empty);
            (first, last) = (first / 2, last / 2);
        }
        siblings = new bytes32[](used);
        for (uint256 i; i < used; ++i) {
            siblings[i] = found[i];
        }
    }

    function parents(bytes32[] memory level, bytes32 empty)
        internal
        pure
        returns (bytes32[] memory above)
    {
        above = new bytes32[]((level.length + 1) / 2);
        for (uint256 i; i < above.length; ++i) {
            bytes32 right = 2 * i + 1 < level.length ? level[2 * i + 1] : empty;
            above[i] = parent(level[2 * i], right);
        }
    }

    function parent(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encode(left, right));
    }

    /// @return hashes Of the leaves of `data`, which is a whole number of them.
    function hashesOf(bytes memory data) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](data.length / 128);
        for (uint256 i; i < hashes.length; ++i) {
            bytes32 hash;
            assembly ("memory-safe") {
                hash := keccak256(add(add(data, 32), mul(128, i)), 128)
            }
            hashes[i] = hash;
        }
    }

    function concat(bytes32[] memory left, bytes32[] memory right)
        internal
        pure
        returns (bytes32[] memory both)
    {
        both = new bytes32[](left.length + right.length);
        for (uint256 i; i < both.length; ++i) {
            both[i] = i < left.length ? left[i] : right[i - left.length];
        }
    }
}
