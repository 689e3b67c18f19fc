// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MerkleRange} from "./MerkleRange.sol";

/// @dev Reads a program's records (`oracle/exact/program.py`), each followed by its path in the program's tree.
library Descriptors {
    /// @dev Bytes of an element, one hex digit an ONNX dtype, code 0 lowest; zero for one that has no fixed size.
    uint256 private constant ITEM_SIZES = 0x20084821084221140;

    /// @return values Nodes of the program; zero if `data` does not start with the header under `root`.
    /// @return rest What follows.
    function readHeader(bytes calldata data, bytes32 root)
        internal
        pure
        returns (uint256 values, bytes calldata rest)
    {
        rest = data;
        if (data.length < 64) return (0, rest);
        uint256 counts = uint256(bytes32(data[32:64]));
        values = uint64(counts >> 128);
        uint256 words = 2 + uint256(uint64(counts >> 64)) + 2 * uint256(uint64(counts));
        bytes32 top;
        (top, rest) = _rootOf(data, words < 5 ? 5 : words, 0, values + 1);
        // The greatest number of all stands for the value tree.
        if (top != root || values >= type(uint32).max) values = 0;
    }

    /// @return leaves Of the tree of the node's value; zero if `data` does not start with the node under `root`.
    /// @return padding Bytes of the last leaf beyond the value.
    /// @return rest What follows.
    function readNode(bytes calldata data, bytes32 root, uint256 node, uint256 values)
        internal
        pure
        returns (uint256 leaves, uint256 padding, bytes calldata rest)
    {
        rest = data;
        if (data.length < 96) return (0, 0, rest);
        uint256 head = uint256(bytes32(data[32:64]));
        uint256 words = 3 + 3 * uint256(uint32(head >> 128)) + uint256(uint32(head >> 96));
        bytes32 top;
        (top, rest) = _rootOf(data, words, node + 1, values + 1);
        if (top != root) return (0, 0, rest);

        (bool isKnown, uint256 length) = _lengthOf(uint256(bytes32(data[64:96])));
        leaves = length == 0 ? 1 : (length + 127) / 128;
        if (!isKnown || leaves > type(uint32).max) return (0, 0, rest);
        padding = leaves * 128 - length;
    }

    /// @param type_ Dtype (8 bits), rank (8), 7 dims (32 each).
    /// @return isKnown Whether there is such a type.
    /// @return length Bytes of a tensor of that type: below 2^227.
    function _lengthOf(uint256 type_) private pure returns (bool isKnown, uint256 length) {
        uint256 dtype = type_ >> 248;
        uint256 rank = uint8(type_ >> 240);
        length = dtype < 17 ? (ITEM_SIZES >> (dtype * 4)) & 0xf : 0;
        isKnown = length != 0 && rank <= 7;
        if (!isKnown) return (false, 0);
        for (uint256 axis; axis < rank; ++axis) {
            length *= uint32(type_ >> (208 - 32 * axis));
        }
    }

    /// @return top Zero where `data` is too short for the record and its path.
    function _rootOf(bytes calldata data, uint256 words, uint256 index, uint256 records)
        private
        pure
        returns (bytes32 top, bytes calldata rest)
    {
        rest = data;
        uint256 depth = MerkleRange.depthOf(records);
        if (words < 5 || data.length < 32 * (words + depth)) return (0, rest);

        bytes32[] memory nodes = new bytes32[](1);
        nodes[0] = keccak256(data[:32 * words]);
        bytes32[] calldata siblings;
        assembly ("memory-safe") {
            siblings.offset := add(data.offset, mul(32, words))
            siblings.length := depth
        }
        top = MerkleRange.rootOf(nodes, 0, index, records, 0, siblings);
        rest = data[32 * (words + depth):];
    }
}
