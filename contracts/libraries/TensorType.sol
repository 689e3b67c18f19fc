// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";

/// @dev The type word of a record (`oracle/exact/program.py`): dtype (8 bits) ‖ rank (8) ‖ 7 dims (32 each, unused ones
/// zero) ‖ 16 zero bits. Two types are the same where the words are.
type TensorType is uint256;

using TensorTypeLibrary for TensorType global;
using {_same as ==, _different as !=} for TensorType global;

function _same(TensorType a, TensorType b) pure returns (bool) {
    return TensorType.unwrap(a) == TensorType.unwrap(b);
}

function _different(TensorType a, TensorType b) pure returns (bool) {
    return TensorType.unwrap(a) != TensorType.unwrap(b);
}

library TensorTypeLibrary {
    uint256 internal constant FLOAT = uint256(IModelRegistry.DType.FLOAT);
    uint256 internal constant UINT8 = uint256(IModelRegistry.DType.UINT8);
    uint256 internal constant INT8 = uint256(IModelRegistry.DType.INT8);
    uint256 internal constant INT32 = uint256(IModelRegistry.DType.INT32);
    uint256 internal constant INT64 = uint256(IModelRegistry.DType.INT64);
    uint256 internal constant BOOL = uint256(IModelRegistry.DType.BOOL);

    uint256 internal constant MAX_RANK = 7;

    /// @dev Bytes of an element, four bits a dtype; zero for one that the law does not know.
    uint256 private constant ITEM_SIZES = (4 << (4 * FLOAT)) | (1 << (4 * UINT8))
        | (1 << (4 * INT8)) | (4 << (4 * INT32)) | (8 << (4 * INT64)) | (1 << (4 * BOOL));

    /// @return A scalar; `append` gives it axes.
    function scalarOf(uint256 dtype_) internal pure returns (TensorType) {
        return TensorType.wrap(dtype_ << 248);
    }

    /// @return Whether the word is a type that a program may hold: all other functions take that for granted.
    function isSound(TensorType self) internal pure returns (bool) {
        uint256 word = TensorType.unwrap(self);
        uint256 rank_ = rank(self);
        if (dtype(self) > BOOL || itemSize(self) == 0 || rank_ > MAX_RANK) return false;
        // Behind the last dim there is nothing, and no dim has its top bit set.
        uint256 tops = 0x0000800000008000000080000000800000008000000080000000800000000000;
        return word << (16 + 32 * rank_) == 0 && word & tops == 0;
    }

    /// @param sound Known to be so.
    /// @return Whether it is a sound type with the same dtype and as many elements.
    function isReshapeOf(TensorType self, TensorType sound) internal pure returns (bool) {
        if (self == sound) return true;
        return isSound(self) && dtype(self) == dtype(sound) && elements(self) == elements(sound);
    }

    function dtype(TensorType self) internal pure returns (uint256) {
        return TensorType.unwrap(self) >> 248;
    }

    function isFloat(TensorType self) internal pure returns (bool) {
        return dtype(self) == FLOAT;
    }

    /// @return Whether the law sums such numbers.
    function isSummed(TensorType self) internal pure returns (bool) {
        return _isOneOf(self, (1 << FLOAT) | (1 << INT64) | (1 << INT32));
    }

    /// @return Whether they may be places of something.
    function isIndex(TensorType self) internal pure returns (bool) {
        return _isOneOf(self, (1 << INT64) | (1 << INT32));
    }

    function isBool(TensorType self) internal pure returns (bool) {
        return dtype(self) == BOOL;
    }

    function rank(TensorType self) internal pure returns (uint256) {
        return uint8(TensorType.unwrap(self) >> 240);
    }

    /// @param axis Below 7; of an axis that the type lacks, zero.
    function dim(TensorType self, uint256 axis) internal pure returns (uint256) {
        return uint32(TensorType.unwrap(self) >> (208 - 32 * axis));
    }

    /// @param axis From the right: 1 is the last, and the rank the first.
    function dimFromEnd(TensorType self, uint256 axis) internal pure returns (uint256) {
        return dim(self, rank(self) - axis);
    }

    /// @return Below 2^217.
    function elements(TensorType self) internal pure returns (uint256) {
        return elementsFrom(self, 0);
    }

    /// @return Of the axes from that one on.
    function elementsFrom(TensorType self, uint256 axis) internal pure returns (uint256) {
        uint256 product = 1;
        uint256 rank_ = rank(self);
        for (; axis < rank_; ++axis) {
            product *= dim(self, axis);
        }
        return product;
    }

    /// @return Bytes of an element.
    function itemSize(TensorType self) internal pure returns (uint256) {
        return (ITEM_SIZES >> (4 * dtype(self))) & 0xf;
    }

    /// @return Bytes of a tensor.
    function length(TensorType self) internal pure returns (uint256) {
        return elements(self) * itemSize(self);
    }

    function append(TensorType self, uint256 dim_) internal pure returns (TensorType) {
        uint256 rank_ = rank(self);
        return TensorType.wrap(
            (TensorType.unwrap(self) + (1 << 240)) | (uint256(uint32(dim_)) << (208 - 32 * rank_))
        );
    }

    /// @return The first axes alone.
    function leading(TensorType self, uint256 axes) internal pure returns (TensorType) {
        uint256 kept = ~(type(uint256).max >> (16 + 32 * axes));
        uint256 word = (TensorType.unwrap(self) & kept) & ~(uint256(0xff) << 240);
        return TensorType.wrap(word | (axes << 240));
    }

    /// @return The same axes with elements of that dtype.
    function withDtype(TensorType self, uint256 dtype_) internal pure returns (TensorType) {
        return
            TensorType.wrap((TensorType.unwrap(self) & (type(uint256).max >> 8)) | (dtype_ << 248));
    }

    /// @notice numpy's rule: aligned at the right, ones stretched.
    /// @return fits False where the shapes do not.
    /// @return both Of `a`'s dtype.
    function broadcast(TensorType a, TensorType b)
        internal
        pure
        returns (bool fits, TensorType both)
    {
        if (rank(a) < rank(b)) {
            (fits, both) = broadcast(b, a);
            return (fits, withDtype(both, dtype(a)));
        }
        both = leading(a, 0);
        uint256 missing = rank(a) - rank(b);
        for (uint256 axis; axis < rank(a); ++axis) {
            uint256 size = dim(a, axis);
            if (axis >= missing) {
                uint256 other = dim(b, axis - missing);
                if (size == 1) size = other;
                else if (other != 1 && other != size) return (false, both);
            }
            both = append(both, size);
        }
        fits = true;
    }

    /// @notice Where an operand that is broadcast to `self` has what stands at place `at` of it.
    /// @param operand One that broadcasts to `self`.
    function placeIn(TensorType self, TensorType operand, uint256 at)
        internal
        pure
        returns (uint256 place)
    {
        if (_sameShape(self, operand)) return at;
        uint256 stride = 1;
        uint256 rank_ = rank(self);
        for (uint256 axis = 1; axis <= rank(operand); ++axis) {
            uint256 size = dim(self, rank_ - axis);
            uint256 own = dimFromEnd(operand, axis);
            if (own != 1) {
                place += (at % size) * stride;
                stride *= own;
            }
            at /= size;
        }
    }

    function _isOneOf(TensorType self, uint256 dtypes) private pure returns (bool) {
        return (dtypes >> dtype(self)) & 1 == 1;
    }

    function _sameShape(TensorType a, TensorType b) private pure returns (bool) {
        return (TensorType.unwrap(a) ^ TensorType.unwrap(b)) << 8 == 0;
    }
}
