// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "./Arithmetic.sol";
import {Exponential} from "./Exponential.sol";
import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Logarithm} from "./Logarithm.sol";
import {Rounding} from "./Rounding.sol";

/// @dev POW: relatively within 2^-145, and exact where it is dyadic. Operands are canonical.
library Power {
    uint256 private constant POW = 0x0904;

    /// @notice x^y; infinities, NaN and zero as C's pow has them, but that there is one zero.
    function pow(uint32 x, uint32 y) internal pure returns (uint32 bits) {
        if (y == 0 || x == Float32.ONE) return Float32.ONE;
        if (Float32.isNaN(x) || Float32.isNaN(y)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        bool isRising = y & Float32.SIGN == 0;
        if (Float32.isInfinite(y)) {
            if (size == Float32.ONE) return Float32.ONE;
            return size > Float32.ONE == isRising ? Float32.INFINITY : 0;
        }

        (uint256 n, int256 f) = _odd(y);
        if (x != size && size != Float32.INFINITY && f < 0) return Float32.NAN;
        if (size == 0 || size == Float32.INFINITY) {
            bits = (size == 0) == isRising ? 0 : Float32.INFINITY;
        } else if (size == Float32.ONE) {
            bits = Float32.ONE;
        } else {
            bits = _power(x, y, n, f);
        }
        // An odd whole number keeps the sign.
        if (f == 0 && bits != 0) bits |= x & Float32.SIGN;
    }

    /// @notice |x|^(+-n * 2^f), the sign that of y; |x| is none of 0, 1 and infinity.
    function _power(uint32 x, uint32 y, uint256 n, int256 f) private pure returns (uint32) {
        (uint256 m, int256 e) = _odd(x);
        (bool isDyadic, uint256 significand, int256 scale) =
            _dyadic(m, e, y & Float32.SIGN != 0, n, f);
        if (isDyadic) return Rounding.round(false, significand, scale);

        (uint256 size, uint256 error) = _exponent(Logarithm.natural(m, e), n, f);
        // |x| and y on the same side, of 1 and of 0.
        bool isAboveOne = x & ~Float32.SIGN > Float32.ONE == (y & Float32.SIGN == 0);
        unchecked {
            int256 exponent = isAboveOne ? int256(size) : -int256(size);
            (significand, error, scale) = Exponential.power(exponent, error);
            return FixedPoint.decide(POW, x, y, false, significand, error, scale - 192);
        }
    }

    /// @notice |logarithm| * n * 2^f and how far it may be off, in units of 2^-192; at most 2^7, for the power is
    /// beyond 2^184 or below 2^-184 then.
    /// @dev The logarithm is within 2^11 units and at least 2^-25 in size. Where the product is below 2^7, n * 2^f
    /// is below 2^32; so it is within 2^43 + 2 units.
    function _exponent(int256 logarithm, uint256 n, int256 f)
        private
        pure
        returns (uint256 size, uint256 error)
    {
        unchecked {
            // Below 2^199 * 2^24.
            size = uint256(logarithm < 0 ? -logarithm : logarithm) * n;
            if (int256(Rounding.bitLength(size)) + f > 199) return (1 << 199, 0);
            error = Logarithm.ERROR * n;
            if (f >= 0) return (size << uint256(f), error << uint256(f));
            return (size >> uint256(-f), (error >> uint256(-f)) + 2);
        }
    }

    /// @notice (m * 2^e)^(+-n * 2^f) as a significand and an exponent, if it is dyadic and short enough to be a
    /// float32 or halfway between two; m and n are odd.
    /// @dev A root of a dyadic number is dyadic where m and 2^e are such powers, an inverse where m = 1. At most 9
    /// roots: after that, the root of m is 1 or e is odd.
    function _dyadic(uint256 m, int256 e, bool isInverse, uint256 n, int256 f)
        private
        pure
        returns (bool isDyadic, uint256 significand, int256 exponent)
    {
        unchecked {
            for (; f < 0; ++f) {
                uint256 root = Arithmetic.squareRoot(m);
                if (root * root != m || e & 1 != 0) return (false, 0, 0);
                (m, e) = (root, e / 2);
            }
            n <<= uint256(f);
            if (m == 1) return (true, 1, isInverse ? -e * int256(n) : e * int256(n));
            // The power is odd; of 26 bits or more it is neither.
            if (isInverse || n * (Rounding.bitLength(m) - 1) > 25) return (false, 0, 0);
            return (true, m ** n, e * int256(n));
        }
    }

    /// @dev |x| = m * 2^e with odd m, of a finite number but zero.
    function _odd(uint32 x) private pure returns (uint256 m, int256 e) {
        (, m, e) = Rounding.decode(x);
        unchecked {
            uint256 twos = Rounding.bitLength(m & (0 - m)) - 1;
            return (m >> twos, e + int256(twos));
        }
    }
}
