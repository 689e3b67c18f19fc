// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TensorType} from "../libraries/TensorType.sol";
import {Words} from "./Words.sol";

/// @dev Family 05 but for SCATTER: elements move and none changes. The rules are those of `contracts/ops/Movement.sol`.
library Moves {
    /// @param axes Offset of a word an axis: which axis of the operand it is.
    /// @param type_ Of the operand.
    function transpose(uint256 words, TensorType type_, uint256 axes, uint256 count, uint256 out)
        internal
        pure
    {
        unchecked {
            uint256 rank = type_.rank();
            for (uint256 i; i < count; ++i) {
                uint256 left = i;
                uint256 place;
                for (uint256 j = rank; j > 0; --j) {
                    uint256 axis = Words.at(axes + 32 * (j - 1));
                    uint256 size = type_.dim(axis);
                    place += (left % size) * type_.elementsFrom(axis + 1);
                    left /= size;
                }
                Words.set(out + 32 * i, Words.at(words + 32 * place));
            }
        }
    }

    /// @notice Puts the rows of one operand of a CONCAT into its place.
    /// @param width Of the operand's rows.
    /// @param whole Of the value's.
    function put(uint256 words, uint256 rows, uint256 width, uint256 whole, uint256 out)
        internal
        pure
    {
        assembly ("memory-safe") {
            let size := shl(5, width)
            for {} rows { rows := sub(rows, 1) } {
                mcopy(out, words, size)
                words := add(words, size)
                out := add(out, shl(5, whole))
            }
        }
    }

    /// @notice Moves elements as they lie: as words, or as bytes of a constant.
    /// @param from Offset of [outer, n, inner].
    /// @param size Bytes of `inner` elements.
    /// @param indices Offset of `count` words.
    function gather(
        uint256 from,
        TensorType type_,
        uint256 size,
        uint256 indices,
        uint256 count,
        uint256 out
    ) internal pure {
        unchecked {
            uint256 outer = type_.dim(0);
            uint256 n = type_.dim(1);
            uint256 end = indices + 32 * count;
            for (uint256 p; p < outer; ++p) {
                for (uint256 index = indices; index < end; index += 32) {
                    uint256 chosen = from + placeOf(Words.at(index), n) * size;
                    assembly ("memory-safe") {
                        mcopy(out, chosen, size)
                    }
                    out += size;
                }
                from += n * size;
            }
        }
    }

    /// @return An index as a place: a negative one counts from the end, and then it is clamped to 0 ... n - 1.
    function placeOf(uint256 index, uint256 n) internal pure returns (uint256) {
        unchecked {
            int256 place = int256(index);
            if (place < 0) place += int256(n);
            if (place < 0) return 0;
            return place < int256(n) ? uint256(place) : n - 1;
        }
    }
}
