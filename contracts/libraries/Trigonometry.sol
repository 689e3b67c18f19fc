// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev SIN, COS and ATAN: relatively within 2^-140. Operands are canonical.
library Trigonometry {
    uint256 private constant SIN = 0x0901;
    uint256 private constant COS = 0x0902;
    uint256 private constant ATAN = 0x0903;

    /// @dev 2^-12: up to there sin x and atan x are relatively within 2^-25.5 of x, and cos x is within 2^-25 of 1.
    uint32 private constant SMALL = 0x39800000;
    /// @dev pi / 2, rounded to float32.
    uint32 private constant RIGHT_ANGLE = 0x3fc90fdb;

    /// @dev pi / 4 and pi / 2, less than a unit below.
    uint256 private constant QUARTER_PI = 0xc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74;
    uint256 private constant HALF_PI = 0x1921fb54442d18469898cc51701b839a252049c1114cf98e8;
    /// @dev The first 512 bits of 1 / (2 * pi).
    uint256 private constant TURN_HIGH =
        0x28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458eaf7aef158;
    uint256 private constant TURN_LOW =
        0x6dc91b8e909374b801924bba827464873f877ac72c4a69cfba208d7d4baed121;

    function sin(uint32 x) internal pure returns (uint32) {
        uint32 size = x & ~Float32.SIGN;
        if (size >= Float32.INFINITY) return Float32.NAN;
        return size <= SMALL ? x : _sine(SIN, x, 0);
    }

    function cos(uint32 x) internal pure returns (uint32) {
        uint32 size = x & ~Float32.SIGN;
        if (size >= Float32.INFINITY) return Float32.NAN;
        return size <= SMALL ? Float32.ONE : _sine(COS, x, 1);
    }

    /// @notice For x > 0: arctan x, pi/4 + arctan((x - 1) / (x + 1)), or pi/2 - arctan 1/x, always of a number of
    /// at most 1/2 in size.
    /// @dev Which is off by less than a unit, its arctan by less than 2^9 + 1, and pi/4 or pi/2 by less than one:
    /// 2^10 in sum.
    function atan(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        if (size <= SMALL) return x;
        if (size == Float32.INFINITY) return RIGHT_ANGLE | (x & Float32.SIGN);

        (, uint256 m, int256 e) = Rounding.decode(size);
        unchecked {
            uint256 value;
            if (size <= 0x3f000000) {
                value = FixedPoint.odd(m << uint256(e + 192), true);
            } else if (size < 0x40000000) {
                // Between 1/2 and 2, e is -24 or -23.
                uint256 one = 1 << uint256(-e);
                value = m < one
                    ? QUARTER_PI - FixedPoint.odd(((one - m) << 192) / (m + one), true)
                    : QUARTER_PI + FixedPoint.odd(((m - one) << 192) / (m + one), true);
            } else {
                // Here e is at least -22.
                uint256 inverse = (1 << 214) / (m << uint256(e + 22));
                value = HALF_PI - FixedPoint.odd(inverse, true);
            }
            return FixedPoint.decide(ATAN, x, 0, x != size, value, 1 << 10, -192);
        }
    }

    /// @notice sin(|x| + quarters * pi/2), for x > 0 or quarters = 1; with the sign of x for quarters = 0.
    /// @dev Reduction. |x| = m * 2^e is a fraction of a turn, m * frac(2^e / 2pi) without its whole part; 256 bits
    /// of the second factor, rounded down, give it within 2^24 units of 2^-256, and the place in its quadrant
    /// within 2^26. No float32 but zero is closer to a multiple of pi/2 than 16367173 * 2^72, by 2^-29.2 (by the
    /// convergents of 2^e * 2/pi, for all e; Muller, *Elementary Functions*, 11.2), so nothing is lost around whole
    /// turns.
    ///
    /// Evaluation. Beyond the middle of the quadrant sin r = cos(pi/2 - r), so an angle of at most pi/4 is left,
    /// off by less than 2 units of 2^-192. In the series a term is short of at most 0.62 / 2 times what the one
    /// before was, and 2 more for the square's error and its own: of less than 3, and there are fewer than 48 of
    /// them. So it is below 2^8 in sum, and as a sine is at least 2^-30, relatively below 2^-154.
    function _sine(uint256 op, uint32 x, uint256 quarters) private pure returns (uint32) {
        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        if (op == COS) negative = false;
        unchecked {
            uint256 turns = e <= 0
                ? TURN_HIGH >> uint256(-e)
                : (TURN_HIGH << uint256(e)) | (TURN_LOW >> uint256(256 - e));
            turns *= m;
            quarters += turns >> 254;
            if (quarters & 2 != 0) negative = !negative;

            uint256 place = turns << 2;
            bool isCosine = quarters & 1 != 0;
            if (place >> 255 != 0) {
                place = 0 - place;
                isCosine = !isCosine;
            }
            uint256 angle = _high(place, HALF_PI);

            uint256 square = FixedPoint.mul(angle, angle);
            uint256 term = isCosine ? FixedPoint.ONE : angle;
            uint256 plus;
            uint256 minus;
            for (uint256 n = isCosine ? 1 : 2; term != 0; n += 4) {
                plus += term;
                term = FixedPoint.mul(term, square) / (n * (n + 1));
                minus += term;
                term = FixedPoint.mul(term, square) / ((n + 2) * (n + 3));
            }
            return FixedPoint.decide(op, x, 0, negative, plus - minus, 1 << 8, -192);
        }
    }

    /// @dev a * b / 2^256, rounded down.
    function _high(uint256 a, uint256 b) private pure returns (uint256 high) {
        assembly ("memory-safe") {
            let low := mul(a, b)
            high := mulmod(a, b, not(0))
            high := sub(sub(high, low), lt(high, low))
        }
    }
}
