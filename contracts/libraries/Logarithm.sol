// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev LOG and LOG1P: relatively within 2^-150. Operands are canonical.
library Logarithm {
    uint256 private constant LOG = 0x0301;
    uint256 private constant LOG1P = 0x0900;

    uint32 private constant MINUS_ONE = 0xbf800000;

    /// @dev Of what `natural` gives, in units.
    uint256 internal constant ERROR = 1 << 11;

    function log(uint32 x) internal pure returns (uint32) {
        if (x == 0) return Float32.INFINITY | Float32.SIGN;
        if (Float32.isNaN(x) || x & Float32.SIGN != 0) return Float32.NAN;
        if (x == Float32.INFINITY) return x;
        if (x == Float32.ONE) return 0;

        (, uint256 m, int256 e) = Rounding.decode(x);
        return _decide(LOG, x, natural(m, e));
    }

    /// @notice 2 * artanh(x / (2 + x)) for |x| <= 1/2, else log(1 + x).
    function log1p(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        if (x == MINUS_ONE) return Float32.INFINITY | Float32.SIGN;
        if (x > MINUS_ONE) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        // |x| <= 2^-25: relatively |x| / 2 from x.
        if (size <= 0x33000000 || x == Float32.INFINITY) return x;

        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        unchecked {
            // 2^-e, if that is a whole number: e >= -48 here.
            uint256 one = e < 0 ? 1 << uint256(-e) : 1;
            if (size > 0x3f000000) {
                // 1 + x has 129 bits at most.
                if (e > 0) return _decide(LOG1P, x, natural((m << uint256(e)) + 1, 0));
                return _decide(LOG1P, x, natural(negative ? one - m : one + m, e));
            }
            uint256 z = FixedPoint.ratio(m, negative ? 2 * one - m : 2 * one + m);
            int256 value = 2 * int256(FixedPoint.odd(z, false));
            return _decide(LOG1P, x, negative ? -value : value);
        }
    }

    /// @notice log(m * 2^e) in units of 2^-192, within `ERROR`; for 0 < m < 2^200 and a size of e below 2^8.
    /// @dev k * ln 2 + 2 * artanh z, with m * 2^e = y * 2^k, 3/4 <= y < 3/2 and z = (y - 1) / (y + 1), of a size of
    /// at most 1/5. z is off by less than a unit, artanh z by less than 2 more than 2^9, and k * ln 2 by less than
    /// 2^9.
    ///
    /// Nothing cancels but for what is within the sum: for k = 0 there is one summand, and else |k * ln 2| >= 0.69
    /// and |2 * artanh z| <= 0.41.
    function natural(uint256 m, int256 e) internal pure returns (int256 value) {
        unchecked {
            uint256 k = Rounding.bitLength(m);
            if (4 * m < 3 << k) --k;
            uint256 one = 1 << k;
            bool negative = m < one;
            uint256 z = FixedPoint.ratio(negative ? one - m : m - one, m + one);
            value = 2 * int256(FixedPoint.odd(z, false));
            if (negative) value = -value;
            value += (int256(k) + e) * int256(FixedPoint.LN2);
        }
    }

    /// @dev Values here are at least 2^-26 in size, and so within 2^-155.
    function _decide(uint256 op, uint32 x, int256 value) private pure returns (uint32) {
        unchecked {
            bool negative = value < 0;
            uint256 size = uint256(negative ? -value : value);
            return FixedPoint.decide(op, x, 0, negative, size, ERROR, -192);
        }
    }
}
