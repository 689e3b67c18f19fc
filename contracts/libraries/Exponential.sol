// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev EXP, SIGMOID and TANH: relatively within 2^-160. Operands are canonical.
library Exponential {
    uint256 private constant EXP = 0x0300;
    uint256 private constant SIGMOID = 0x0302;
    uint256 private constant TANH = 0x0303;

    uint32 private constant HALF = 0x3f000000;

    function exp(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        // |x| <= 2^-26: within half a place of 1.
        if (size <= 0x32800000) return Float32.ONE;
        if (x == size) {
            // 89: e^89 > 2^128.
            if (size >= 0x42b20000) return Float32.INFINITY;
        } else if (size >= 0x42d00000) {
            // 104: e^-104 < 2^-150.
            return 0;
        }

        (uint256 value, uint256 error, int256 scale) = power(_fixed(x, 0), 0);
        return FixedPoint.decide(EXP, x, 0, false, value, error, scale - 192);
    }

    /// @notice 1 / (1 + E) for x > 0 and E / (1 + E) for x < 0, with E = e^-|x|.
    /// @dev With E within `error`, and so 1 + E >= 1 within `error` + 1, both are within 4 * `error`.
    function sigmoid(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        // |x| <= 2^-25: within |x| / 4 of a half.
        if (size <= 0x33000000) return HALF;
        if (x == size) {
            // 18: 1 - e^-18 > 1 - 2^-25.
            if (size >= 0x41900000) return Float32.ONE;
        } else if (size >= 0x42d00000) {
            // 104, as above.
            return 0;
        }

        (uint256 value, uint256 error, int256 scale) = power(_fixed(size | Float32.SIGN, 0), 0);
        unchecked {
            uint256 sum = FixedPoint.ONE + (value >> uint256(-scale));
            if (x == size) (value, scale) = (FixedPoint.ONE, 0);
            value = FixedPoint.ratio(value, sum);
            return FixedPoint.decide(SIGMOID, x, 0, false, value, 4 * error, scale - 192);
        }
    }

    /// @notice (1 - E) / (1 + E) with E = e^-2|x|, and the sign of x.
    /// @dev Off by 4 * `error` at most, as above; and not less than 2^-14.
    function tanh(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        // |x| >= 10: 1 - 2e^-20 > 1 - 2^-25.
        if (size >= 0x41200000) return Float32.ONE | (x & Float32.SIGN);
        // |x| <= 2^-13: relatively 2^-27 below x.
        if (size <= 0x39000000) return x;

        (uint256 value, uint256 error, int256 scale) = power(_fixed(size | Float32.SIGN, 1), 0);
        unchecked {
            value >>= uint256(-scale);
            value = FixedPoint.ratio(FixedPoint.ONE - value, FixedPoint.ONE + value);
            return FixedPoint.decide(TANH, x, 0, x != size, value, 4 * error, -192);
        }
    }

    /// @notice e^argument = value * 2^(scale - 192) within `error` units of `value`, which is at least 2^192 and
    /// less than 2^194.
    /// @dev argument = scale * ln 2 + r, 0 <= r < ln 2; as ln 2 is short of less than a unit, r is within `radius`
    /// + 2^8 units, and e^r < 2 within 3 * (`radius` + 2^8), for what they are squared is nothing.
    ///
    /// In r^n / n!, a term of Taylor's series, the factor before misses at most d units and the division rounds
    /// down twice: it misses d * r / n + 1 + 1 at most. So d < 7, for r < 0.7, and at most 3 from n = 3 on. There
    /// are fewer than 48 terms, as 0.7^n / n! < 2^-192 then; they miss less than 2^8 together, and those left out
    /// less than 8.
    /// @param argument In units of 2^-192, of a size of at most 2^7, within `radius` units of what is meant; a
    /// radius below 2^96.
    function power(int256 argument, uint256 radius)
        internal
        pure
        returns (uint256 value, uint256 error, int256 scale)
    {
        unchecked {
            scale = argument / int256(FixedPoint.LN2);
            int256 rest = argument - scale * int256(FixedPoint.LN2);
            if (rest < 0) {
                rest += int256(FixedPoint.LN2);
                --scale;
            }

            uint256 r = uint256(rest);
            uint256 term = FixedPoint.ONE;
            for (uint256 n = 1; term != 0; ++n) {
                value += term;
                term = FixedPoint.mul(term, r) / n;
            }
            error = 3 * radius + (1 << 11);
        }
    }

    /// @dev x * 2^doublings in units, exactly: for 2^-32 < |x| < 2^7.
    function _fixed(uint32 x, uint256 doublings) private pure returns (int256) {
        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        unchecked {
            int256 size = int256(m << (uint256(e + 192) + doublings));
            return negative ? -size : size;
        }
    }
}
