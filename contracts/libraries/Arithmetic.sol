// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev Families 02 and 08 of the law on float32: `oracle/exact/ops/elementwise.py` in Solidity. Operands are
/// canonical.
library Arithmetic {
    /// @dev An integer above all finite float32, for infinities where integers are wanted.
    int256 private constant BEYOND = 1 << 128;

    function add(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        if (Float32.isInfinite(x)) {
            return Float32.isInfinite(y) && x != y ? Float32.NAN : x;
        }
        if (Float32.isInfinite(y)) return y;

        (bool negativeX, uint256 m, int256 e) = Rounding.decode(x);
        (bool negativeY, uint256 n, int256 f) = Rounding.decode(y);
        unchecked {
            if (e < f) (negativeX, m, e, negativeY, n, f) = (negativeY, n, f, negativeX, m, e);
            uint256 shift = uint256(e - f);
            if (shift > 200) {
                // m has 24 bits, for e > -149; y is less than 2^-176 of its last place and only says on which side
                // of x.
                shift = 64;
                f = e - 64;
                if (n != 0) n = 1;
            }
            m <<= shift;
            if (negativeX == negativeY) return Rounding.round(negativeX, m + n, f);
            return m < n ? Rounding.round(negativeY, n - m, f) : Rounding.round(negativeX, m - n, f);
        }
    }

    function sub(uint32 x, uint32 y) internal pure returns (uint32) {
        return add(x, neg(y));
    }

    function mul(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        if (Float32.isInfinite(x) || Float32.isInfinite(y)) {
            return x == 0 || y == 0 ? Float32.NAN : Float32.INFINITY | _sign(x, y);
        }
        (, uint256 m, int256 e) = Rounding.decode(x);
        (, uint256 n, int256 f) = Rounding.decode(y);
        unchecked {
            return Rounding.round(_sign(x, y) != 0, m * n, e + f);
        }
    }

    /// @dev x / 0 has the sign of x, for there is only one zero.
    function div(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        if (Float32.isInfinite(x)) {
            return Float32.isInfinite(y) ? Float32.NAN : Float32.INFINITY | _sign(x, y);
        }
        if (Float32.isInfinite(y)) return 0;
        if (y == 0) return x == 0 ? Float32.NAN : Float32.INFINITY | _sign(x, y);

        (, uint256 m, int256 e) = Rounding.decode(x);
        (, uint256 n, int256 f) = Rounding.decode(y);
        unchecked {
            // At least 2^104 where m is not 0, so the lowest bit may be sticky.
            m <<= 128;
            uint256 quotient = m / n;
            if (quotient * n != m) quotient |= 1;
            return Rounding.round(_sign(x, y) != 0, quotient, e - f - 128);
        }
    }

    /// @notice What is left of x after taking y off as often as it fits, with the sign of x: exact.
    function mod(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y) || Float32.isInfinite(x) || y == 0) {
            return Float32.NAN;
        }
        if (Float32.isInfinite(y)) return x;

        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        (, uint256 n, int256 f) = Rounding.decode(y);
        unchecked {
            if (e >= f) return Rounding.round(negative, mulmod(m, 1 << uint256(e - f), n), f);
            // From 2^24 on, y exceeds x.
            return f - e >= 24 ? x : Rounding.round(negative, m % (n << uint256(f - e)), e);
        }
    }

    function sqrt(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x) || x & Float32.SIGN != 0) return Float32.NAN;
        if (Float32.isInfinite(x) || x == 0) return x;

        (, uint256 m, int256 e) = Rounding.decode(x);
        unchecked {
            // An even exponent, and a root of at least 35 bits, so that one more may be sticky.
            uint256 shift = 70 + (uint256(e) & 1);
            m <<= shift;
            e -= int256(shift);
            uint256 root = squareRoot(m);
            return Rounding.round(false, 2 * root + (root * root == m ? 0 : 1), e / 2 - 1);
        }
    }

    /// @dev Zero and NaN have no sign to change.
    function neg(uint32 x) internal pure returns (uint32) {
        return x == 0 || Float32.isNaN(x) ? x : x ^ Float32.SIGN;
    }

    function abs(uint32 x) internal pure returns (uint32) {
        return x & ~Float32.SIGN;
    }

    /// @dev NaN if either is.
    function maximum(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        return less(x, y) ? y : x;
    }

    /// @dev NaN if either is.
    function minimum(uint32 x, uint32 y) internal pure returns (uint32) {
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        return less(y, x) ? y : x;
    }

    /// @dev False with NaN.
    function less(uint32 x, uint32 y) internal pure returns (bool) {
        return !Float32.isNaN(x) && !Float32.isNaN(y) && _ordered(x) < _ordered(y);
    }

    /// @dev False with NaN.
    function equal(uint32 x, uint32 y) internal pure returns (bool) {
        return x == y && !Float32.isNaN(x);
    }

    function fromInteger(int256 x) internal pure returns (uint32) {
        unchecked {
            return Rounding.round(x < 0, x < 0 ? uint256(-x) : uint256(x), 0);
        }
    }

    /// @notice Towards zero, then clamped; NaN is 0.
    function toInteger(uint32 x, int256 lowest, int256 highest) internal pure returns (int256 n) {
        if (Float32.isNaN(x)) return 0;
        if (Float32.isInfinite(x)) return x & Float32.SIGN != 0 ? lowest : highest;

        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        unchecked {
            n = int256(e < 0 ? m >> uint256(-e) : m << uint256(e));
            if (negative) n = -n;
        }
        if (n < lowest) return lowest;
        if (n > highest) return highest;
    }

    /// @notice To the nearest integer, ties to even; NaN is 0, the infinities are +-2^128.
    function roundToInteger(uint32 x) internal pure returns (int256 n) {
        if (Float32.isNaN(x)) return 0;
        if (Float32.isInfinite(x)) return x & Float32.SIGN != 0 ? -BEYOND : BEYOND;

        (bool negative, uint256 m, int256 e) = Rounding.decode(x);
        unchecked {
            if (e >= 0) {
                m <<= uint256(e);
            } else {
                uint256 halves = m >> uint256(-e - 1);
                bool isTie = halves << uint256(-e - 1) == m;
                m = halves >> 1;
                if (halves & 1 != 0 && (m & 1 != 0 || !isTie)) ++m;
            }
            n = negative ? -int256(m) : int256(m);
        }
    }

    /// @dev Rounded down, of 0 < x < 2^96. Newton's iteration from at most twice the root on: the relative error e
    /// becomes e^2 / (2 + 2e), which is 1, 2^-2, 2^-5, 2^-11, 2^-24, 2^-49, below 2^-98; it never falls short of
    /// the root rounded down.
    function squareRoot(uint256 x) internal pure returns (uint256 root) {
        unchecked {
            root = 1 << ((Rounding.bitLength(x) + 1) / 2);
            for (uint256 i; i < 6; ++i) {
                root = (root + x / root) / 2;
            }
            if (root * root > x) --root;
        }
    }

    /// @dev An integer in the order of the numbers; not for NaN.
    function _ordered(uint32 x) private pure returns (int256) {
        int256 magnitude = int256(uint256(x & ~Float32.SIGN));
        return x & Float32.SIGN != 0 ? -magnitude : magnitude;
    }

    /// @dev Of a product or quotient.
    function _sign(uint32 x, uint32 y) private pure returns (uint32) {
        return (x ^ y) & Float32.SIGN;
    }
}
