// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Logarithm} from "../libraries/Logarithm.sol";
import {Power} from "../libraries/Power.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Trigonometry} from "../libraries/Trigonometry.sol";
import {Operation} from "./Operation.sol";

/// @title LOG1P, SIN, COS, ATAN, POW
contract Functions is Operation {
    uint256 private constant LOG1P = 0x0900;
    uint256 private constant SIN = 0x0901;
    uint256 private constant COS = 0x0902;
    uint256 private constant ATAN = 0x0903;
    uint256 private constant POW = 0x0904;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        require(task.op >= LOG1P && task.op <= POW, UnknownOp(task.op));
        bool isPower = task.op == POW;
        task.expect(isPower ? 2 : 1, 0);
        TensorType x = task.typeOf(0);
        task.must(x.isFloat(), "dtype");
        if (!isPower) return x;

        task.must(task.typeOf(1).isFloat(), "dtype");
        (bool fits, TensorType both) = x.broadcast(task.typeOf(1));
        task.must(fits, "shape");
        return both;
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        uint32 x = task.float(0, task.output.placeIn(task.typeOf(0), task.element));
        if (task.op == LOG1P) return Logarithm.log1p(x);
        if (task.op == SIN) return Trigonometry.sin(x);
        if (task.op == COS) return Trigonometry.cos(x);
        if (task.op == ATAN) return Trigonometry.atan(x);
        return Power.pow(x, task.float(1, task.output.placeIn(task.typeOf(1), task.element)));
    }
}
