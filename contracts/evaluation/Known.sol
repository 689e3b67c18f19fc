// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IModelCode} from "../interfaces/IModelCode.sol";
import {NodeRecord} from "../libraries/Descriptor.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Plan} from "./Plan.sol";
import {RowPacker} from "./RowPacker.sol";

/// @dev What of the law `Evaluator` knows: the rest is refused when a program is bound, and never when it runs.
library Known {
    uint256 internal constant DOT = 0x0100;
    uint256 internal constant TREE_WALK = 0x0700;

    uint256 private constant CONSTANT = 1;

    /// @dev Of each family a bit an op, the lowest for number 0.
    uint256 private constant ELEMENTWISE = (1 << 0x0c) - 1 | (0x1f << 0x40);
    uint256 private constant TRANSCENDENTAL = 0x1f;
    uint256 private constant REDUCE = 0x1f;
    uint256 private constant MOVEMENT = 0x07;

    /// @notice Reverts unless the node can be run. Its types are right.
    function require_(uint256 node, NodeRecord memory record) internal pure {
        uint256 op = record.op;
        require(_isKnown(op), IModelCode.NotEvaluable(node, op, "op"));
        if (op == DOT) {
            (uint256 source, TensorType b,) = record.operand(1);
            if (!b.isFloat() || source >> 248 != CONSTANT) return;
            bool isMatrix = b.elements() == b.dimFromEnd(1) * b.dimFromEnd(2);
            require(isMatrix, IModelCode.NotEvaluable(node, op, "batch of constants"));
            bool isFilled = b.elements() != 0 && b.dimFromEnd(1) <= RowPacker.MOST_COLUMNS;
            require(isFilled, IModelCode.NotEvaluable(node, op, "columns"));
        }
        if (op == TREE_WALK) {
            (uint256 nodes,,) = record.operand(1);
            (uint256 roots,,) = record.operand(2);
            bool isConstant = nodes >> 248 == CONSTANT && roots >> 248 == CONSTANT;
            require(isConstant, IModelCode.NotEvaluable(node, op, "tables that are computed"));
        }
    }

    /// @return The form in which a node reads a constant: `Plan.RAW`, `Plan.ROWS` or `Plan.FOREST_PIECES`.
    function formOf(uint256 op, uint256 operand, TensorType type_) internal pure returns (uint256) {
        if (op == DOT && operand == 1 && type_.isFloat()) return Plan.ROWS;
        if (op == TREE_WALK && operand == 1) return Plan.FOREST_PIECES;
        return Plan.RAW;
    }

    function _isKnown(uint256 op) private pure returns (bool) {
        if (op == DOT || op == TREE_WALK) return true;
        uint256 family = op >> 8;
        uint256 ops;
        if (family == 0x02) ops = ELEMENTWISE;
        else if (family == 0x03) ops = TRANSCENDENTAL;
        else if (family == 0x04) ops = REDUCE;
        else if (family == 0x05) ops = MOVEMENT;
        return (ops >> (op & 0xff)) & 1 == 1;
    }
}
