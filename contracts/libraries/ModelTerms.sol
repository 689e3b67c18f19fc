// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The part of a model that money and payloads depend on, packed into the one word that a request reads and then
/// carries: publisher (160 bits), royalty in gwei (40), input and output length in bytes (24 each), flags (8). The lengths
/// are what payloads must have, or the most that they may have where the model generates.
type ModelTerms is uint256;

using ModelTermsLibrary for ModelTerms global;

library ModelTermsLibrary {
    uint256 internal constant MAX_LENGTH = type(uint24).max;
    uint256 internal constant MAX_ROYALTY = uint256(type(uint40).max) * 1 gwei;

    uint256 private constant EXACT = 1;
    uint256 private constant FLOAT32_OUTPUT = 2;
    uint256 private constant GENERATES = 4;
    uint256 private constant SAMPLED = 8;

    /// @dev The caller has checked that each value fits.
    function pack(
        address publisher_,
        uint256 royalty_,
        uint256 inputLength_,
        uint256 outputLength_,
        bool isExact_,
        bool hasFloat32Output_
    ) internal pure returns (ModelTerms) {
        return ModelTerms.wrap(
            (uint256(uint160(publisher_)) << 96) | ((royalty_ / 1 gwei) << 56)
                | (inputLength_ << 32) | (outputLength_ << 8) | (isExact_ ? EXACT : 0)
                | (hasFloat32Output_ ? FLOAT32_OUTPUT : 0)
        );
    }

    /// @dev A published model has a publisher, so its terms are not zero.
    function exists(ModelTerms terms) internal pure returns (bool) {
        return ModelTerms.unwrap(terms) != 0;
    }

    function publisher(ModelTerms terms) internal pure returns (address) {
        return address(uint160(ModelTerms.unwrap(terms) >> 96));
    }

    /// @return Wei.
    function royalty(ModelTerms terms) internal pure returns (uint256) {
        return uint256(uint40(ModelTerms.unwrap(terms) >> 56)) * 1 gwei;
    }

    /// @return Bytes of an input payload, at most if the model generates.
    function inputLength(ModelTerms terms) internal pure returns (uint256) {
        return uint24(ModelTerms.unwrap(terms) >> 32);
    }

    /// @return Bytes of an output payload, at most if the model generates.
    function outputLength(ModelTerms terms) internal pure returns (uint256) {
        return uint24(ModelTerms.unwrap(terms) >> 8);
    }

    function isExact(ModelTerms terms) internal pure returns (bool) {
        return ModelTerms.unwrap(terms) & EXACT != 0;
    }

    /// @return Whether every element of the output is a float32, so that its form can be checked without the signature.
    function hasFloat32Output(ModelTerms terms) internal pure returns (bool) {
        return ModelTerms.unwrap(terms) & FLOAT32_OUTPUT != 0;
    }

    /// @return Whether an output grows element by element, so that payloads may be shorter than the signature says.
    /// @dev Of no model that this version's registry takes.
    function generates(ModelTerms terms) internal pure returns (bool) {
        return ModelTerms.unwrap(terms) & GENERATES != 0;
    }

    /// @return Whether what is generated is drawn, with the request's id for a seed.
    function isSampled(ModelTerms terms) internal pure returns (bool) {
        return ModelTerms.unwrap(terms) & SAMPLED != 0;
    }

    /// @return Whether a payload may have `length` bytes where `length_` are said.
    function admits(ModelTerms terms, uint256 length, uint256 length_)
        internal
        pure
        returns (bool)
    {
        return length == length_ || (generates(terms) && length < length_);
    }
}
