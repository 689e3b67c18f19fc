// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ErrorFunction} from "../libraries/ErrorFunction.sol";
import {Exponential} from "../libraries/Exponential.sol";
import {Logarithm} from "../libraries/Logarithm.sol";
import {Rounding} from "../libraries/Rounding.sol";

/// @dev `Exponential`, `Logarithm` and `ErrorFunction` in less gas, for words that hold canonical float32. A value is
/// computed in units of 2^-120 with a bound on what it is off by. Where that leaves open to which float it rounds, for
/// about one argument in 2^29 or less, and where argument or result are not usual, the plain libraries decide.
///
/// The *field* of a float is its exponent's, bits 23 to 30; its significand m has 24 bits. Constants are written as
/// what they are rounded down from, where that can be: the compiler does the division. Bounds are in units if nothing
/// else is said.
library QuickFunctions {
    /// @dev 2^120.
    uint256 private constant ONE = 0x1000000000000000000000000000000;
    /// @dev The first 120 bits of `FixedPoint.LN2`: less than a unit below.
    uint256 private constant LN2 = 0xb17217f7d1cf79abc9e3b39803f2f6;
    /// @dev The first 113 bits of 2 / sqrt(pi), as in `ErrorFunction`: less than 2^-112 below.
    uint256 private constant FACTOR = 0x120dd750429b6d11ae3a914fed7fd;
    /// @dev Half of a float's last place where the value's leading bit is bit 120.
    uint256 private constant HALF = 0x1000000000000000000000000;

    /// @dev Of what `_power` gives.
    uint256 private constant RADIUS = 1 << 51;

    /// @dev Usual is 2^-26 < |x| < 87: e^-87 is normal, and the plain library knows 1 without computing.
    function exp(uint256 x) internal pure returns (uint256 z) {
        uint256 size = x & 0x7fffffff;
        z = 1 << 32;
        unchecked {
            if (size - 0x32800001 < 0x42ae0000 - 0x32800001) {
                (uint256 v, uint256 scale) = _power(size, 0, x >> 31);
                z = _rounded(v, scale, RADIUS);
            }
        }
        if (z >> 32 != 0) z = Exponential.exp(uint32(x));
    }

    /// @notice 1 / (1 + E) for x > 0 and E / (1 + E) for x < 0, with E = e^-|x|.
    /// @dev Usual is 2^-25 < x < 18 or -87 < x < -2^-25, as for `exp`: e^-87 / (1 + e^-87) is normal too.
    ///
    /// With R = `RADIUS`, E is relatively within R * 2^-120, and 1 + E within R / 2 + 1, for E < 1. So the quotient is
    /// relatively within (3/2 R + 1) * 2^-120, and as it is below 2^121 and rounded down within 3 R + 3.
    function sigmoid(uint256 x) internal pure returns (uint256 z) {
        uint256 size = x & 0x7fffffff;
        z = 1 << 32;
        unchecked {
            if (size - 0x33000001 < (x == size ? 0x41900000 : 0x42ae0000) - 0x33000001) {
                (uint256 v, uint256 scale) = _power(size, 0, 1);
                uint256 sum;
                assembly ("memory-safe") {
                    sum := add(ONE, shr(sub(0, scale), v))
                    if eq(x, size) {
                        v := ONE
                        scale := 0
                    }
                }
                z = _quotient(v, sum, scale, 4 * RADIUS);
            }
        }
        if (z >> 32 != 0) z = Exponential.sigmoid(uint32(x));
    }

    /// @notice (1 - E) / (1 + E) with E = e^-2|x|, and the sign of x.
    /// @dev Usual is 2^-13 < |x| < 10: beyond, the plain library knows the result without computing.
    ///
    /// With f the field of x where |x| < 1, else 126, and k = 127 - f, the quotient is above 0.76 * 2^-k, as tanh 1
    /// is, and below 2 * 2^-k: for tanh x < x, by relatively 2^-28 at least, and for tanh 10 < 1 - 2^-29. Both of its
    /// terms are within R / 2 + 1, for E < 1. Relative to 0.76 * 2^(120 - k) and to 2^120 that is (R / 2 + 1) * (1.32
    /// * 2^k + 1) * 2^-120 together; so, as above, the quotient is within (R + 2) * (1.32 * 2^k + 1) + 1 < 4 R * 2^k.
    function tanh(uint256 x) internal pure returns (uint256 z) {
        uint256 size = x & 0x7fffffff;
        z = 1 << 32;
        unchecked {
            if (size - 0x39000001 < 0x41200000 - 0x39000001) {
                (uint256 v, uint256 scale) = _power(size, 1, 1);
                uint256 sum;
                uint256 radius;
                assembly ("memory-safe") {
                    v := shr(sub(0, scale), v)
                    sum := add(ONE, v)
                    let k := 1
                    if lt(size, 0x3f000000) { k := sub(127, shr(23, size)) }
                    v := shl(k, sub(ONE, v))
                    scale := sub(0, k)
                    radius := shl(add(53, k), 1)
                }
                z = _quotient(v, sum, scale, radius) | (x ^ size);
            }
        }
        if (z >> 32 != 0) z = Exponential.tanh(uint32(x));
    }

    /// @dev Usual is a normal, positive x, and not 1. It is y * 2^k with y between the roots of 1/2 and 2, and its
    /// logarithm k * ln 2 + 2 * artanh s with s = (y - 1) / (y + 1), so |s| < 0.1716. That is 2 * s times the sum of
    /// w^i / (2i + 1) with w = s^2 < 2^-5.08.
    ///
    /// s is off by less than 1 and w by less than 2. Of 12 terms each step misses less than 2, and all together less
    /// than 3; what they leave out is less than w^12 / 25 / (1 - w) < 2^-65.6. So 2 * artanh s is relatively within
    /// 2^-65.6, and another 4 units.
    ///
    /// For k = 0 that is all, and the logarithm of size 2^-24 at least, so it is relatively within 2^-65.5. Else 2 *
    /// artanh s is less than 0.35, and so within 2^53, k * ln 2 within 128, and the logarithm is of size 0.34 at
    /// least: shifted so that its leading bit is bit 120, it is within 2^55 as it is by 2 up at most. In both cases
    /// it is within 2^56 with the unit that shifting may cost.
    function log(uint256 x) internal pure returns (uint256 z) {
        unchecked {
            z = 1 << 32;
            if (x - 0x800000 < 0x7f000000 && x != 0x3f800000) {
                uint256 v;
                uint256 sign;
                assembly ("memory-safe") {
                    let m := or(and(x, 0x7fffff), 0x800000)
                    // sqrt(2) * 2^23, rounded down.
                    let isAbove := gt(m, 0xb504f3)
                    let one := shl(isAbove, 0x800000)
                    let s := sdiv(shl(120, sub(m, one)), add(m, one))
                    let w := shr(120, mul(s, s))
                    v := div(ONE, 23)
                    v := add(shr(120, mul(v, w)), div(ONE, 21))
                    v := add(shr(120, mul(v, w)), div(ONE, 19))
                    v := add(shr(120, mul(v, w)), div(ONE, 17))
                    v := add(shr(120, mul(v, w)), div(ONE, 15))
                    v := add(shr(120, mul(v, w)), div(ONE, 13))
                    v := add(shr(120, mul(v, w)), div(ONE, 11))
                    v := add(shr(120, mul(v, w)), div(ONE, 9))
                    v := add(shr(120, mul(v, w)), div(ONE, 7))
                    v := add(shr(120, mul(v, w)), div(ONE, 5))
                    v := add(shr(120, mul(v, w)), div(ONE, 3))
                    v := add(shr(120, mul(v, w)), ONE)
                    let k := sub(add(shr(23, x), isAbove), 127)
                    v := add(mul(k, LN2), sar(119, mul(v, s)))
                    sign := sar(255, v)
                    v := sub(xor(v, sign), sign)
                }
                uint256 length = Rounding.bitLength(v);
                assembly ("memory-safe") {
                    v := shr(7, shl(sub(128, length), v))
                }
                z = _rounded(v, length - 121, 1 << 56) | (sign & 0x80000000);
            }
        }
        if (z >> 32 != 0) z = Logarithm.log(uint32(x));
    }

    /// @notice 2 / sqrt(pi) * x * (1 - t/3 + t^2/(2! * 5) - t^3/(3! * 7) + ...) with t = x^2, as in `ErrorFunction`.
    /// @dev Usual is a normal x of a size below 4. Units are of 2^-112 here: a(i), which stands for t^i / i!, is below
    /// e^16 < 2^24, so that a(i) * t < 2^252.
    ///
    /// As is shown there, all that is missed on the way is less than (number of terms) * (e^t + 3) * e^t; here this
    /// is less than 98 * 2^46.2 < 2^53, for from i = 96 on t^i / i! < (16 e / i)^i < 2^-100. What is left out is less
    /// than its first term, 2^53: a(i) < 2^-59 only where i > t, and from there on terms fall. So the bracket is
    /// within 2^54, and with FACTOR < 1.13 the product is within 1.13 * 2^54 + 2.
    ///
    /// Times m < 2^24 that is erf x * 2^(262 - f), for a field f of x of 128 at most. Its leading bit is one of bits
    /// 133 to 136: for x < 1, erf x is at least x and so 2^(f - 127), and it is below 2^(f - 125); for x >= 1 it is
    /// between 1/2 and 1. Shifted down by 13 at least, the product is within 1.14 * 2^65 + 1 < 2^66.
    function erf(uint256 x) internal pure returns (uint256 z) {
        uint256 size = x & 0x7fffffff;
        z = 1 << 32;
        unchecked {
            if (size - 0x800000 < 0x40800000 - 0x800000) {
                uint256 v;
                uint256 scale;
                assembly ("memory-safe") {
                    let m := or(and(x, 0x7fffff), 0x800000)
                    scale := shr(23, size)
                    // m^2 * 2^(2 * (field - 150) + 112), rounded down.
                    let t := shr(sub(256, shl(1, scale)), shl(68, mul(m, m)))
                    let a := 0x10000000000000000000000000000
                    for { let i := 1 } gt(a, 0x20000000000000) { i := add(i, 4) } {
                        v := add(v, div(a, i))
                        a := div(shr(112, mul(a, t)), shr(1, add(i, 1)))
                        v := sub(v, div(a, add(i, 2)))
                        a := div(shr(112, mul(a, t)), shr(1, add(i, 3)))
                    }
                    v := mul(m, shr(112, mul(v, FACTOR)))
                    let up := add(gt(shr(134, v), 0), add(gt(shr(135, v), 0), gt(shr(136, v), 0)))
                    v := shr(add(13, up), v)
                    scale := add(scale, sub(up, 129))
                }
                z = _rounded(v, scale, 1 << 66) | (x ^ size);
            }
        }
        if (z >> 32 != 0) z = ErrorFunction.erf(uint32(x));
    }

    /// @notice e^(|x| * 2^doublings), or with `isMinus` e^-(|x| * 2^doublings), is v * 2^(scale - 120) within `RADIUS`
    /// units of v, which is at least 2^120 and less than 2^121.
    /// @dev The exponent is scale * ln 2 + r, 0 <= r <= `LN2`. Its size is exact, as fields are at least 101, and
    /// below 87; so |scale| <= 126, and r is off by at most 126 for what `LN2` is short of, and by less than 64 for
    /// what s, r / 64 rounded down, is. That is relatively less than 2^8 * 2^-120.
    ///
    /// The series of e^s, of nine terms, leaves out less than s^9 / 9! * (1 + 2^-9) < 2^-77 for s <= ln 2 / 64, and
    /// misses less than 3 units on the way. Squared six times that is 64 times as much relatively, and a unit more
    /// each time becomes less than 64. So v is relatively within 2^-71 + 2^9 * 2^-120, below 2^121, and within 2^50 +
    /// 2^10.
    ///
    /// v is not below 2^120, for the first term is that; nor is it 2^121, for all is rounded down and `LN2` < ln 2.
    function _power(uint256 size, uint256 doublings, uint256 isMinus)
        private
        pure
        returns (uint256 v, uint256 scale)
    {
        assembly ("memory-safe") {
            let r := or(and(size, 0x7fffff), 0x800000)
            r := shl(add(sub(shr(23, size), 30), doublings), r)
            scale := div(r, LN2)
            r := sub(r, mul(scale, LN2))
            if isMinus {
                r := sub(LN2, r)
                scale := not(scale)
            }
            let s := shr(6, r)
            v := div(ONE, 40320)
            v := add(shr(120, mul(v, s)), div(ONE, 5040))
            v := add(shr(120, mul(v, s)), div(ONE, 720))
            v := add(shr(120, mul(v, s)), div(ONE, 120))
            v := add(shr(120, mul(v, s)), div(ONE, 24))
            v := add(shr(120, mul(v, s)), div(ONE, 6))
            v := add(shr(120, mul(v, s)), div(ONE, 2))
            v := add(shr(120, mul(v, s)), ONE)
            v := add(shr(120, mul(v, s)), ONE)
            v := shr(120, mul(v, v))
            v := shr(120, mul(v, v))
            v := shr(120, mul(v, v))
            v := shr(120, mul(v, v))
            v := shr(120, mul(v, v))
            v := shr(120, mul(v, v))
        }
    }

    /// @notice v / divisor * 2^scale as `_rounded` gives it; between 1/2 and 2 times 2^scale.
    function _quotient(uint256 v, uint256 divisor, uint256 scale, uint256 radius)
        private
        pure
        returns (uint256)
    {
        assembly ("memory-safe") {
            let isBelow := lt(v, divisor)
            v := div(shl(add(120, isBelow), v), divisor)
            scale := sub(scale, isBelow)
        }
        return _rounded(v, scale, radius);
    }

    /// @notice What all numbers within less than `radius` of v round to, times 2^(scale - 120): a normal float; at
    /// least 2^32 if they do not all round alike.
    /// @dev v is at least 2^120 and less than 2^121: a significand and 97 bits. Rounding changes where these are
    /// `HALF`, so it is open where they are within the radius of that. Next to a power of two nothing changes: what
    /// is a little below rounds up to it, by a carry, and what is a little above down to it.
    function _rounded(uint256 v, uint256 scale, uint256 radius) private pure returns (uint256 z) {
        assembly ("memory-safe") {
            let isOpen := lt(and(add(sub(v, HALF), radius), sub(shl(97, 1), 1)), shl(1, radius))
            z := add(shl(23, add(scale, 126)), shr(97, add(v, HALF)))
            z := or(z, shl(32, isOpen))
        }
    }
}
