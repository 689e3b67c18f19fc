// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ForestPacker} from "./ForestPacker.sol";

/// @dev TREE_WALK of one row over trees that `ForestPacker` packed.
library Forest {
    /// @dev Above the key of infinity, 0xff800000, and of each threshold.
    uint256 private constant NAN = 0x100000000;

    /// @param x Offset of `features` words.
    /// @param roots Offset in memory of `trees` int32, big-endian and in ascending order.
    /// @param pieces Offset of a word a piece: its first node (96 bits) ‖ its address (160).
    /// @param out Offset of a word a tree: what its leaf gives.
    function walk(
        uint256 x,
        uint256 features,
        uint256 roots,
        uint256 trees,
        uint256 pieces,
        uint256 count,
        uint256 out
    ) internal view {
        (uint256 keys, bool hasNaN) = _keys(x, features);
        uint256 rootsEnd = roots + 4 * trees;
        for (uint256 piece = pieces; piece < pieces + 32 * count; piece += 32) {
            uint256 buffer;
            uint256 first;
            uint256 past;
            assembly ("memory-safe") {
                let word := mload(piece)
                let size := sub(extcodesize(word), 1)
                first := shr(160, word)
                past := add(first, div(size, 10))
                // Behind the keys; nothing is allocated meanwhile.
                buffer := mload(0x40)
                extcodecopy(word, buffer, 1, size)
            }
            uint256 done;
            (done, out) = hasNaN
                ? _walkWithNaN(keys, roots, rootsEnd, first, past, buffer, out)
                : _walk(keys, roots, rootsEnd, first, past, buffer, out);
            roots = done;
        }
    }

    /// @return keys Offset of a word a feature: in the order of the numbers, NaN above all.
    function _keys(uint256 x, uint256 features) private pure returns (uint256 keys, bool hasNaN) {
        assembly ("memory-safe") {
            keys := mload(0x40)
            mstore(0x40, add(keys, shl(5, features)))
            for {
                let i := 0
                let end := shl(5, features)
            } lt(i, end) { i := add(i, 32) } {
                let bits := mload(add(x, i))
                // Canonical: there is no -0.
                let key := xor(bits, or(0x80000000, mul(0xffffffff, shr(31, bits))))
                if eq(bits, 0x7fc00000) {
                    key := NAN
                    hasNaN := 1
                }
                mstore(add(keys, i), key)
            }
        }
    }

    /// @dev The inner loop: no number is NaN.
    /// @param past The node behind the last of the piece.
    /// @return next The first root that lies beyond the piece.
    /// @return to Where its leaf goes.
    function _walk(
        uint256 keys,
        uint256 roots,
        uint256 rootsEnd,
        uint256 first,
        uint256 past,
        uint256 buffer,
        uint256 out
    ) private pure returns (uint256 next, uint256 to) {
        assembly ("memory-safe") {
            to := out
            next := roots
            for {} lt(next, rootsEnd) { next := add(next, 4) } {
                let root := shr(224, mload(next))
                if iszero(lt(root, past)) { break }
                let node := mload(add(buffer, mul(10, sub(root, first))))
                let way := shr(240, node)
                for {} iszero(eq(way, 0xffff)) {} {
                    let isAbove :=
                        gt(mload(add(keys, and(way, 0xffe0))), and(shr(208, node), 0xffffffff))
                    node := mload(add(buffer, and(shr(sub(192, shl(4, isAbove)), node), 0xffff)))
                    way := shr(240, node)
                }
                mstore(to, signextend(3, and(shr(208, node), 0xffffffff)))
                to := add(to, 32)
            }
        }
    }

    function _walkWithNaN(
        uint256 keys,
        uint256 roots,
        uint256 rootsEnd,
        uint256 first,
        uint256 past,
        uint256 buffer,
        uint256 out
    ) private pure returns (uint256 next, uint256 to) {
        assembly ("memory-safe") {
            to := out
            next := roots
            for {} lt(next, rootsEnd) { next := add(next, 4) } {
                let root := shr(224, mload(next))
                if iszero(lt(root, past)) { break }
                let node := mload(add(buffer, mul(10, sub(root, first))))
                let way := shr(240, node)
                for {} iszero(eq(way, 0xffff)) {} {
                    let key := mload(add(keys, and(way, 0xffe0)))
                    let isAbove := gt(key, and(shr(208, node), 0xffffffff))
                    if eq(key, NAN) { isAbove := and(way, 1) }
                    node := mload(add(buffer, and(shr(sub(192, shl(4, isAbove)), node), 0xffff)))
                    way := shr(240, node)
                }
                mstore(to, signextend(3, and(shr(208, node), 0xffffffff)))
                to := add(to, 32)
            }
        }
    }
}
