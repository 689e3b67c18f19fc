// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Consecutive nodes of one height under a root: `Nodes` of `oracle/merkle.py`. Trees are read strictly: what
/// stands beyond the last of the lowest nodes must be the empty subtree, or whoever committed to the tree could hide a
/// place in it that nobody can open.
library MerkleRange {
    error TooFewSiblings(uint256 left, uint256 needed);
    error TooManySiblings(uint256 left);
    /// @param index Of a node that stands for nothing and is not empty.
    error NotEmpty(uint256 height, uint256 index);

    /// @dev keccak256 of 128 zero bytes: beyond the leaves of a tensor. Beyond values and records stands zero.
    bytes32 internal constant EMPTY_LEAF =
        0x012893657d8eb2efad4de0a91bcd0e39ad9837745dec3ea923737ea803fc8e3d;

    /// @param count At least one.
    /// @return The least d with 2^d ≥ `count`.
    function depthOf(uint256 count) internal pure returns (uint256) {
        uint256 depth;
        for (uint256 left = count - 1; left != 0; left >>= 1) {
            ++depth;
        }
        return depth;
    }

    /// @return How many of the lowest nodes' ancestors of that height there are.
    function nodesAt(uint256 height, uint256 lowest) internal pure returns (uint256) {
        return (lowest + (1 << height) - 1) >> height;
    }

    /// @return How many siblings the common path of `count` nodes has.
    function siblingsOf(uint256 height, uint256 first, uint256 count, uint256 lowest)
        internal
        pure
        returns (uint256)
    {
        uint256 siblings;
        uint256 last = first + count - 1;
        for (uint256 left = (lowest - 1) >> height; left != 0; left >>= 1) {
            siblings += (first & 1) + (~last & 1);
            first >>= 1;
            last >>= 1;
        }
        return siblings;
    }

    /// @param nodes Consecutive nodes of `height`, at least one, that the caller has found to exist. Overwritten.
    /// @param lowest Lowest nodes of the tree, at least one.
    /// @param empty What stands beyond the lowest nodes, at their height.
    function rootOf(
        bytes32[] memory nodes,
        uint256 height,
        uint256 first,
        uint256 lowest,
        bytes32 empty,
        bytes32[] calldata siblings
    ) internal pure returns (bytes32) {
        for (uint256 at; at < height; ++at) {
            empty = _parent(empty, empty);
        }

        uint256 count = nodes.length;
        for (uint256 level = nodesAt(height, lowest); level > 1; level = (level + 1) >> 1) {
            bool hasLeft = first & 1 != 0;
            bool hasRight = (first + count) & 1 != 0;
            uint256 needed = (hasLeft ? 1 : 0) + (hasRight ? 1 : 0);
            require(siblings.length >= needed, TooFewSiblings(siblings.length, needed));
            if (hasRight && first + count >= level) {
                require(siblings[needed - 1] == empty, NotEmpty(height, first + count));
            }
            count = _raise(nodes, count, hasLeft, siblings);

            siblings = siblings[needed:];
            empty = _parent(empty, empty);
            first >>= 1;
            ++height;
        }
        require(siblings.length == 0, TooManySiblings(siblings.length));
        return nodes[0];
    }

    /// @dev One level up, in place: pairs from the left, the first with a sibling if it is a right child, and the last if
    /// it is a left one.
    function _raise(
        bytes32[] memory nodes,
        uint256 count,
        bool hasLeft,
        bytes32[] calldata siblings
    ) private pure returns (uint256 parents) {
        assembly ("memory-safe") {
            let to := add(nodes, 32)
            let from := to
            let end := add(from, mul(32, count))
            let beside := siblings.offset
            if hasLeft {
                mstore(0, calldataload(beside))
                mstore(0x20, mload(from))
                mstore(to, keccak256(0, 0x40))
                to := add(to, 32)
                from := add(from, 32)
                beside := add(beside, 32)
            }
            for {} lt(add(from, 32), end) { from := add(from, 64) } {
                mstore(to, keccak256(from, 0x40))
                to := add(to, 32)
            }
            if lt(from, end) {
                mstore(0, mload(from))
                mstore(0x20, calldataload(beside))
                mstore(to, keccak256(0, 0x40))
                to := add(to, 32)
            }
            parents := shr(5, sub(to, add(nodes, 32)))
        }
    }

    function _parent(bytes32 left, bytes32 right) private pure returns (bytes32 parent) {
        assembly ("memory-safe") {
            mstore(0, left)
            mstore(0x20, right)
            parent := keccak256(0, 0x40)
        }
    }
}
