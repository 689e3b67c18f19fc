// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";

/// @dev Values as `Evaluator` holds them: a word an element, in memory. A float is its canonical bits, an integer is
/// itself (two's complement), a bool is 0 or 1.
library Words {
    function allocate(uint256 count) internal pure returns (uint256 words) {
        assembly ("memory-safe") {
            words := mload(0x40)
            mstore(0x40, add(words, shl(5, count)))
        }
    }

    function freeMemory() internal pure returns (uint256 pointer) {
        assembly ("memory-safe") {
            pointer := mload(0x40)
        }
    }

    /// @notice Frees all that was allocated since `freeMemory` gave the pointer: nothing may refer to it any more.
    function release(uint256 pointer) internal pure {
        assembly ("memory-safe") {
            mstore(0x40, pointer)
        }
    }

    function at(uint256 place) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(place)
        }
    }

    function set(uint256 place, uint256 word) internal pure {
        assembly ("memory-safe") {
            mstore(place, word)
        }
    }

    /// @param raw Offset in memory of elements, big-endian, one after the other; up to 31 bytes after the last are
    /// read.
    function unpack(uint256 raw, uint256 count, uint256 dtype)
        internal
        pure
        returns (uint256 words)
    {
        words = allocate(count);
        unpackTo(raw, count, dtype, words);
    }

    /// @param words Offset of a word an element.
    function unpackTo(uint256 raw, uint256 count, uint256 dtype, uint256 words) internal pure {
        if (dtype == TensorTypeLibrary.FLOAT) return _unpackFloats(raw, count, words);
        uint256 size = TensorTypeLibrary.scalarOf(dtype).itemSize();
        bool isUnsigned = dtype == TensorTypeLibrary.UINT8 || dtype == TensorTypeLibrary.BOOL;
        bool isBool = dtype == TensorTypeLibrary.BOOL;
        assembly ("memory-safe") {
            let unused := sub(256, shl(3, size))
            let to := words
            for { let end := add(raw, mul(size, count)) } lt(raw, end) { raw := add(raw, size) } {
                let x := mload(raw)
                switch isUnsigned
                case 0 { x := sar(unused, x) }
                default { x := shr(unused, x) }
                if isBool { x := iszero(iszero(x)) }
                mstore(to, x)
                to := add(to, 32)
            }
        }
    }

    /// @dev Eight at a time, as long as all of them are canonical: no lane has a magnitude above infinity's (adding
    /// 2^23 - 1 to such a one sets bit 31) nor a sign without a magnitude (adding 2^31 - 1 to one sets bit 31).
    function _unpackFloats(uint256 raw, uint256 count, uint256 words) private pure {
        assembly ("memory-safe") {
            let to := words
            let end := add(raw, shl(2, count))
            for { let last := add(raw, and(shl(2, count), not(31))) } lt(raw, last) {
                raw := add(raw, 32)
            } {
                let w := mload(raw)
                let size :=
                    and(w, 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff)
                let odd :=
                    or(
                        add(
                            size,
                            0x007fffff007fffff007fffff007fffff007fffff007fffff007fffff007fffff
                        ),
                        and(
                            w,
                            not(
                                add(
                                    size,
                                    0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff
                                )
                            )
                        )
                    )
                if and(odd, 0x8000000080000000800000008000000080000000800000008000000080000000) {
                    break
                }
                mstore(to, shr(224, w))
                mstore(add(to, 0x20), and(shr(192, w), 0xffffffff))
                mstore(add(to, 0x40), and(shr(160, w), 0xffffffff))
                mstore(add(to, 0x60), and(shr(128, w), 0xffffffff))
                mstore(add(to, 0x80), and(shr(96, w), 0xffffffff))
                mstore(add(to, 0xa0), and(shr(64, w), 0xffffffff))
                mstore(add(to, 0xc0), and(shr(32, w), 0xffffffff))
                mstore(add(to, 0xe0), and(w, 0xffffffff))
                to := add(to, 0x100)
            }
            for {} lt(raw, end) { raw := add(raw, 4) } {
                let x := shr(224, mload(raw))
                if gt(and(x, 0x7fffffff), 0x7f800000) { x := 0x7fc00000 }
                if eq(x, 0x80000000) { x := 0 }
                mstore(to, x)
                to := add(to, 32)
            }
        }
    }

    /// @param to Offset in memory where the elements go, big-endian, one after the other. Up to 31 bytes behind them
    /// are written to.
    /// @return end Behind the last.
    function pack(uint256 words, TensorType type_, uint256 to) internal pure returns (uint256 end) {
        uint256 size = type_.itemSize();
        uint256 count = type_.elements();
        assembly ("memory-safe") {
            let unused := sub(256, shl(3, size))
            for { let past := add(words, shl(5, count)) } lt(words, past) {
                words := add(words, 32)
            } {
                mstore(to, shl(unused, mload(words)))
                to := add(to, size)
            }
            end := to
        }
    }
}
