// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "./Merkle.sol";
import {Part, PartLibrary} from "./Part.sol";

/// @dev From a part of a trace to the root of its value tree (`oracle/exact/proofs/trace.py`).
library Trace {
    error WrongSize(uint256 size, uint256 needed);
    error WrongSiblings(uint256 given, uint256 needed);
    /// @param offset In the data, of 32 bytes beyond the value among which one is not zero.
    error NonZeroPadding(uint256 offset);

    /// @param part One that exists in the trace of a program of `values` nodes.
    /// @param leaves Of the part's value, if it is of one.
    /// @param padding Bytes of the value's last leaf that must be zero.
    /// @param siblings Of the part's common path; then, if it is of a value, of that value's path.
    function topOf(
        Part calldata part,
        uint256 values,
        uint256 leaves,
        uint256 padding,
        bytes calldata data,
        bytes32[] calldata siblings
    ) internal pure returns (bytes32 top) {
        require(data.length == part.size(), WrongSize(data.length, part.size()));
        uint256 start;
        uint256 end;
        assembly ("memory-safe") {
            start := siblings.offset
        }

        if (part.isOfValueTree()) {
            (top, end) = _climb(part, data, values, 0, start);
        } else if (!part.isLeaves()) {
            (top, end) = _climb(part, data, leaves, Merkle.EMPTY_LEAF, start);
        } else {
            bool hasLast = uint256(part.first) + part.count == leaves;
            if (hasLast) _requireZeros(data, data.length - padding);
            (top, end) = _climbFromLeaves(part, data, leaves, start);
        }
        if (!part.isOfValueTree()) (top, end) = Merkle.rootOf(top, part.value, values, 0, end);

        uint256 needed = (end - start) / 32;
        require(siblings.length == needed, WrongSiblings(siblings.length, needed));
    }

    /// @param lowest Nodes at the bottom of the part's tree.
    /// @param empty What stands beyond them.
    function _climb(
        Part calldata part,
        bytes calldata data,
        uint256 lowest,
        bytes32 empty,
        uint256 siblings
    ) private pure returns (bytes32 root, uint256 end) {
        uint256 nodes;
        assembly ("memory-safe") {
            nodes := add(mload(0x40), 32)
            calldatacopy(nodes, data.offset, data.length)
        }
        uint256 there = PartLibrary.nodesAt(part.height, lowest);
        empty = _emptyAt(part.height, empty);
        return Merkle.rootOfRun(nodes, part.count, part.first, there, empty, siblings);
    }

    function _climbFromLeaves(
        Part calldata part,
        bytes calldata data,
        uint256 leaves,
        uint256 siblings
    ) private pure returns (bytes32 root, uint256 end) {
        bytes memory copy = data;
        uint256 at;
        assembly ("memory-safe") {
            at := add(copy, 32)
        }
        return Merkle.rootOfLeaves(at, part.count, part.first, leaves, siblings);
    }

    /// @return empty The subtree of that height above `empty`.
    function _emptyAt(uint256 height, bytes32 empty_) private pure returns (bytes32 empty) {
        assembly ("memory-safe") {
            empty := empty_
            for {} height { height := sub(height, 1) } {
                mstore(0, empty)
                mstore(0x20, empty)
                empty := keccak256(0, 0x40)
            }
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
