// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Rounding} from "../libraries/Rounding.sol";

/// @dev `Arithmetic` and `Rounding.round` in less gas, for words that hold canonical float32. Where an operand or the
/// result is not normal, they decide.
///
/// The *field* of a float is its exponent's, bits 23 to 30. A float whose field e is 1 to 254 is normal: its size is
/// m * 2^(e - 150), and its significand m, 2^23 <= m < 2^24, is its low 23 bits and 2^23.
///
/// A result is put together as (field - 1) * 2^23 + significand: the significand's leading bit adds one to the field,
/// and so does a carry out of the rounding, which leaves a power of two. The sign takes part in such sums as bit 31;
/// what goes beyond is cut off.
///
/// To round to nearest, ties to even, is to add half a place less one, and one more where the place is odd, and to cut
/// off what is below.
library Quick {
    uint256 private constant SIGN = 0x80000000;

    /// @notice x + y.
    /// @dev Let |x| >= |y|, x's field be e, of 27 to 253, and y's be e - d. In units of 2^-26 of x's last place, x is
    /// X = x * 2^26 as a float, with a fraction below bit 49, and y's size is N = n * 2^26 / 2^d: exactly for d <= 26.
    /// For d >= 27 it is less than 2^23 and N is too, rounded down as it may be, or with an n that is not a subnormal
    /// number's. Half a place is 2^25, and a quarter 2^24: so x is the result, and comes out below.
    ///
    /// If X + N or X - N has x's field, it only needs to be rounded. If not:
    ///
    /// - In a sum the field is e + 1. What there is beyond the least number of that field is counted in places of x,
    ///   and so twice. It is even: N is, as d <= 25 where a sum gets so far.
    /// - In a difference the fraction t is all that is left of the significand. If t >= 2^48 then the field is e - 1,
    ///   and what is missing to the power of two above, 2^49 - t, counts double in places of that. Else much has
    ///   cancelled: so d <= 1, and t is 0 or a multiple of 2^25. Shifted up by 1 to 23 it is at least 2^48, and the
    ///   field falls by as much.
    ///
    /// So the field of a result that is not 0 is at least 27 - 24; and the result is at most twice the largest float of
    /// field 253, which is a float.
    function add(uint256 x, uint256 y) internal pure returns (uint256 z) {
        uint256 isUsual;
        assembly ("memory-safe") {
            if lt(shl(225, x), shl(225, y)) {
                let larger := y
                y := x
                x := larger
            }
            let field := and(x, 0x7f800000)
            // 27 to 253.
            isUsual := lt(sub(field, 0xd800000), 0x71800000)
            let d := shr(23, sub(field, and(y, 0x7f800000)))
            let n := shr(d, shl(26, or(and(y, 0x7fffff), 0x800000)))
            let shifted := shl(26, x)
            z := add(shifted, n)
            let isDifference := shr(31, xor(x, y))
            if isDifference { z := sub(shifted, n) }
            if shr(49, xor(shifted, z)) {
                switch isDifference
                case 0 {
                    // Half of what z has more than x with a fraction of ones, and one.
                    z := sub(z, shr(1, add(z, not(or(shifted, 0x1ffffffffffff)))))
                }
                default {
                    let t := and(z, 0x1ffffffffffff)
                    // Where less is left, the field falls by what it takes to make that 2^48.
                    if iszero(shr(48, t)) {
                        z := sub(z, t)
                        let up := shl(4, lt(t, 0x200000000))
                        t := shl(up, t)
                        let more := shl(3, lt(t, 0x20000000000))
                        t := shl(more, t)
                        up := add(up, more)
                        more := shl(2, lt(t, 0x200000000000))
                        t := shl(more, t)
                        up := add(up, more)
                        more := shl(1, lt(t, 0x800000000000))
                        t := shl(more, t)
                        up := add(up, more)
                        more := lt(t, 0x1000000000000)
                        t := shl(more, t)
                        z := add(sub(z, shl(49, add(up, more))), t)
                        // Nothing is left.
                        if iszero(t) { z := 0x2000000000000 }
                    }
                    z := sub(z, sub(0x2000000000000, t))
                }
            }
            z := shr(26, add(add(z, 0x1ffffff), and(shr(26, z), 1)))
        }
        if (isUsual == 0) z = _add(x, y);
    }

    /// @notice x - y.
    /// @dev -0 is no float of ours, but `add` and `Arithmetic.add` take it as y: nothing is added or taken off. And a
    /// NaN may have a sign there.
    function sub(uint256 x, uint256 y) internal pure returns (uint256) {
        return add(x, y ^ SIGN);
    }

    /// @notice x * y.
    /// @dev Let p be the product of the significands m and n, 2^46 <= p < 2^48, and c = 1 where p >= 2^47, else 0. The
    /// result's field is e + f - 127 + c, and its significand is p / 2^(23 + c) rounded. So in units of 2^-24 of its
    /// last place the result is (e + f - 127) * 2^47 + p', with p' = p where c, else 2p - 2^47: that is
    /// p + min(p - 2^47, 0). And x + y - m - n is (e + f - 2) * 2^23 and the signs' sum.
    ///
    /// Fields of 80 to 143, which are told at once, give one of 33 to 161, and others are looked at by `_mul`.
    function mul(uint256 x, uint256 y) internal pure returns (uint256 z) {
        uint256 isUnusual;
        assembly ("memory-safe") {
            let m := or(and(x, 0x7fffff), 0x800000)
            let n := or(and(y, 0x7fffff), 0x800000)
            z := shl(24, sub(add(x, y), add(m, n)))
            m := mul(m, n)
            n := sub(m, 0x800000000000)
            m := add(m, and(n, sar(255, n)))
            // (127 - 2) * 2^47, less half a place less one.
            z := add(sub(add(z, m), 0x3e7fffff800001), and(shr(24, m), 1))
            z := and(shr(24, z), 0xffffffff)
            // A field that is not 80 to 143.
            isUnusual := and(or(add(x, 0x58000000), add(y, 0x58000000)), 0x60000000)
        }
        if (isUnusual != 0) z = _mul(x, y, z);
    }

    /// @notice x / y; x / 0 has the sign of x.
    /// @dev With c = 1 where m < n, else 0, the quotient q = m * 2^(24 + c) / n is at least 2^24 and less than 2^25: a
    /// significand and one bit. It is never halfway between two significands: q would be odd then, of 25 bits, and
    /// q * n = m * 2^(24 + c) has an odd factor of at most 24. So the quotient rounded down says which is nearest. The
    /// field is e - f + 127 - c, and x - y - (m - n) is (e - f) * 2^23 and the signs' difference.
    ///
    /// Fields of 80 to 143, which are told at once, give one of 63 to 191, and others are looked at by `_div`.
    function div(uint256 x, uint256 y) internal pure returns (uint256 z) {
        uint256 isUnusual;
        assembly ("memory-safe") {
            let m := or(and(x, 0x7fffff), 0x800000)
            let n := or(and(y, 0x7fffff), 0x800000)
            let c := lt(m, n)
            z := add(sub(sub(x, y), sub(m, n)), shl(23, sub(126, c)))
            z := and(add(z, shr(1, add(div(shl(add(24, c), m), n), 1))), 0xffffffff)
            // A field that is not 80 to 143.
            isUnusual := and(or(add(x, 0x58000000), add(y, 0x58000000)), 0x60000000)
        }
        if (isUnusual != 0) z = _div(x, y, z);
    }

    /// @notice The square root; NaN of a negative number.
    /// @dev With k = 25 or 26, so that e - 150 - k is even, v = m * 2^k is at least 2^48 and less than 2^50, and its
    /// root, at least 2^24 and less than 2^25, is a significand and one bit. It is never halfway: the square of an odd
    /// number of 25 bits is odd, and v has an odd factor of at most 24.
    ///
    /// Newton's iteration begins with 3/2 * 2^24, which is off by at most 1/2 of the root. The relative error e becomes
    /// e^2 / (2 + 2e): 1/12, less than 1/312, 2^-17, 2^-35. A step never falls short of the root rounded down, so after
    /// four that is what there is, or one more.
    function sqrt(uint256 x) internal pure returns (uint256 z) {
        uint256 isUsual;
        assembly ("memory-safe") {
            let e := shr(23, x)
            let k := sub(26, and(e, 1))
            let v := shl(k, or(and(x, 0x7fffff), 0x800000))
            let root := add(div(v, 0x3000000), 0xc00000)
            root := shr(1, add(root, div(v, root)))
            root := shr(1, add(root, div(v, root)))
            root := shr(1, add(root, div(v, root)))
            root := sub(root, gt(mul(root, root), v))
            // The field less one: (e - 150 - k) / 2 + 1 + 150 - 1.
            z := add(shl(23, shr(1, sub(add(e, 150), k))), shr(1, add(root, 1)))
            // Normal and positive.
            isUsual := lt(sub(x, 0x800000), 0x7f000000)
        }
        if (isUsual == 0) z = Arithmetic.sqrt(uint32(x));
    }

    /// @notice sum * 2^exponent, rounded once.
    /// @param sum Above -2^255.
    /// @param exponent -2^250 to 2^250.
    function round(int256 sum, int256 exponent) internal pure returns (uint256 z) {
        uint256 isUsual;
        assembly ("memory-safe") {
            let sign := sar(255, sum)
            let m := sub(xor(sum, sign), sign)
            // The number of the leading bit, as `Rounding.bitLength` finds it: the last four bits are looked up.
            let at := shl(7, gt(m, 0xffffffffffffffffffffffffffffffff))
            at := or(at, shl(6, gt(shr(at, m), 0xffffffffffffffff)))
            at := or(at, shl(5, gt(shr(at, m), 0xffffffff)))
            at := or(at, shl(4, gt(shr(at, m), 0xffff)))
            at := or(at, shl(3, gt(shr(at, m), 0xff)))
            at := or(at, shl(2, gt(shr(at, m), 0xf)))
            at := or(
                at,
                byte(shr(at, m), 0x0000010102020202030303030303030300000000000000000000000000000000)
            )
            // The field less one.
            let field := add(add(exponent, at), 126)
            isUsual := mul(lt(field, 253), m)
            // The leading bit becomes bit 254, so that no carry is lost.
            m := shl(sub(254, at), m)
            m := shr(231, add(add(m, sub(shl(230, 1), 1)), and(shr(231, m), 1)))
            z := or(and(sign, 0x80000000), add(shl(23, field), m))
        }
        if (isUsual == 0) z = _round(sum, exponent);
    }

    function _add(uint256 x, uint256 y) private pure returns (uint256) {
        // Of x = 0 and what may be a zero with a sign.
        if (x << 225 == 0) return 0;
        return Arithmetic.add(uint32(x), uint32(y));
    }

    /// @param z The result, if that and the operands are normal.
    function _mul(uint256 x, uint256 y, uint256 z) private pure returns (uint256) {
        uint256 isNormal;
        uint256 isZero;
        assembly ("memory-safe") {
            let e := and(x, 0x7f800000)
            let f := and(y, 0x7f800000)
            isZero := and(iszero(mul(x, y)), lt(or(e, f), 0x7f800000))
            // Fields of 1 to 254, with a sum of 128 to 379: the result's is 1 to 253, or one more by a carry.
            isNormal := and(lt(sub(e, 1), 0x7f000000), lt(sub(f, 1), 0x7f000000))
            isNormal := and(isNormal, lt(sub(add(e, f), 0x40000000), 0x7e000000))
        }
        if (isNormal != 0) return z;
        if (isZero != 0) return 0;
        return Arithmetic.mul(uint32(x), uint32(y));
    }

    /// @param z As in `_mul`.
    function _div(uint256 x, uint256 y, uint256 z) private pure returns (uint256) {
        uint256 isNormal;
        uint256 isZero;
        assembly ("memory-safe") {
            let e := and(x, 0x7f800000)
            let f := and(y, 0x7f800000)
            let isOrdinary := lt(sub(f, 1), 0x7f000000)
            isZero := and(iszero(x), isOrdinary)
            // Fields of 1 to 254, with a difference of -125 to 126: the result's is 1 to 253, or one more by a carry.
            isNormal := and(lt(sub(e, 1), 0x7f000000), isOrdinary)
            isNormal := and(isNormal, lt(add(sub(e, f), 0x3e800000), 0x7e000000))
        }
        if (isNormal != 0) return z;
        if (isZero != 0) return 0;
        return Arithmetic.div(uint32(x), uint32(y));
    }

    function _round(int256 sum, int256 exponent) private pure returns (uint256) {
        if (sum == 0) return 0;
        unchecked {
            return Rounding.round(sum < 0, uint256(sum < 0 ? -sum : sum), exponent);
        }
    }
}
