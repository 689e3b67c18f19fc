// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {Rounding} from "./Rounding.sol";

/// @dev Numbers in units of 2^-192, rounded down; what the functions of families 03 and 09 are evaluated in. Each
/// comes with a bound on what it is off by, in units, and is rounded only where that does not matter.
library FixedPoint {
    uint256 internal constant ONE = 1 << 192;
    /// @dev Less than a unit below.
    uint256 internal constant LN2 = 0xb17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d;

    /// @notice a * b, for a product below 2^64; less than a unit below it.
    function mul(uint256 a, uint256 b) internal pure returns (uint256 product) {
        assembly ("memory-safe") {
            let low := mul(a, b)
            // Modulo 2^256 - 1 the product is high + low.
            let high := mulmod(a, b, not(0))
            high := sub(sub(high, low), lt(high, low))
            product := or(shl(64, high), shr(192, low))
        }
    }

    /// @notice n / d in units of 2^-192, for 0 < d < 2^208 and n < 2^63 * d; less than a unit below it.
    function ratio(uint256 n, uint256 d) internal pure returns (uint256 quotient) {
        unchecked {
            // Long division in base 2^48: rests are below d, so they have room for another digit.
            quotient = n / d;
            for (uint256 i; i < 4; ++i) {
                n = (n % d) << 48;
                quotient = (quotient << 48) | (n / d);
            }
        }
    }

    /// @notice z - z^3/3 + z^5/5 - ..., that is arctan z, or with plus signs artanh z; for z <= 1/2.
    /// @dev Off by less than 2^9 units. With z^2 <= 1/4, a power is short of less than 2 units: what the power
    /// before was short of and what z^2 was, times at most 1/2 each, and less than one more. So a term, its
    /// division included, is short of less than 2, and there are at most 97, for z^(2i + 1) < 2^-192 from i = 96
    /// on. From the first power that is zero on they sum up to less than 3 units.
    function odd(uint256 z, bool alternating) internal pure returns (uint256) {
        unchecked {
            uint256 square = mul(z, z);
            uint256 plus;
            uint256 minus;
            for (uint256 i = 1; z != 0; i += 4) {
                plus += z / i;
                z = mul(z, square);
                minus += z / (i + 2);
                z = mul(z, square);
            }
            return alternating ? plus - minus : plus + minus;
        }
    }

    /// @notice What all numbers within `radius` of `middle` * 2^exponent round to; both in units of that.
    /// @dev Rounding is monotone, so if both ends round alike, so does all between. The radius is less than the
    /// middle, which has more than 26 bits.
    /// @param op,x,y Only for the error.
    function decide(
        uint256 op,
        uint32 x,
        uint32 y,
        bool negative,
        uint256 middle,
        uint256 radius,
        int256 exponent
    ) internal pure returns (uint32 bits) {
        unchecked {
            bits = Rounding.round(negative, middle - radius, exponent);
            uint32 other = Rounding.round(negative, middle + radius, exponent);
            require(bits == other, IReferee.Undecided(op, x, y));
        }
    }
}
