// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Elements} from "../libraries/Elements.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title QUANTIZE
contract Quantized is Operation {
    uint256 private constant QUANTIZE = 0x0800;

    /// @dev Operands.
    uint256 private constant X = 0;
    uint256 private constant SCALE = 1;
    uint256 private constant ZERO = 2;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        require(task.op == QUANTIZE, UnknownOp(task.op));
        task.expect(3, 0);
        TensorType x = task.typeOf(X);
        TensorType scale = task.typeOf(SCALE);
        TensorType zero = task.typeOf(ZERO);
        uint256 dtype = zero.dtype();
        task.must(x.isFloat() && scale.isFloat(), "dtype");
        task.must(dtype == TensorTypeLibrary.INT8 || dtype == TensorTypeLibrary.UINT8, "dtype");
        (bool fits, TensorType both) = x.broadcast(scale);
        task.must(fits, "shape");
        (fits, both) = both.broadcast(zero);
        task.must(fits, "shape");
        return both.withDtype(dtype);
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        uint32 x = task.float(X, _place(task, X));
        uint32 scale = task.float(SCALE, _place(task, SCALE));
        int256 zero = task.integer(ZERO, _place(task, ZERO));

        int256 whole = Arithmetic.roundToInteger(Arithmetic.div(x, scale)) + zero;
        (int256 low, int256 high) = Elements.limitsOf(task.output);
        if (whole < low) whole = low;
        if (whole > high) whole = high;
        return Elements.bitsOf(whole, task.output);
    }

    function _place(Task memory task, uint256 operand) private pure returns (uint256) {
        return task.output.placeIn(task.typeOf(operand), task.element);
    }
}
