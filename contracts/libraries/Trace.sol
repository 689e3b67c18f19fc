// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MerkleRange} from "./MerkleRange.sol";
import {Part} from "./Part.sol";

/// @dev From a part of a trace to its root (`oracle/exact/trace.py`).
library Trace {
    error WrongSize(uint256 size, uint256 needed);
    /// @param offset Byte of the data that is beyond the value and not zero, or before which there is such a byte.
    error NonZeroPadding(uint256 offset);

    bytes32 internal constant TAG =
        0xb7e0783367bfe86fb1ef006f1f466579cb8bf54ac09880b361dde7d6f29f4b62;

    /// @param top The root of the value tree.
    function rootOf(bytes32 programRoot, bytes32 top) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG, programRoot, top));
    }

    /// @param part One that exists in the trace of a program of `values` nodes.
    /// @param leaves Of the part's value, if it is of one.
    /// @param padding Bytes of the value's last leaf that must be zero.
    /// @param siblings Of the part's common path; then, if it is of a value, of that value's path.
    /// @return The root of the value tree.
    function topOf(
        Part calldata part,
        uint256 values,
        uint256 leaves,
        uint256 padding,
        bytes calldata data,
        bytes32[] calldata siblings
    ) internal pure returns (bytes32) {
        require(data.length == part.size(), WrongSize(data.length, part.size()));
        if (part.isOfValueTree()) return _rootOf(_nodesOf(data), part, values, 0, siblings);

        bool hasPadding = part.isLeaves() && uint256(part.first) + part.count == leaves;
        if (hasPadding) _requireZeros(data, data.length - padding);
        uint256 inner = MerkleRange.siblingsOf(part.levels(), part.first, part.count, leaves);
        require(siblings.length >= inner, MerkleRange.TooFewSiblings(siblings.length, inner));
        bytes32[] memory nodes = part.isLeaves() ? _hashesOf(data) : _nodesOf(data);
        bytes32[] memory value = new bytes32[](1);
        value[0] = _rootOf(nodes, part, leaves, MerkleRange.EMPTY_LEAF, siblings[:inner]);
        return MerkleRange.rootOf(value, 0, part.value, values, 0, siblings[inner:]);
    }

    function _rootOf(
        bytes32[] memory nodes,
        Part calldata part,
        uint256 lowest,
        bytes32 empty,
        bytes32[] calldata siblings
    ) private pure returns (bytes32) {
        return MerkleRange.rootOf(nodes, part.levels(), part.first, lowest, empty, siblings);
    }

    function _nodesOf(bytes calldata data) private pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](data.length / 32);
        assembly ("memory-safe") {
            calldatacopy(add(nodes, 32), data.offset, data.length)
        }
    }

    function _hashesOf(bytes calldata data) private pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](data.length / 128);
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = keccak256(data[128 * i:128 * (i + 1)]);
        }
    }

    function _requireZeros(bytes calldata data, uint256 from) private pure {
        for (uint256 offset = from; offset < data.length; offset += 32) {
            uint256 word;
            assembly ("memory-safe") {
                word := calldataload(add(data.offset, offset))
            }
            uint256 left = data.length - offset;
            if (left < 32) word >>= 256 - 8 * left;
            require(word == 0, NonZeroPadding(offset));
        }
    }
}
