// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev float32 in the form that the law gives it: one NaN (0x7fc00000), no negative zero.
library Float32 {
    error NotFinite(uint32 bits);

    uint32 internal constant NAN = 0x7fc00000;
    uint32 internal constant INFINITY = 0x7f800000;
    uint32 internal constant ONE = 0x3f800000;
    uint32 internal constant SIGN = 0x80000000;

    uint256 private constant LANES =
        0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant SIGNS = LANES << 31;
    /// @dev Added to a magnitude, sets the lane's top bit iff it is above infinity's: a NaN.
    uint256 private constant ABOVE_INFINITY = LANES * 0x007fffff;
    /// @dev Added to a magnitude, sets the lane's top bit iff it is not zero.
    uint256 private constant ABOVE_ZERO = LANES * 0x7fffffff;

    /// @return Byte of the first element that is not canonical; `data.length` if all are.
    function firstNonCanonical(bytes calldata data) internal pure returns (uint256) {
        for (uint256 offset; offset < data.length; offset += 32) {
            uint256 word;
            assembly ("memory-safe") {
                word := calldataload(add(data.offset, offset))
            }
            // What follows the payload in the calldata is not part of it.
            uint256 left = data.length - offset;
            if (left < 32) word &= ~(type(uint256).max >> (left * 8));

            if (_isCanonicalWord(word)) continue;
            for (uint256 lane; lane < 8; ++lane) {
                if (!isCanonical(uint32(word >> (224 - 32 * lane)))) return offset + 4 * lane;
            }
        }
        return data.length;
    }

    function isCanonical(uint32 bits) internal pure returns (bool) {
        return bits != 0x80000000 && (bits & 0x7fffffff <= INFINITY || bits == NAN);
    }

    function isNaN(uint32 bits) internal pure returns (bool) {
        return bits & ~SIGN > INFINITY;
    }

    function isInfinite(uint32 bits) internal pure returns (bool) {
        return bits & ~SIGN == INFINITY;
    }

    /// @return The bits as the law reads them: -0 is +0, and every NaN is the one.
    function canonical(uint32 bits) internal pure returns (uint32) {
        if (bits == SIGN) return 0;
        return isNaN(bits) ? NAN : bits;
    }

    /// @notice The value in units of 1e-18, rounded toward zero.
    /// @dev Reverts for NaN and the infinities.
    function toWad(uint32 bits) internal pure returns (int256) {
        uint256 exponent = (bits >> 23) & 0xff;
        require(exponent != 0xff, NotFinite(bits));

        uint256 significand = bits & 0x7fffff;
        if (exponent == 0) exponent = 1;
        else significand |= 0x800000;
        // At most 24 + 60 + 104 bits.
        uint256 wad = significand * 1e18;
        wad = exponent >= 150 ? wad << (exponent - 150) : wad >> (150 - exponent);
        return bits >> 31 == 0 ? int256(wad) : -int256(wad);
    }

    /// @dev Eight lanes at once. May say no of a word that is canonical (it holds the one NaN), never yes of one that is not.
    function _isCanonicalWord(uint256 word) private pure returns (bool) {
        uint256 magnitudes = word & ~SIGNS;
        uint256 nans = (magnitudes + ABOVE_INFINITY) & SIGNS;
        uint256 negativeZeros = word & SIGNS & ~(magnitudes + ABOVE_ZERO);
        return nans | negativeZeros == 0;
    }
}
