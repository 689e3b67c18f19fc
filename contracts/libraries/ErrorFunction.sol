// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev ERF: relatively within 2^-130. The operand is canonical.
library ErrorFunction {
    uint256 private constant ERF = 0x0304;
    /// @dev 2 / sqrt(pi), less than a unit below.
    uint256 private constant FACTOR = 0x120dd750429b6d11ae3a914fed7fd8688281341d7587cea2e;

    function erf(uint32 x) internal pure returns (uint32) {
        if (Float32.isNaN(x)) return Float32.NAN;
        uint32 size = x & ~Float32.SIGN;
        // |x| >= 4: erfc 4 < 2^-25.
        if (size >= 0x40800000) return Float32.ONE | (x & Float32.SIGN);
        if (size == 0) return 0;

        (, uint256 m, int256 e) = Rounding.decode(size);
        (uint256 value, uint256 error) = _series(m, e);
        unchecked {
            // FACTOR < 2 misses less than a unit, times a value of at most 1, and the product one more.
            value = m * FixedPoint.mul(value, FACTOR);
            error = m * (2 * error + 2);
            return FixedPoint.decide(ERF, x, 0, x != size, value, error, e - 192);
        }
    }

    /// @notice erf x = 2 / sqrt(pi) * x * (1 - t/3 + t^2/(2!*5) - t^3/(3!*7) + ...) with t = x^2 < 16 (Abramowitz
    /// and Stegun, 7.1.5): the bracket, which is between 0.22 and 1.
    /// @dev t is short of less than a unit. a(i), which stands for t^i / i!, misses less than (a(i - 1) + t * its
    /// own miss) / i + 2 units. What is missed at one step has grown by less than e^t by the end, and all a(i) are
    /// below e^t; so all that is missed is below (number of terms) * (e^t + 3) * e^t, the second part of which is
    /// below 2^5 for t <= 1 and below 2^49 for e^16 < 2^24. What is left out is less than that of one term more:
    /// from the first that vanishes on they fall at least by half, as for 1 <= t < i < 2t none does: t^i / i! >
    /// 2^-i >= 2^-32.
    function _series(uint256 m, int256 e) private pure returns (uint256 value, uint256 error) {
        unchecked {
            int256 shift = 2 * e + 192;
            uint256 t;
            if (shift >= 0) t = (m * m) << uint256(shift);
            else t = (m * m) >> uint256(-shift);

            uint256 plus;
            uint256 minus;
            uint256 i;
            for (uint256 a = FixedPoint.ONE; a != 0; i += 2) {
                plus += a / (2 * i + 1);
                a = FixedPoint.mul(a, t) / (i + 1);
                minus += a / (2 * i + 3);
                a = FixedPoint.mul(a, t) / (i + 2);
            }
            value = plus - minus;
            error = (i + 4) << (t <= FixedPoint.ONE ? 5 : 49);
        }
    }
}
