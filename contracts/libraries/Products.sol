// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TensorType} from "./TensorType.sol";

/// @dev Sums of integers that lie packed in memory, before wrapping: what they are modulo 2^64 is right, which is all that
/// a dtype keeps. So signs need no care.
library Products {
    /// @param type_ Of int64 or int32.
    /// @return total Of a[i] * b[i] for i < count.
    /// @dev The assembly is the inner loop of quantized networks.
    function sumOf(uint256 a, uint256 b, uint256 count, TensorType type_)
        internal
        pure
        returns (int256 total)
    {
        uint256 size = type_.itemSize();
        assembly ("memory-safe") {
            // The element at the low end of the word, with others above it.
            let back := sub(32, size)
            a := sub(a, back)
            b := sub(b, back)
            for { let end := add(a, mul(count, size)) } lt(a, end) { a := add(a, size) } {
                total := add(total, mul(mload(a), mload(b)))
                b := add(b, size)
            }
        }
    }

    /// @param type_ Of int64 or int32.
    function sumOf(uint256 data, uint256 count, TensorType type_)
        internal
        pure
        returns (int256 total)
    {
        uint256 size = type_.itemSize();
        assembly ("memory-safe") {
            data := sub(data, sub(32, size))
            for { let end := add(data, mul(count, size)) } lt(data, end) { data := add(data, size) }
            {
                total := add(total, mload(data))
            }
        }
    }
}
