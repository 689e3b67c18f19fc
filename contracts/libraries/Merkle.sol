// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The trees of `oracle/merkle.py`, whose nodes lie in the calldata: siblings are words from an offset on, lowest
/// first, left before right. Leaves have 128 bytes, inner nodes 64 and records 160 or more, so that no preimage of one
/// is one of another.
///
/// Trees are read strictly. What stands beyond the last of the lowest nodes must be the empty subtree: else whoever
/// committed to a tree could put something there and give one tensor many roots.
///
/// The caller checks that what was read of the calldata was there to be read.
library Merkle {
    /// @param needed The empty subtree's, since nothing of the tree stands at that sibling.
    error NotEmpty(uint256 height, bytes32 sibling, bytes32 needed);
    error BeyondTree(uint256 first, uint256 nodes, uint256 lowest);

    uint256 internal constant LEAF = 128;

    /// @dev keccak256 of 128 zero bytes: what stands beyond the leaves of a tensor. Beyond values and records stand
    /// 32 zero bytes.
    bytes32 internal constant EMPTY_LEAF =
        0x012893657d8eb2efad4de0a91bcd0e39ad9837745dec3ea923737ea803fc8e3d;

    /// @dev keccak256 of that twice.
    bytes32 private constant EMPTY_PAIR =
        0x1b9b4e85f28c23b06eb0c7893374c3f2f042dfd69fb1a91d81209bf8a7351774;

    /// @dev keccak256("exactum.trace")
    bytes32 private constant TRACE_TAG =
        0xb7e0783367bfe86fb1ef006f1f466579cb8bf54ac09880b361dde7d6f29f4b62;

    /// @param length Bytes of a tensor.
    function leavesOf(uint256 length) internal pure returns (uint256) {
        return length == 0 ? 1 : (length + LEAF - 1) / LEAF;
    }

    /// @param lowest Nodes at the bottom of a tree, at least one.
    /// @return depth The least with 2^depth ≥ `lowest`.
    function depthOf(uint256 lowest) internal pure returns (uint256 depth) {
        for (uint256 left = lowest - 1; left != 0; left >>= 1) {
            ++depth;
        }
    }

    /// @param node At place `index` of the bottom.
    /// @param empty What stands beyond the bottom's last.
    /// @return root
    /// @return end Offset of the first word of the calldata that is no sibling.
    function rootOf(bytes32 node, uint256 index, uint256 lowest, bytes32 empty, uint256 siblings)
        internal
        pure
        returns (bytes32 root, uint256 end)
    {
        uint256 nodes;
        assembly ("memory-safe") {
            nodes := add(mload(0x40), 32)
            mstore(nodes, node)
        }
        return rootOfRun(nodes, 1, index, lowest, empty, siblings);
    }

    /// @param data Offset in memory of whole leaves.
    /// @param lowest Leaves of the tree.
    function rootOfLeaves(
        uint256 data,
        uint256 count,
        uint256 first,
        uint256 lowest,
        uint256 siblings
    ) internal pure returns (bytes32 root, uint256 end) {
        uint256 nodes;
        assembly ("memory-safe") {
            nodes := add(mload(0x40), 32)
            let to := nodes
            for { let last := add(data, shl(7, count)) } lt(data, last) { data := add(data, 128) } {
                mstore(to, keccak256(data, 128))
                to := add(to, 32)
            }
        }
        return rootOfRun(nodes, count, first, lowest, EMPTY_LEAF, siblings);
    }

    /// @param nodes Offset in memory, 32 bytes behind the free memory pointer, of consecutive nodes; free memory is
    /// written to and stays free.
    /// @param count At least one.
    /// @param first Place of the first of them.
    /// @param lowest Nodes at the bottom of the tree, which is where they are.
    /// @dev The assembly is the inner loop of every opening.
    function rootOfRun(
        uint256 nodes,
        uint256 count,
        uint256 first,
        uint256 lowest,
        bytes32 empty,
        uint256 siblings
    ) internal pure returns (bytes32 root, uint256 end) {
        require(
            count != 0 && first < lowest && count <= lowest - first,
            BeyondTree(first, count, lowest)
        );
        uint256 height;
        uint256 emptyHeight;
        bytes32 wrong;
        assembly ("memory-safe") {
            for {} gt(lowest, 1) {} {
                let from := nodes
                let past := add(nodes, shl(5, count))
                // A right child comes first: its sibling is put before it.
                if and(first, 1) {
                    from := sub(nodes, 32)
                    mstore(from, calldataload(siblings))
                    siblings := add(siblings, 32)
                }
                // A left child comes last: its sibling is put behind it.
                if and(add(first, count), 1) {
                    let sibling := calldataload(siblings)
                    if iszero(lt(add(first, count), lowest)) {
                        for {} lt(emptyHeight, height) { emptyHeight := add(emptyHeight, 1) } {
                            mstore(0, empty)
                            mstore(0x20, empty)
                            empty := keccak256(0, 0x40)
                        }
                        if iszero(eq(sibling, empty)) {
                            wrong := sibling
                            // Ends the loop; zero is wrong too where something else is empty.
                            emptyHeight := not(0)
                            break
                        }
                    }
                    mstore(past, sibling)
                    past := add(past, 32)
                    siblings := add(siblings, 32)
                }
                let to := nodes
                for {} lt(from, past) { from := add(from, 64) } {
                    mstore(to, keccak256(from, 64))
                    to := add(to, 32)
                }
                count := shr(5, sub(to, nodes))
                first := shr(1, first)
                lowest := shr(1, add(lowest, 1))
                height := add(height, 1)
            }
            root := mload(nodes)
            end := siblings
        }
        require(emptyHeight != type(uint256).max, NotEmpty(height, wrong, empty));
    }

    /// @notice Of the tree over a payload's bytes, as of a tensor's: one keccak up to 128 bytes. It binds no length.
    /// @dev Free memory is written to and stays free. Levels lie over each other: a node is written where its children
    /// have been read. Leaves go by pairs; the second of the last may lie beyond the payload, and is zero.
    function payloadRoot(bytes calldata payload) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            let nodes := mload(0x40)
            let end := add(nodes, payload.length)
            calldatacopy(nodes, payload.offset, payload.length)
            // Beyond the calldata stands zero.
            calldatacopy(end, calldatasize(), 256)

            switch gt(payload.length, LEAF)
            case 0 { root := keccak256(nodes, LEAF) }
            default {
                let to := nodes
                for { let from := nodes } lt(from, end) { from := add(from, 256) } {
                    mstore(0, keccak256(from, LEAF))
                    mstore(0x20, keccak256(add(from, LEAF), LEAF))
                    mstore(to, keccak256(0, 0x40))
                    to := add(to, 32)
                }

                let empty := EMPTY_PAIR
                // How far `empty` lies below the level of `to`.
                let below := 0
                for { let last := add(nodes, 32) } gt(to, last) { below := add(below, 1) } {
                    // A left child comes last: the empty subtree of its height is put behind it.
                    if and(sub(to, nodes), 32) {
                        for {} below { below := sub(below, 1) } {
                            mstore(0, empty)
                            mstore(0x20, empty)
                            empty := keccak256(0, 0x40)
                        }
                        mstore(to, empty)
                    }
                    end := to
                    to := nodes
                    for { let from := nodes } lt(from, end) { from := add(from, 64) } {
                        mstore(to, keccak256(from, 64))
                        to := add(to, 32)
                    }
                }
                root := mload(nodes)
            }
        }
    }

    /// @param top Of the tree of all values' roots.
    function traceRootOf(bytes32 programRoot, bytes32 top) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, TRACE_TAG)
            mstore(add(free, 0x20), programRoot)
            mstore(add(free, 0x40), top)
            root := keccak256(free, 0x60)
        }
    }
}
