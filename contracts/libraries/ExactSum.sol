// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";
import {Rounding} from "./Rounding.sol";

/// @dev An exact sum of products of two float32, and of float32: what DOT, CONV, sums and means are made of.
///
/// A finite product is an integer of at most 48 bits times 2^(s - 298), s in 0 ... 506, and so is a number times 1.
/// The sum is
///
///     windows[0] + windows[1] * 2^128 + ... + windows[4] * 2^512, in units of 2^-298,
///
/// each window a signed integer, plus what is *near*: products whose s is one of the 64 from `base` on. Those are
/// added up in one word, positive ones in its low half and negative ones in its high half, which saves two memory
/// accesses and the choice of a window for each. In networks hardly a product is not near. Nothing is ever cut off:
///
/// - near: a product is below 2^48 * 2^63, so 2^17 of them stay below 2^128. `room` counts them, by eights; then
///   they are brought to the windows;
/// - windows: a product brings below 2^48 * 2^127, what was near below 2^128, so 2^79 of them stay below 2^255.
library ExactSum {
    struct Sum {
        uint256 near;
        uint256 base;
        uint256 room;
        uint256 seen;
        int256[5] windows;
        uint256 lastA;
        uint256 lastB;
        uint256 ones;
    }

    /// @dev Of `seen`: terms that are no numbers.
    uint256 private constant NAN = 1;
    uint256 private constant PLUS_INFINITY = 2;
    uint256 private constant MINUS_INFINITY = 4;

    uint256 private constant ROOM = 1 << 14;
    /// @dev Near at first are products from 2^-54 to 2^10 and, with the bits of their significands, a little around.
    uint256 private constant FIRST_BASE = 199;

    uint256 private constant LANES =
        0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant SIGNS = LANES << 31;
    uint256 private constant EXPONENTS = LANES * 0x7f800000;
    uint256 private constant LOWEST_EXPONENTS = LANES << 23;
    uint256 private constant ONES = LANES * 0x3f800000;
    uint256 private constant MASK = type(uint128).max;

    function create() internal pure returns (Sum memory sum) {
        sum.base = FIRST_BASE;
        sum.room = ROOM;
        sum.ones = ONES;
    }

    /// @notice Adds a[i] * b[i] for i < count.
    /// @dev Elements are big-endian, four bytes each, one after the other from any byte of memory on. Up to 31
    /// bytes after the last may be read; what they are does not matter.
    function addProducts(Sum memory sum, uint256 pointerA, uint256 pointerB, uint256 count)
        internal
        pure
    {
        _add(sum, pointerA, pointerB, 32, count);
    }

    /// @notice Adds a[i] for i < count; the elements as those of `addProducts`.
    function addTerms(Sum memory sum, uint256 pointer, uint256 count) internal pure {
        uint256 ones;
        assembly ("memory-safe") {
            ones := add(sum, 0xe0) // sum.ones
        }
        _add(sum, pointer, ones, 0, count);
    }

    function addTerm(Sum memory sum, uint32 term) internal pure {
        addProduct(sum, term, Float32.ONE);
    }

    function addProduct(Sum memory sum, uint32 x, uint32 y) internal pure {
        if ((x | Float32.SIGN) >= 0xff800000 || (y | Float32.SIGN) >= 0xff800000) {
            sum.seen |= _special(x, y);
            return;
        }
        unchecked {
            (bool negativeX, uint256 m, int256 e) = Rounding.decode(x);
            (bool negativeY, uint256 n, int256 f) = Rounding.decode(y);
            uint256 s = uint256(e + f + 298);
            int256 product = int256((m * n) << (s & 127));
            sum.windows[s >> 7] += negativeX == negativeY ? product : -product;
        }
    }

    /// @notice Adds value * 2^exponent, for |value| < 2^125 and an exponent up to 213.
    /// @dev What is added must be a multiple of 2^-298.
    function addInteger(Sum memory sum, int256 value, int256 exponent) internal pure {
        unchecked {
            int256 s = exponent + 298;
            if (s < 0) (value, s) = (value >> uint256(-s), 0);
            sum.windows[uint256(s) >> 7] += value << (uint256(s) & 127);
        }
    }

    /// @notice The sum, rounded once. More may be added after.
    function round(Sum memory sum) internal pure returns (uint32) {
        return roundQuotient(sum, 1);
    }

    /// @notice sum / divisor, rounded once; NaN if the divisor is 0, which must be below 2^127.
    function roundQuotient(Sum memory sum, uint256 divisor) internal pure returns (uint32) {
        uint256 seen = sum.seen;
        if (divisor == 0 || seen & NAN != 0 || seen == PLUS_INFINITY | MINUS_INFINITY) {
            return Float32.NAN;
        }
        if (seen != 0) {
            return seen == PLUS_INFINITY ? Float32.INFINITY : Float32.INFINITY | Float32.SIGN;
        }
        _settle(sum);
        (bool negative, uint256[5] memory digits) = _digits(sum.windows);
        unchecked {
            // Long division in base 2^128: a remainder is below 2^127, so with one more digit it fits a word.
            uint256 rest;
            for (uint256 i = 5; i > 0; --i) {
                uint256 part = (rest << 128) | digits[i - 1];
                digits[i - 1] = part / divisor;
                rest = part % divisor;
            }
            // The unit is far below the last place of any float32, 2^-149, so its bit may be sticky.
            if (rest != 0) digits[0] |= 1;
            if (digits[4] | digits[3] == 0) {
                return Rounding.roundWide(negative, digits[2], (digits[1] << 128) | digits[0], -298);
            }
            // At least 2^86: the lowest 128 bits are sticky.
            uint256 low = (digits[2] << 128) | digits[1];
            if (digits[0] != 0) low |= 1;
            return Rounding.roundWide(negative, (digits[4] << 128) | digits[3], low, -170);
        }
    }

    /// @dev A word at a time. Whatever is not a near product of normal numbers or zero is left to `_addFar`.
    function _add(
        Sum memory sum,
        uint256 pointerA,
        uint256 pointerB,
        uint256 strideB,
        uint256 count
    ) private pure {
        unchecked {
            uint256 words = count / 8;
            uint256 rest = count % 8;
            while (words | rest != 0) {
                if (sum.room == 0) _settle(sum);
                if (words == 0) {
                    (pointerA, pointerB) = _last(sum, pointerA, pointerB, rest);
                    (words, rest) = (1, 0);
                }
                uint256 part = words < sum.room ? words : sum.room;
                sum.room -= part;
                words -= part;
                uint256 end = pointerA + 32 * part;
                while (true) {
                    (pointerA, pointerB) = _addNear(sum, pointerA, pointerB, strideB, end);
                    if (pointerA == end) break;

                    _addFar(sum, pointerA, pointerB);
                    pointerA += 32;
                    pointerB += strideB;
                }
            }
        }
    }

    /// @dev Copies of words of which only the first `count` lanes belong to the sum, with zeros for the others.
    function _last(Sum memory sum, uint256 pointerA, uint256 pointerB, uint256 count)
        private
        pure
        returns (uint256 copyA, uint256 copyB)
    {
        assembly ("memory-safe") {
            let unused := sub(256, shl(5, count))
            copyA := add(sum, 0xa0) // sum.lastA
            copyB := add(sum, 0xc0) // sum.lastB
            mstore(copyA, shl(unused, shr(unused, mload(pointerA))))
            mstore(copyB, shl(unused, shr(unused, mload(pointerB))))
        }
    }

    /// @dev Stops at the first word that has a product which is not near, and not zero times a finite number.
    ///
    /// Eight lanes at a time; a lane has 32 bits and no operation on all lanes carries out of one. With E and F the
    /// fields of the exponents, E, F > 0, a product is significands * 2^(E + F - 300), so s = E + F - 2. Bit by
    /// bit:
    ///
    /// - E + 255, in the field's place (bits 23 to 30), sets bit 31 iff E > 0: the number is normal (`a`, `b` below);
    /// - E + 1 sets bit 31 iff E = 255: NaN or an infinity;
    /// - u = s - base + 2^30 has bit 30 iff s >= base, and 2^31 + 63 - u has it iff s <= base + 63, for s - base is
    ///   within 2^10 of 0;
    /// - magnitude + (2^31 - 1) sets bit 31 iff the magnitude is not zero.
    ///
    /// A zero's product is zero whatever it is shifted by, which is a byte here: 63 & u, and 128 for a negative
    /// product, whose place is the high half.
    function _addNear(
        Sum memory sum,
        uint256 pointerA,
        uint256 pointerB,
        uint256 strideB,
        uint256 end
    ) private pure returns (uint256 nextA, uint256 nextB) {
        assembly ("memory-safe") {
            let near := mload(sum)
            // 2^30 - base - 2 in each lane: added to E + F this gives u.
            let offset :=
                mul(
                    sub(0x3ffffffe, mload(add(sum, 0x20))),
                    0x0000000100000001000000010000000100000001000000010000000100000001
                )
            for {} lt(pointerA, end) {
                pointerA := add(pointerA, 32)
                pointerB := add(pointerB, strideB)
            } {
                let a := mload(pointerA)
                let b := mload(pointerB)
                let shifts
                {
                    let x :=
                        and(a, 0x7f8000007f8000007f8000007f8000007f8000007f8000007f8000007f800000)
                    let y :=
                        and(b, 0x7f8000007f8000007f8000007f8000007f8000007f8000007f8000007f800000)
                    shifts := add(shr(23, add(x, y)), offset)
                    let bad :=
                        or(
                            add(
                                x,
                                0x0080000000800000008000000080000000800000008000000080000000800000
                            ),
                            add(
                                y,
                                0x0080000000800000008000000080000000800000008000000080000000800000
                            )
                        )
                    x := add(x, 0x7f8000007f8000007f8000007f8000007f8000007f8000007f8000007f800000)
                    y := add(y, 0x7f8000007f8000007f8000007f8000007f8000007f8000007f8000007f800000)
                    let far :=
                        not(
                            and(
                                shl(
                                    1,
                                    and(
                                        shifts,
                                        sub(
                                            0x8000003f8000003f8000003f8000003f8000003f8000003f8000003f8000003f,
                                            shifts
                                        )
                                    )
                                ),
                                and(x, y)
                            )
                        )
                    if and(
                        or(far, bad),
                        0x8000000080000000800000008000000080000000800000008000000080000000
                    ) {
                        // Far, but for lanes with a zero?
                        far := and(
                            far,
                            and(
                                add(
                                    and(
                                        a,
                                        0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff
                                    ),
                                    0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff
                                ),
                                add(
                                    and(
                                        b,
                                        0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff
                                    ),
                                    0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff
                                )
                            )
                        )
                        if and(
                            or(far, bad),
                            0x8000000080000000800000008000000080000000800000008000000080000000
                        ) {
                            break
                        }
                    }
                    shifts := or(
                        and(
                            shifts,
                            0x0000003f0000003f0000003f0000003f0000003f0000003f0000003f0000003f
                        ),
                        and(
                            shr(24, xor(a, b)),
                            0x0000008000000080000000800000008000000080000000800000008000000080
                        )
                    )
                    // The significands, with the leading bit of normal numbers.
                    a := or(
                        and(a, 0x007fffff007fffff007fffff007fffff007fffff007fffff007fffff007fffff),
                        and(
                            shr(8, x),
                            0x0080000000800000008000000080000000800000008000000080000000800000
                        )
                    )
                    b := or(
                        and(b, 0x007fffff007fffff007fffff007fffff007fffff007fffff007fffff007fffff),
                        and(
                            shr(8, y),
                            0x0080000000800000008000000080000000800000008000000080000000800000
                        )
                    )
                }
                near := add(near, shl(byte(3, shifts), mul(shr(224, a), shr(224, b))))
                near := add(
                    near,
                    shl(
                        byte(7, shifts),
                        mul(and(shr(192, a), 0xffffff), and(shr(192, b), 0xffffff))
                    )
                )
                near := add(
                    near,
                    shl(
                        byte(11, shifts),
                        mul(and(shr(160, a), 0xffffff), and(shr(160, b), 0xffffff))
                    )
                )
                near := add(
                    near,
                    shl(
                        byte(15, shifts),
                        mul(and(shr(128, a), 0xffffff), and(shr(128, b), 0xffffff))
                    )
                )
                near := add(
                    near,
                    shl(byte(19, shifts), mul(and(shr(96, a), 0xffffff), and(shr(96, b), 0xffffff)))
                )
                near := add(
                    near,
                    shl(byte(23, shifts), mul(and(shr(64, a), 0xffffff), and(shr(64, b), 0xffffff)))
                )
                near := add(
                    near,
                    shl(byte(27, shifts), mul(and(shr(32, a), 0xffffff), and(shr(32, b), 0xffffff)))
                )
                near := add(near, shl(byte(31, shifts), mul(and(a, 0xffffff), and(b, 0xffffff))))
            }
            mstore(sum, near)
            nextA := pointerA
            nextB := pointerB
        }
    }

    /// @dev The products of one word, one by one; then what is near is moved to where the largest of them is, if
    /// that is far, with 15 binades above it for those to come.
    function _addFar(Sum memory sum, uint256 pointerA, uint256 pointerB) private pure {
        uint256 a;
        uint256 b;
        assembly ("memory-safe") {
            a := mload(pointerA)
            b := mload(pointerB)
        }
        unchecked {
            // As in `_addNear`: whether an exponent's field is 255.
            uint256 special =
                ((a & EXPONENTS) + LOWEST_EXPONENTS) | ((b & EXPONENTS) + LOWEST_EXPONENTS);
            if (special & SIGNS != 0) sum.seen |= _specials(a, b, special & SIGNS);
            // Of a sum with such a term nothing else matters.
            if (sum.seen != 0) return;

            uint256 largest = _addToWindows(sum.windows, a, b);
            if (largest >= sum.base && largest < sum.base + 64) return;

            _settle(sum);
            sum.base = largest < 48 ? 0 : largest - 48;
        }
    }

    /// @dev `addProduct` of eight lanes, of finite numbers.
    /// @return largest The largest s among the products, whatever is zero aside.
    function _addToWindows(int256[5] memory windows, uint256 a, uint256 b)
        private
        pure
        returns (uint256 largest)
    {
        assembly ("memory-safe") {
            for {} or(a, b) {
                a := shr(32, a)
                b := shr(32, b)
            } {
                let s := and(shr(23, a), 0xff)
                let product := or(and(a, 0x7fffff), shl(23, iszero(iszero(s))))
                s := add(s, iszero(s))
                {
                    let f := and(shr(23, b), 0xff)
                    product := mul(product, or(and(b, 0x7fffff), shl(23, iszero(iszero(f)))))
                    s := sub(add(s, add(f, iszero(f))), 2)
                }
                if iszero(product) { continue }
                if gt(s, largest) { largest := s }
                product := shl(and(s, 127), product)
                if and(xor(a, b), 0x80000000) { product := sub(0, product) }
                let window := add(windows, shl(5, shr(7, s)))
                mstore(window, add(mload(window), product))
            }
        }
    }

    /// @dev Brings what is near to the windows.
    function _settle(Sum memory sum) private pure {
        unchecked {
            uint256 window = sum.base >> 7;
            uint256 shift = sum.base & 127;
            uint256 plus = (sum.near & MASK) << shift;
            uint256 minus = (sum.near >> 128) << shift;
            sum.windows[window] += int256(plus & MASK) - int256(minus & MASK);
            sum.windows[window + 1] += int256(plus >> 128) - int256(minus >> 128);
            sum.near = 0;
            sum.room = ROOM;
        }
    }

    /// @dev Sign and size, in base 2^128.
    function _digits(int256[5] memory windows)
        private
        pure
        returns (bool negative, uint256[5] memory digits)
    {
        unchecked {
            // The carry of a number may be negative; then so is the whole if it is the last one.
            int256 carry;
            for (uint256 i; i < 5; ++i) {
                carry += windows[i];
                digits[i] = uint256(carry) & MASK;
                carry >>= 128;
            }
            negative = carry < 0;
            if (!negative) return (negative, digits);

            // 2^640 less what it is short of: all bits turned, plus one.
            uint256 one = 1;
            for (uint256 i; i < 5; ++i) {
                one += digits[i] ^ MASK;
                digits[i] = one & MASK;
                one >>= 128;
            }
        }
    }

    /// @param lanes The top bit of each in which a product has NaN or an infinity.
    function _specials(uint256 a, uint256 b, uint256 lanes) private pure returns (uint256 seen) {
        unchecked {
            for (; lanes != 0; (a, b, lanes) = (a >> 32, b >> 32, lanes >> 32)) {
                if (uint32(lanes) != 0) seen |= _special(uint32(a), uint32(b));
            }
        }
    }

    /// @dev What a product with NaN or an infinity adds to `seen`.
    function _special(uint32 x, uint32 y) private pure returns (uint256) {
        bool isNaN = Float32.isNaN(x) || Float32.isNaN(y) || x << 1 == 0 || y << 1 == 0;
        if (isNaN) return NAN;
        return (x ^ y) & Float32.SIGN == 0 ? PLUS_INFINITY : MINUS_INFINITY;
    }
}
