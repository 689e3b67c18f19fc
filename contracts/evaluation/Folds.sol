// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Elements} from "../libraries/Elements.sol";
import {ExactSum} from "../libraries/ExactSum.sol";
import {Float32} from "../libraries/Float32.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Pointwise} from "./Pointwise.sol";
import {Quick} from "./Quick.sol";
import {Words} from "./Words.sol";

/// @dev Family 04 but for TOP_K and CUM_SUM, and products of what is no constant: one number of a row. The rules are
/// those of `contracts/ops/Reduce.sol` and `contracts/ops/Linear.sol`.
library Folds {
    using ExactSum for ExactSum.Sum;

    uint256 private constant REDUCE_SUM = 0x0400;
    uint256 private constant REDUCE_MEAN = 0x0401;
    uint256 private constant REDUCE_MAX = 0x0402;
    uint256 private constant REDUCE_MIN = 0x0403;

    int256 private constant NAN_KEY = 0x7fc00000;

    /// @param type_ Of the operand, [count, k].
    /// @param isLast Of ARG_MAX: the last of equals is wanted.
    function reduce(
        uint256 op,
        uint256 row,
        TensorType type_,
        bool isLast,
        uint256 count,
        uint256 out
    ) internal pure {
        unchecked {
            uint256 k = type_.dim(1);
            uint256 free = Words.freeMemory();
            for (uint256 end = out + 32 * count; out < end; out += 32) {
                uint256 found;
                if (op <= REDUCE_MEAN) found = _sum(row, k, type_, op == REDUCE_MEAN ? k : 1);
                else if (op <= REDUCE_MIN) found = _extremum(row, k, type_, op == REDUCE_MAX);
                else found = _place(row, k, type_, isLast);
                Words.set(out, found);
                Words.release(free);
                row += 32 * k;
            }
        }
    }

    /// @notice A row of A times a row of B, and a bias.
    function dot(uint256 a, uint256 b, uint256 k, uint256 bias, TensorType type_)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 end = a + 32 * k;
            if (!type_.isFloat()) {
                for (; a < end; (a, b) = (a + 32, b + 32)) {
                    bias += Words.at(a) * Words.at(b);
                }
                return Pointwise.wrapped(bias, type_.dtype());
            }
            ExactSum.Sum memory sum = ExactSum.create();
            for (; a < end; (a, b) = (a + 32, b + 32)) {
                sum.addProduct(uint32(Words.at(a)), uint32(Words.at(b)));
            }
            sum.addTerm(uint32(bias));
            return sum.round();
        }
    }

    function _sum(uint256 row, uint256 k, TensorType type_, uint256 divisor)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 end = row + 32 * k;
            if (!type_.isFloat()) {
                uint256 total;
                for (; row < end; row += 32) {
                    total += Words.at(row);
                }
                return Pointwise.wrapped(total, type_.dtype());
            }
            (bool isNear, int256 near, uint256 least) = _near(row, end);
            if (isNear && divisor == 1) return Quick.round(near, int256(least) - 150);

            ExactSum.Sum memory sum = ExactSum.create();
            for (; row < end; row += 32) {
                sum.addTerm(uint32(Words.at(row)));
            }
            return sum.roundQuotient(divisor);
        }
    }

    /// @return isNear All are finite, and normal ones or zeros within 2^180 of each other.
    /// @return total Their sum in units of 2^(least - 150): fewer than 2^20 of 24 bits, shifted up by less than 180.
    /// @return least The least field of an exponent.
    function _near(uint256 row, uint256 end)
        private
        pure
        returns (bool isNear, int256 total, uint256 least)
    {
        assembly ("memory-safe") {
            let most := 0
            least := 254
            for { let at := row } lt(at, end) { at := add(at, 32) } {
                let bits := mload(at)
                if bits {
                    let field := and(shr(23, bits), 0xff)
                    if gt(field, most) { most := field }
                    if lt(field, least) { least := field }
                }
            }
            // Where all is zero, `least` is above `most`.
            isNear := or(
                gt(least, most),
                and(and(lt(most, 255), gt(least, 0)), lt(sub(most, least), 180))
            )
            if isNear {
                for {} lt(row, end) { row := add(row, 32) } {
                    let bits := mload(row)
                    if bits {
                        let size :=
                            shl(
                                sub(and(shr(23, bits), 0xff), least),
                                or(and(bits, 0x7fffff), 0x800000)
                            )
                        let minus := sub(0, shr(31, bits))
                        total := add(total, sub(xor(size, minus), minus))
                    }
                }
            }
        }
    }

    function _extremum(uint256 row, uint256 k, TensorType type_, bool isLargest)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 end = row + 32 * k;
            if (!type_.isFloat()) {
                (int256 low, int256 high) = Elements.limitsOf(type_);
                int256 found = isLargest ? low : high;
                for (; row < end; row += 32) {
                    int256 x = int256(Words.at(row));
                    if (isLargest ? x > found : x < found) found = x;
                }
                return uint256(found);
            }
            int256 infinity = int256(uint256(Float32.INFINITY));
            int256 best = isLargest ? -infinity : infinity;
            for (; row < end; row += 32) {
                int256 key = _key(Words.at(row));
                if (isLargest ? key > best : key < best) best = key;
                else if (key == NAN_KEY) return Float32.NAN;
            }
            return Elements.bitsOfKey(best);
        }
    }

    /// @return best The first place of the largest, or the last. NaN is above all.
    function _place(uint256 row, uint256 k, TensorType type_, bool isLast)
        private
        pure
        returns (uint256 best)
    {
        unchecked {
            bool isFloat = type_.isFloat();
            int256 largest = type(int256).min;
            for (uint256 i; i < k; ++i) {
                uint256 x = Words.at(row + 32 * i);
                int256 key = isFloat ? _key(x) : int256(x);
                if (key > largest || (isLast && key == largest)) (best, largest) = (i, key);
            }
        }
    }

    /// @return In the order of the numbers, NaN above infinity.
    function _key(uint256 bits) private pure returns (int256) {
        unchecked {
            int256 size = int256(bits & 0x7fffffff);
            return bits >> 31 == 0 ? size : -size;
        }
    }
}
