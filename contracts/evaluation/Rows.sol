// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ExactSum} from "../libraries/ExactSum.sol";
import {Float32} from "../libraries/Float32.sol";
import {Quick} from "./Quick.sol";
import {RowPacker} from "./RowPacker.sol";
import {Words} from "./Words.sol";

/// @dev A matrix that `RowPacker` packed.
/// @param plan Offset in memory.
/// @param pieces Offset of a word a piece: its address, or shifted up by 160 bits where in the plan it lies.
struct Matrix {
    uint256 rows;
    uint256 columns;
    uint256 pieces;
    uint256 plan;
}

/// @dev DOT of a vector and packed rows, exact: of all products and a bias, rounded once.
///
/// The vector's numbers become integers. Let T be the greatest field of an exponent among them (of a subnormal number
/// 1). One whose field is e lies in *window* w = (T - e) / 48, as X in units of 2^(T - 197 - 48 w): its significand of
/// 24 bits shifted up by 47 - (T - e - 48 w), so |X| < 2^71. Numbers within 2^48 of the largest, and so nearly always
/// all of them, are one window.
///
/// A lane adds up X * (W + 2^41) < 2^113; at most 2^12 columns keep it below 2^125. Two lanes go by one multiplication
/// modulo 2^256: what a negative sum of the low lane takes from the high one is given back when they are taken apart.
/// Less 2^41 times the sum of all X, a lane is the sum of X * W in units of 2^(T - 197 - 48 w + E - 167): nothing was
/// cut off.
library Rows {
    using ExactSum for ExactSum.Sum;

    /// @dev Two fields, one of each lane.
    uint256 private constant FIELDS = 0x3ffffffffff0000000000000000000003ffffffffff;
    uint256 private constant LANES = 0x100000000000000000000000000000001;
    uint256 private constant ZERO = 1 << 41;

    /// @dev The vector as integers.
    /// @param top T above; 0 where all is zero.
    /// @param windows At least one.
    /// @param ends Offset of a word a window: where its terms end. Those of the first begin at `terms`, and others
    /// where the ones before end. A term is two words: where the weights of its column are in memory, and X.
    /// @param totals Offset of a word a window: the sum of its X.
    /// @param buffer Offset of a group.
    struct Vector {
        uint256 words;
        uint256 top;
        uint256 windows;
        uint256 terms;
        uint256 ends;
        uint256 totals;
        uint256 buffer;
    }

    /// @dev What is known of the group that lies in the buffer.
    struct Group {
        uint256 head;
        uint256 outliers; // offset of the first, eight bytes each
        uint256 outliersEnd;
        uint256 sums; // offset of six words a window
    }

    /// @param x Offset of `columns` words.
    /// @param bias Offset of a word a row, or with a step of 0 of one word for all; 0 if there is none.
    /// @param out Offset of a word a row.
    function dot(uint256 x, Matrix memory matrix, uint256 bias, uint256 biasStep, uint256 out)
        internal
        view
    {
        unchecked {
            uint256 free = Words.freeMemory();
            (uint256 largest, uint256 least) = _range(x, matrix.columns);
            uint256 rows = matrix.rows;
            if (largest == Float32.NAN) {
                for (uint256 end = out + 32 * rows; out < end; out += 32) {
                    Words.set(out, Float32.NAN);
                }
                return;
            }
            bool isFinite = largest < Float32.INFINITY;
            Vector memory vector;
            vector.words = x;
            if (isFinite) _list(vector, matrix.columns, largest, least);
            else _listInfinities(vector, matrix.columns);
            Group memory group;
            group.sums = Words.allocate(RowPacker.HEIGHT * vector.windows);
            if (bias == 0) {
                bias = Words.allocate(1);
                Words.set(bias, 0);
            }

            uint256 scratch = Words.freeMemory();
            for (uint256 row; row < rows; row += RowPacker.HEIGHT) {
                _load(matrix, row / RowPacker.HEIGHT, vector.buffer, group);
                uint256 here = rows - row < RowPacker.HEIGHT ? rows - row : RowPacker.HEIGHT;
                if (isFinite) {
                    _multiply(vector, group);
                    _finish(vector, group, here, bias + row * biasStep, biasStep, out);
                } else {
                    _infinite(vector, group, here, bias + row * biasStep, biasStep, out);
                }
                out += 32 * RowPacker.HEIGHT;
                Words.release(scratch);
            }
            Words.release(free);
        }
    }

    /// @return largest The greatest magnitude's bits: above infinity's if there is a NaN.
    /// @return least The least magnitude that is not zero; 2^256 - 1 if there is none.
    function _range(uint256 x, uint256 count)
        private
        pure
        returns (uint256 largest, uint256 least)
    {
        assembly ("memory-safe") {
            // Of magnitudes less one, so that zero is the greatest.
            least := not(0)
            for { let end := add(x, shl(5, count)) } lt(x, end) { x := add(x, 32) } {
                let size := and(mload(x), 0x7fffffff)
                if gt(size, largest) { largest := size }
                size := sub(size, 1)
                if lt(size, least) { least := size }
            }
            least := add(least, 1)
            least := or(least, sub(0, iszero(least)))
        }
    }

    /// @dev Makes the terms of all windows, whose weights will be in the buffer.
    function _list(Vector memory vector, uint256 columns, uint256 largest, uint256 least)
        private
        pure
    {
        unchecked {
            uint256 top = _fieldOf(largest);
            bool isZero = largest == 0;
            uint256 windows = isZero ? 1 : (top - _fieldOf(least)) / 48 + 1;
            vector.top = top;
            vector.windows = windows;
            vector.ends = Words.allocate(windows);
            vector.totals = Words.allocate(windows);
            vector.buffer = Words.allocate(columns + 1);
            vector.terms = Words.allocate(2 * columns);
            // Plain: one window, and no number is subnormal.
            bool isPlain = windows == 1 && least >= 0x800000;
            uint256 to = vector.terms;
            for (uint256 w; w < windows; ++w) {
                uint256 end;
                int256 total;
                if (isPlain) (end, total) = _listPlain(vector, columns, to);
                else (end, total) = _listWindow(vector, columns, w, to);
                Words.set(vector.ends + 32 * w, end);
                Words.set(vector.totals + 32 * w, uint256(total));
                to = end;
            }
        }
    }

    function _fieldOf(uint256 magnitude) private pure returns (uint256 field) {
        field = magnitude >> 23;
        if (field == 0) field = 1;
    }

    function _listPlain(Vector memory vector, uint256 columns, uint256 to)
        private
        pure
        returns (uint256 end, int256 total)
    {
        assembly ("memory-safe") {
            let from := mload(vector)
            // 47 - T, to which a field is added.
            let base := sub(47, mload(add(vector, 0x20)))
            // From an element's place to its weights': a head lies before those.
            let ahead := sub(add(mload(add(vector, 0xc0)), 32), from)
            end := to
            for { let past := add(from, shl(5, columns)) } lt(from, past) { from := add(from, 32) }
            {
                let bits := mload(from)
                if bits {
                    let size :=
                        shl(add(base, and(shr(23, bits), 0xff)), or(and(bits, 0x7fffff), 0x800000))
                    let minus := sub(0, shr(31, bits))
                    size := sub(xor(size, minus), minus)
                    total := add(total, size)
                    mstore(end, add(from, ahead))
                    mstore(add(end, 32), size)
                    end := add(end, 64)
                }
            }
        }
    }

    function _listWindow(Vector memory vector, uint256 columns, uint256 window, uint256 to)
        private
        pure
        returns (uint256 end, int256 total)
    {
        assembly ("memory-safe") {
            let from := mload(vector)
            // 47 - T + 48 w: with a field added, 0 ... 47 for what lies in the window.
            let base := add(sub(47, mload(add(vector, 0x20))), mul(48, window))
            let ahead := sub(add(mload(add(vector, 0xc0)), 32), from)
            end := to
            for { let past := add(from, shl(5, columns)) } lt(from, past) { from := add(from, 32) }
            {
                let bits := mload(from)
                if bits {
                    let field := and(shr(23, bits), 0xff)
                    let isNormal := iszero(iszero(field))
                    let size := or(and(bits, 0x7fffff), shl(23, isNormal))
                    let up := add(base, add(field, iszero(isNormal)))
                    if lt(up, 48) {
                        size := shl(up, size)
                        let minus := sub(0, shr(31, bits))
                        size := sub(xor(size, minus), minus)
                        total := add(total, size)
                        mstore(end, add(from, ahead))
                        mstore(add(end, 32), size)
                        end := add(end, 64)
                    }
                }
            }
        }
    }

    /// @dev Brings a group into the buffer, and its outliers behind all memory that is in use.
    function _load(Matrix memory matrix, uint256 index, uint256 buffer, Group memory group)
        private
        view
    {
        unchecked {
            uint256 stride = matrix.columns + 1;
            (uint256 whole, uint256 words) = RowPacker.shapeOf(matrix.columns);
            uint256 piece;
            uint256 behind; // words of the piece before its outliers
            if (whole != 0) {
                piece = matrix.pieces + 32 * (index / whole);
                _copy(matrix, piece, 32 * (index % whole) * stride, buffer, 32 * stride);
                uint256 groups = (matrix.rows + RowPacker.HEIGHT - 1) / RowPacker.HEIGHT;
                uint256 left = groups - index / whole * whole;
                behind = (left < whole ? left : whole) * stride;
            } else {
                uint256 parts = (stride + words - 1) / words;
                piece = matrix.pieces + 32 * index * parts;
                behind = words;
                for (uint256 p; p < parts; ++p) {
                    uint256 left = stride - p * words;
                    uint256 here = left < words ? left : words;
                    _copy(matrix, piece + 32 * p, 0, buffer + 32 * p * words, 32 * here);
                }
            }
            uint256 head = Words.at(buffer);
            group.head = head;
            uint256 count = uint16(head >> 192);
            if (count == 0) {
                group.outliersEnd = group.outliers;
                return;
            }
            // Read as words, so there is one behind them.
            uint256 to = Words.allocate(count / 4 + 2);
            _copy(matrix, piece, 32 * behind + 8 * uint256(uint16(head >> 176)), to, 8 * count);
            (group.outliers, group.outliersEnd) = (to, to + 8 * count);
        }
    }

    /// @param piece Offset of its word.
    function _copy(Matrix memory matrix, uint256 piece, uint256 offset, uint256 to, uint256 length)
        private
        view
    {
        uint256 word = Words.at(piece);
        uint256 plan = matrix.plan;
        assembly ("memory-safe") {
            switch shr(160, word)
            case 0 { extcodecopy(word, to, add(offset, 1), length) }
            default { mcopy(to, add(add(plan, shr(160, word)), offset), length) }
        }
    }

    /// @dev Puts the six sums of each window into `group.sums`.
    function _multiply(Vector memory vector, Group memory group) private pure {
        unchecked {
            uint256 from = vector.terms;
            uint256 to = group.sums;
            for (uint256 w; w < vector.windows; ++w) {
                uint256 end = Words.at(vector.ends + 32 * w);
                (uint256 a, uint256 b, uint256 c) = _products(from, end);
                uint256 bias = (Words.at(vector.totals + 32 * w) << 41) * LANES;
                _separate(a - bias, to);
                _separate(b - bias, to + 64);
                _separate(c - bias, to + 128);
                from = end;
                to += 32 * RowPacker.HEIGHT;
            }
        }
    }

    /// @dev The inner loop. Terms go by pairs, whose products are added to each other first: it spares the stack.
    function _products(uint256 from, uint256 end)
        private
        pure
        returns (uint256 a, uint256 b, uint256 c)
    {
        assembly ("memory-safe") {
            if and(sub(end, from), 64) {
                let w := mload(mload(from))
                let x := mload(add(from, 32))
                a := mul(x, and(w, FIELDS))
                b := mul(x, and(shr(42, w), FIELDS))
                c := mul(x, and(shr(84, w), FIELDS))
                from := add(from, 64)
            }
            if and(sub(end, from), 128) {
                let w := mload(mload(from))
                let x := mload(add(from, 32))
                let v := mload(mload(add(from, 64)))
                let y := mload(add(from, 96))
                a := add(mul(y, and(v, FIELDS)), add(mul(x, and(w, FIELDS)), a))
                b := add(mul(y, and(shr(42, v), FIELDS)), add(mul(x, and(shr(42, w), FIELDS)), b))
                c := add(mul(y, and(shr(84, v), FIELDS)), add(mul(x, and(shr(84, w), FIELDS)), c))
                from := add(from, 128)
            }
            for {} lt(from, end) { from := add(from, 256) } {
                {
                    let w := mload(mload(from))
                    let x := mload(add(from, 32))
                    let v := mload(mload(add(from, 64)))
                    let y := mload(add(from, 96))
                    a := add(mul(y, and(v, FIELDS)), add(mul(x, and(w, FIELDS)), a))
                    b := add(
                        mul(y, and(shr(42, v), FIELDS)),
                        add(mul(x, and(shr(42, w), FIELDS)), b)
                    )
                    c := add(
                        mul(y, and(shr(84, v), FIELDS)),
                        add(mul(x, and(shr(84, w), FIELDS)), c)
                    )
                }
                {
                    let w := mload(mload(add(from, 128)))
                    let x := mload(add(from, 160))
                    let v := mload(mload(add(from, 192)))
                    let y := mload(add(from, 224))
                    a := add(mul(y, and(v, FIELDS)), add(mul(x, and(w, FIELDS)), a))
                    b := add(
                        mul(y, and(shr(42, v), FIELDS)),
                        add(mul(x, and(shr(42, w), FIELDS)), b)
                    )
                    c := add(
                        mul(y, and(shr(84, v), FIELDS)),
                        add(mul(x, and(shr(84, w), FIELDS)), c)
                    )
                }
            }
        }
    }

    /// @dev Two sums, the low lane's and the high one's, as words.
    function _separate(uint256 lanes, uint256 to) private pure {
        assembly ("memory-safe") {
            let low := signextend(15, lanes)
            mstore(to, low)
            mstore(add(to, 32), sar(128, sub(lanes, low)))
        }
    }

    /* ROUNDING */

    /// @param here Rows of the group that the matrix has.
    function _finish(
        Vector memory vector,
        Group memory group,
        uint256 here,
        uint256 bias,
        uint256 biasStep,
        uint256 out
    ) private pure {
        unchecked {
            bool isPlain = vector.windows == 1 && !_areMet(vector, group);
            for (uint256 r; r < here; ++r) {
                uint256 b = Words.at(bias);
                uint256 unit = vector.top + uint8(group.head >> (248 - 8 * r));
                uint256 bits = 1;
                if (isPlain) bits = _rounded(int256(Words.at(group.sums + 32 * r)), unit, b);
                // Not known yet, or 2^-149, and then it is found again.
                if (bits == 1) bits = _exactly(vector, group, r, b);
                Words.set(out, bits);
                out += 32;
                bias += biasStep;
            }
        }
    }

    /// @notice sum * 2^(unit - 364) + b, rounded once; 1 where that is to be found otherwise.
    /// @dev A bias whose field is e is its significand times 2^(e - 150), in units of the sum 2^(e + 214 - unit).
    function _rounded(int256 sum, uint256 unit, uint256 b) private pure returns (uint256) {
        unchecked {
            if (b != 0) {
                uint256 field = (b >> 23) & 0xff;
                if (field == 0 || field == 255) return 1;
                int256 size = int256((b & 0x7fffff) | 0x800000);
                if (b >> 31 != 0) size = -size;
                uint256 up = field + 214 - unit;
                if (up < 200) {
                    sum += size << up;
                } else {
                    // The sum is below 2^124; it has room for 120 bits more.
                    uint256 down = 0 - up;
                    if (down > 120) return 1;
                    sum = (sum << down) + size;
                    unit -= down;
                }
            }
            return Quick.round(sum, int256(unit) - 364);
        }
    }

    /// @return Whether an outlier of the group meets a number that is not zero.
    function _areMet(Vector memory vector, Group memory group) private pure returns (bool) {
        unchecked {
            for (uint256 from = group.outliers; from < group.outliersEnd; from += 8) {
                if (Words.at(vector.words + 32 * uint256(uint16(Words.at(from) >> 224))) != 0) {
                    return true;
                }
            }
            return false;
        }
    }

    /// @dev With windows far apart, outliers, or any finite bias or none.
    function _exactly(Vector memory vector, Group memory group, uint256 r, uint256 b)
        private
        pure
        returns (uint256)
    {
        unchecked {
            ExactSum.Sum memory sum = ExactSum.create();
            int256 unit = int256(vector.top + uint8(group.head >> (248 - 8 * r))) - 364;
            for (uint256 w; w < vector.windows; ++w) {
                sum.addInteger(int256(Words.at(group.sums + 32 * (RowPacker.HEIGHT * w + r))), unit);
                unit -= 48;
            }
            for (uint256 from = group.outliers; from < group.outliersEnd; from += 8) {
                uint256 outlier = Words.at(from) >> 192;
                if (outlier >> 48 != r) continue;
                uint256 x = Words.at(vector.words + 32 * uint256(uint16(outlier >> 32)));
                sum.addProduct(uint32(x), uint32(outlier));
            }
            sum.addTerm(uint32(b));
            return sum.round();
        }
    }

    /* INFINITIES */

    /// @dev Makes terms of the infinities alone: a column, and the number.
    function _listInfinities(Vector memory vector, uint256 columns) private pure {
        unchecked {
            vector.buffer = Words.allocate(columns + 1);
            vector.terms = Words.allocate(2 * columns);
            vector.ends = Words.allocate(1);
            uint256 to = vector.terms;
            for (uint256 k; k < columns; ++k) {
                uint256 x = Words.at(vector.words + 32 * k);
                if (x & 0x7fffffff != Float32.INFINITY) continue;
                Words.set(to, k);
                Words.set(to + 32, x);
                to += 64;
            }
            Words.set(vector.ends, to);
        }
    }

    /// @dev Where infinities are among the numbers and no NaN, they and the bias alone decide: a weight of zero makes a
    /// NaN of one, and others an infinity.
    function _infinite(
        Vector memory vector,
        Group memory group,
        uint256 here,
        uint256 bias,
        uint256 biasStep,
        uint256 out
    ) private pure {
        unchecked {
            for (uint256 r; r < here; ++r) {
                uint256 seen = _infinityOf(Words.at(bias));
                uint256 shift = 42 * (r / 2) + 128 * (r % 2);
                // Until it is NaN: 1 is one, and 2 and 4 are the infinities.
                uint256 end = Words.at(vector.ends);
                for (uint256 at = vector.terms; at < end && seen & 1 == 0 && seen != 6; at += 64) {
                    uint256 k = Words.at(at);
                    uint256 x = Words.at(at + 32);
                    uint256 field =
                        (Words.at(vector.buffer + 32 * (k + 1)) >> shift) & (2 * ZERO - 1);
                    if (field == ZERO) field = _outlierSide(group, r, k);
                    if (field == ZERO) seen |= 1;
                    else seen |= (field > ZERO) == (x == Float32.INFINITY) ? 2 : 4;
                }
                uint256 bits = Float32.NAN;
                if (seen == 2) bits = Float32.INFINITY;
                else if (seen == 4) bits = Float32.INFINITY | Float32.SIGN;
                Words.set(out, bits);
                out += 32;
                bias += biasStep;
            }
        }
    }

    function _infinityOf(uint256 b) private pure returns (uint256) {
        if (b & 0x7fffffff < Float32.INFINITY) return 0;
        if (b == Float32.INFINITY) return 2;
        return b == Float32.NAN ? 1 : 4;
    }

    /// @return A field with the sign of the outlier at that place; that of zero if there is none.
    function _outlierSide(Group memory group, uint256 r, uint256 k) private pure returns (uint256) {
        unchecked {
            for (uint256 from = group.outliers; from < group.outliersEnd; from += 8) {
                uint256 outlier = Words.at(from) >> 192;
                if (outlier >> 32 != (r << 16) | k) continue;
                return outlier & Float32.SIGN == 0 ? ZERO + 1 : ZERO - 1;
            }
            return ZERO;
        }
    }
}
