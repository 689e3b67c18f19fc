// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";

/// @dev Between float32 and exact numbers significand * 2^exponent. The only place where anything is rounded to
/// float32: to nearest, ties to even, infinity from 2^128 - 2^103 on, and no negative zero.
library Rounding {
    /// @dev Exponents of the last place of subnormal numbers and of the largest.
    int256 private constant LOWEST = -149;
    int256 private constant HIGHEST = 104;

    /// @notice significand * 2^exponent, rounded once.
    /// @dev The significand's lowest bit may stand for more, below it: set where anything is missing ("sticky").
    /// That is right where the bit lies below the half of the last place kept: if the significand is at least 2^25,
    /// or the exponent at most -151. An exact significand has no such condition.
    function round(bool negative, uint256 significand, int256 exponent)
        internal
        pure
        returns (uint32 bits)
    {
        if (significand == 0) return 0;
        unchecked {
            int256 last = int256(bitLength(significand)) + exponent - 24;
            if (last < LOWEST) last = LOWEST;
            uint32 sign = negative ? Float32.SIGN : 0;
            if (last > HIGHEST) return sign | Float32.INFINITY;

            int256 dropped = last - exponent;
            uint256 kept;
            if (dropped <= 0) {
                kept = significand << uint256(-dropped);
            } else if (dropped <= 256) {
                uint256 halves = significand >> uint256(dropped - 1);
                kept = halves >> 1;
                if (halves & 1 != 0) {
                    bool isTie = halves << uint256(dropped - 1) == significand;
                    if (kept & 1 != 0 || !isTie) ++kept;
                }
            }
            // The leading bit adds one to the exponent's field, and so does a carry out of the rounding, up to
            // infinity.
            bits = uint32((uint256(last - LOWEST) << 23) + kept);
            if (bits != 0) bits |= sign;
        }
    }

    /// @notice (high * 2^256 + low) * 2^exponent, rounded once; `low` may be sticky as above.
    function roundWide(bool negative, uint256 high, uint256 low, int256 exponent)
        internal
        pure
        returns (uint32)
    {
        if (high == 0) return round(negative, low, exponent);
        unchecked {
            uint256 shift = bitLength(high);
            uint256 significand = (high << (256 - shift)) | (low >> shift);
            if (low << (256 - shift) != 0) significand |= 1;
            return round(negative, significand, exponent + int256(shift));
        }
    }

    /// @dev Of a finite number; the exponent is -149 to 104, the significand below 2^24.
    function decode(uint32 bits)
        internal
        pure
        returns (bool negative, uint256 significand, int256 exponent)
    {
        unchecked {
            negative = bits >> 31 != 0;
            uint256 field = (bits >> 23) & 0xff;
            significand = bits & 0x7fffff;
            if (field == 0) field = 1;
            else significand |= 0x800000;
            exponent = int256(field) - 150;
        }
    }

    /// @return length The least with x < 2^length.
    function bitLength(uint256 x) internal pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := shl(7, lt(0xffffffffffffffffffffffffffffffff, x))
            length := or(length, shl(6, lt(0xffffffffffffffff, shr(length, x))))
            length := or(length, shl(5, lt(0xffffffff, shr(length, x))))
            length := or(length, shl(4, lt(0xffff, shr(length, x))))
            length := or(length, shl(3, lt(0xff, shr(length, x))))
            // Lengths of 0 to 15 are looked up, and the rest of 16 to 255 brought there, four bits at a time.
            let rest := shr(length, x)
            let more := shl(2, lt(0xf, rest))
            length := add(
                add(length, more),
                byte(
                    shr(more, rest),
                    0x0001020203030303040404040404040400000000000000000000000000000000
                )
            )
        }
    }
}
