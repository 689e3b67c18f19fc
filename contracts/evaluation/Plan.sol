// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev A program as `Evaluator` reads it: words in contract code, which `ModelCode` wrote once it had checked them
/// against the program's root. In it a slot is an input, a constant or a node's value, counted in this order.
///
///     counts      inputs (16 bits) ‖ constants (16) ‖ nodes (16) ‖ outputs (16), and zeros
///     inputs      a type each
///     outputs     two words each: the slot (its value's), the type
///     constants   a word each, `Constant`
///     nodes       op (16) ‖ operands (8) ‖ attributes (8) ‖ words of the node (16) ‖ elements of its value (32), and
///                 zeros; the type of its value; two words an operand: slot (16) ‖ elements (32) and zeros, type; a word
///                 an attribute
///     behind      what the words of constants point to: bytes, or words of pieces
///
/// The word of a constant: form (8) ‖ dtype (8) ‖ elements (32) ‖ offset in the plan (32) ‖ pieces (16) ‖ rows (32) ‖
/// columns (32), and zeros. Its form says what lies there.
library Plan {
    /// @dev Its bytes in the plan, as they are in the tensor.
    uint256 internal constant RAW = 1;
    /// @dev Its bytes in pieces, whose addresses are in the plan.
    uint256 internal constant RAW_PIECES = 2;
    /// @dev Rows as `RowPacker` packs them, in the plan.
    uint256 internal constant ROWS = 3;
    /// @dev The same in pieces.
    uint256 internal constant ROW_PIECES = 4;
    /// @dev Trees as `ForestPacker` packs them, in pieces: first node (96) ‖ address (160).
    uint256 internal constant FOREST_PIECES = 5;

    function packConstant(
        uint256 form,
        uint256 dtype,
        uint256 elements,
        uint256 offset,
        uint256 pieces,
        uint256 rows,
        uint256 columns
    ) internal pure returns (uint256) {
        return (form << 248) | (dtype << 240) | (elements << 208) | (offset << 176)
            | (pieces << 160) | (rows << 128) | (columns << 96);
    }

    function formOf(uint256 constant_) internal pure returns (uint256) {
        return constant_ >> 248;
    }

    function dtypeOf(uint256 constant_) internal pure returns (uint256) {
        return uint8(constant_ >> 240);
    }

    function elementsOf(uint256 constant_) internal pure returns (uint256) {
        return uint32(constant_ >> 208);
    }

    function offsetOf(uint256 constant_) internal pure returns (uint256) {
        return uint32(constant_ >> 176);
    }

    function piecesOf(uint256 constant_) internal pure returns (uint256) {
        return uint16(constant_ >> 160);
    }

    function rowsOf(uint256 constant_) internal pure returns (uint256) {
        return uint32(constant_ >> 128);
    }

    function columnsOf(uint256 constant_) internal pure returns (uint256) {
        return uint32(constant_ >> 96);
    }
}
