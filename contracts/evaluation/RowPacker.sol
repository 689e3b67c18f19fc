// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Rows of float32 weights in the shape in which `Rows` multiplies them.
///
/// A group is six rows. It is a head and then, for each column, a word with the six weights of that column: two lanes
/// of 128 bits, each with three fields of 42 bits. Row 2f + l of the group has field f of lane l (counted from the low
/// end), which holds W + 2^41. W is the weight in units of 2^(E - 167), where E is the greatest field of an exponent in
/// the row, but at least 18: a significand of 24 bits shifted up by at most 17, so |W| < 2^41.
///
/// A weight that is no multiple of that unit (it has bits 2^41 below the greatest of its row) is an *outlier*: its W is
/// 0, and it stands behind the words of all groups of its piece as it is: row in the group (16 bits) ‖ column (16) ‖
/// bits (32).
///
///     head        E of the six rows (8 bits each) ‖ outliers of the group (16) ‖ those of the groups before it in its
///                 piece (16), and zeros
///
/// The stream of a matrix is its groups, one after the other, a head and a word a column each. Pieces hold whole groups
/// of it; where one group is too long for a piece, parts of one group.
library RowPacker {
    uint256 internal constant HEIGHT = 6;
    /// @dev Words of the stream in a piece; the rest of the contract's code is for outliers.
    uint256 internal constant MOST_WORDS = 700;
    /// @dev Their bytes: 24,575 less those of the words, by eights.
    uint256 internal constant MOST_OUTLIERS = 271;
    /// @dev So that a lane holds the sum of all products (`Rows`), and six rows can be packed in a transaction.
    uint256 internal constant MOST_COLUMNS = 4096;

    /// @dev Exponents and signs of eight float32.
    uint256 private constant FIELDS =
        0x7f8000007f8000007f8000007f8000007f8000007f8000007f8000007f800000;
    uint256 private constant SIGNS =
        0x8000000080000000800000008000000080000000800000008000000080000000;

    /// @dev A row that is being packed.
    /// @param group Offset of its group.
    /// @param row Of the group.
    /// @param first Offset of its elements, and when it is packed of the next row's.
    /// @param top The greatest field of an exponent.
    /// @param next Where the next outlier goes, if it is before `room`.
    struct Packing {
        uint256 group;
        uint256 row;
        uint256 first;
        uint256 columns;
        uint256 top;
        uint256 next;
        uint256 room;
    }

    error NotFinite(uint256 row);
    error TooManyOutliers(uint256 row, uint256 most);

    /// @return whole Groups in a piece; 0 where a group takes several.
    /// @return words Of a group in a piece, but for the last where it takes several.
    function shapeOf(uint256 columns) internal pure returns (uint256 whole, uint256 words) {
        uint256 stride = columns + 1;
        whole = MOST_WORDS / stride;
        uint256 parts = partsOf(columns);
        words = (stride + parts - 1) / parts;
    }

    /// @return Pieces that a group takes, at least one.
    function partsOf(uint256 columns) internal pure returns (uint256) {
        return (columns + MOST_WORDS) / MOST_WORDS;
    }

    /// @return Rows of a lot, which is packed at once: those of a piece, or of a group in several.
    function rowsOfLot(uint256 columns) internal pure returns (uint256) {
        (uint256 whole,) = shapeOf(columns);
        return HEIGHT * (whole == 0 ? 1 : whole);
    }

    /// @return Pieces of a whole matrix.
    function piecesOf(uint256 rows, uint256 columns) internal pure returns (uint256) {
        uint256 step = rowsOfLot(columns);
        return (rows + step - 1) / step * partsOf(columns);
    }

    /// @notice Packs groups into memory that is allocated for it: their stream, and then their outliers.
    /// @param raw Offset in memory of the first row's elements, big-endian and one row after the other.
    /// @param rows At least one; the last group lacks those that it has not.
    /// @return stream Its offset.
    /// @return outliers How many stand behind it.
    function pack(uint256 raw, uint256 rows, uint256 columns)
        internal
        pure
        returns (uint256 stream, uint256 outliers)
    {
        unchecked {
            uint256 groups = (rows + HEIGHT - 1) / HEIGHT;
            Packing memory self;
            self.columns = columns;
            self.first = raw;
            assembly ("memory-safe") {
                // A word before it for `Code.write`; behind it one outlier too many, each written as a word.
                stream := add(mload(0x40), 32)
                let next := add(stream, mul(groups, shl(5, add(columns, 1))))
                let end := add(next, add(mul(8, MOST_OUTLIERS), 64))
                mstore(0x40, end)
                calldatacopy(stream, calldatasize(), sub(end, stream))
            }
            self.group = stream;
            self.next = stream + 32 * groups * (columns + 1);
            self.room = self.next + 8 * (MOST_OUTLIERS + 1);
            for (uint256 row; row < rows; ++row) {
                self.row = row % HEIGHT;
                if (row != 0 && self.row == 0) self.group += 32 * (columns + 1);
                uint256 before = self.next;
                self.top = _top(self.first, columns);
                require(self.top != 255, NotFinite(row));
                _packRow(self);
                uint256 found = (self.next - before) / 8;
                uint256 group = self.group;
                assembly ("memory-safe") {
                    let head := mload(group)
                    if iszero(mod(row, 6)) { head := or(head, shl(176, outliers)) }
                    mstore(group, add(head, shl(192, found)))
                }
                outliers += found;
                require(outliers <= MOST_OUTLIERS, TooManyOutliers(row, MOST_OUTLIERS));
            }
            _packZeros(self.group, columns, self.row + 1);
        }
    }

    /// @return top The greatest field of an exponent, but at least 18.
    function _top(uint256 first, uint256 columns) private pure returns (uint256 top) {
        assembly ("memory-safe") {
            let end := add(first, shl(2, columns))
            // Eight at a time: where a lane is less than the one it is held against, bit 31 of their difference is
            // missing.
            let most := 0
            for { let last := sub(end, and(shl(2, columns), 31)) } lt(first, last) {
                first := add(first, 32)
            } {
                let fields := and(mload(first), FIELDS)
                let isLess := and(not(sub(or(most, SIGNS), fields)), SIGNS)
                let mask := sub(isLess, shr(8, isLess))
                most := xor(most, and(xor(most, fields), mask))
            }
            top := shl(23, 18)
            for {} most { most := shr(32, most) } {
                let field := and(most, 0x7f800000)
                if gt(field, top) { top := field }
            }
            for {} lt(first, end) { first := add(first, 4) } {
                let field := and(shr(224, mload(first)), 0x7f800000)
                if gt(field, top) { top := field }
            }
            top := shr(23, top)
        }
    }

    /// @dev What there is to know is in memory: the loop has as many variables as there is room for on the stack.
    function _packRow(Packing memory self) private pure {
        assembly ("memory-safe") {
            let group := mload(self)
            let row := mload(add(self, 0x20))
            let first := mload(add(self, 0x40))
            let top := mload(add(self, 0x80))
            mstore(group, or(mload(group), shl(sub(248, shl(3, row)), top)))
            let up := add(mul(42, shr(1, row)), shl(7, and(row, 1)))
            let least := sub(top, 17)
            let to := group
            for { let end := add(group, shl(5, mload(add(self, 0x60)))) } lt(to, end) {} {
                to := add(to, 32)
                let bits := shr(224, mload(first))
                first := add(first, 4)
                let size := or(and(bits, 0x7fffff), 0x800000)
                let exponent := and(shr(23, bits), 0xff)
                switch lt(exponent, least)
                case 0 { size := shl(sub(exponent, least), size) }
                default {
                    if iszero(exponent) {
                        size := and(bits, 0x7fffff)
                        exponent := 1
                    }
                    let down := sub(least, exponent)
                    let kept := shr(down, size)
                    switch eq(shl(down, kept), size)
                    case 1 { size := kept }
                    default {
                        size := 0
                        let past := mload(add(self, 0xa0))
                        if lt(past, mload(add(self, 0xc0))) {
                            let column := sub(shr(5, sub(to, mload(self))), 1)
                            let place := or(shl(48, mload(add(self, 0x20))), shl(32, column))
                            mstore(past, shl(192, or(place, bits)))
                            mstore(add(self, 0xa0), add(past, 8))
                        }
                    }
                }
                let minus := sub(0, shr(31, bits))
                size := add(sub(xor(size, minus), minus), 0x20000000000)
                mstore(to, or(mload(to), shl(up, size)))
            }
            mstore(add(self, 0x40), first)
        }
    }

    /// @dev The rows from that one on, which the matrix lacks.
    function _packZeros(uint256 group, uint256 columns, uint256 row) private pure {
        if (row == HEIGHT) return;
        assembly ("memory-safe") {
            let zeros := 0
            for {} lt(row, HEIGHT) { row := add(row, 1) } {
                let up := add(mul(42, shr(1, row)), shl(7, and(row, 1)))
                zeros := or(zeros, shl(up, 0x20000000000))
            }
            let to := add(group, 32)
            for { let end := add(to, shl(5, columns)) } lt(to, end) { to := add(to, 32) } {
                mstore(to, or(mload(to), zeros))
            }
        }
    }
}
