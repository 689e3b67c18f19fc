// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MerkleRange} from "./MerkleRange.sol";

/// @dev Consecutive nodes of one height in a tree of the trace, or consecutive leaves.
/// @param value The node whose value's tree it is; 2^32 - 1 for the tree of all values' roots.
/// @param height Above the lowest nodes; 255 for the data of a value's leaves themselves.
struct Part {
    uint32 value;
    uint8 height;
    uint32 first;
    uint32 count;
}

using PartLibrary for Part global;

library PartLibrary {
    uint32 internal constant VALUE_TREE = type(uint32).max;
    uint8 internal constant LEAVES = type(uint8).max;

    uint256 internal constant MAX_NODES = 128;
    uint256 internal constant MAX_LEAVES = 64;

    function isOfValueTree(Part calldata self) internal pure returns (bool) {
        return self.value == VALUE_TREE;
    }

    function isLeaves(Part calldata self) internal pure returns (bool) {
        return self.height == LEAVES;
    }

    /// @return Above the hashes of leaves, where leaves themselves are too.
    function levels(Part calldata self) internal pure returns (uint256) {
        return isLeaves(self) ? 0 : self.height;
    }

    /// @param values Nodes of the program.
    /// @param leaves Leaves of the value's tree.
    /// @return The lowest nodes of the part's tree.
    function lowest(Part calldata self, uint256 values, uint256 leaves)
        internal
        pure
        returns (uint256)
    {
        return isOfValueTree(self) ? values : leaves;
    }

    /// @return How many nodes, or leaves, there are where the part is; zero where there is no such place.
    function nodesThere(Part calldata self, uint256 values, uint256 leaves)
        internal
        pure
        returns (uint256)
    {
        if (isOfValueTree(self) ? isLeaves(self) : self.value >= values) return 0;
        uint256 lowest_ = lowest(self, values, leaves);
        if (lowest_ == 0 || levels(self) > MerkleRange.depthOf(lowest_)) return 0;
        return MerkleRange.nodesAt(levels(self), lowest_);
    }

    /// @return Whether the part is there, and no more than a transaction should hold.
    function exists(Part calldata self, uint256 nodes) internal pure returns (bool) {
        uint256 maximum = isLeaves(self) ? MAX_LEAVES : MAX_NODES;
        return self.count != 0 && self.count <= maximum && uint256(self.first) + self.count <= nodes;
    }

    /// @return Bytes of its data.
    function size(Part calldata self) internal pure returns (uint256) {
        return uint256(self.count) * (isLeaves(self) ? 128 : 32);
    }

    /// @dev Of a part that exists.
    /// @return Nodes beside its common path, and beside its value's path.
    function siblings(Part calldata self, uint256 values, uint256 leaves)
        internal
        pure
        returns (uint256)
    {
        uint256 beside = MerkleRange.siblingsOf(
            levels(self), self.first, self.count, lowest(self, values, leaves)
        );
        return isOfValueTree(self) ? beside : beside + MerkleRange.depthOf(values);
    }
}
