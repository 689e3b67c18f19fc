// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "./Merkle.sol";

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
    /// @return How many nodes, or leaves, there are where the part is; zero where there is no such place.
    function nodesThere(Part calldata self, uint256 values, uint256 leaves)
        internal
        pure
        returns (uint256)
    {
        if (isOfValueTree(self) ? isLeaves(self) : self.value >= values) return 0;
        uint256 lowest = isOfValueTree(self) ? values : leaves;
        if (lowest == 0 || levels(self) > Merkle.depthOf(lowest)) return 0;
        return nodesAt(levels(self), lowest);
    }

    /// @param nodes `nodesThere`.
    /// @return Whether the part is there, and no more than a transaction should hold.
    function exists(Part calldata self, uint256 nodes) internal pure returns (bool) {
        uint256 maximum = isLeaves(self) ? MAX_LEAVES : MAX_NODES;
        return self.count != 0 && self.count <= maximum && uint256(self.first) + self.count <= nodes;
    }

    /// @return Bytes of its data.
    function size(Part calldata self) internal pure returns (uint256) {
        return uint256(self.count) * (isLeaves(self) ? Merkle.LEAF : 32);
    }

    /// @param nodes `nodesThere`, of a part that exists.
    /// @return How many nodes there are beside its common path, and beside its value's path.
    function siblings(Part calldata self, uint256 values, uint256 nodes)
        internal
        pure
        returns (uint256)
    {
        uint256 depth = Merkle.depthOf(nodes);
        uint256 last = uint256(self.first) + self.count - 1;
        // On each level there is one before a first that is a right child, and one after a last that is a left one.
        uint256 beside = _ones(self.first) + depth - _ones(last);
        return isOfValueTree(self) ? beside : beside + Merkle.depthOf(values);
    }

    /// @return How many ancestors of that height the lowest nodes have.
    function nodesAt(uint256 height, uint256 lowest) internal pure returns (uint256) {
        return (lowest + (1 << height) - 1) >> height;
    }

    /// @param bits Below 2^32.
    function _ones(uint256 bits) private pure returns (uint256) {
        bits -= (bits >> 1) & 0x55555555;
        bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333);
        bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
        return ((bits * 0x01010101) >> 24) & 0xff;
    }
}
