// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ErrorFunction} from "../libraries/ErrorFunction.sol";
import {Exponential} from "../libraries/Exponential.sol";
import {Logarithm} from "../libraries/Logarithm.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title EXP, LOG, SIGMOID, TANH, ERF
contract Transcendental is Operation {
    uint256 private constant EXP = 0x0300;
    uint256 private constant LOG = 0x0301;
    uint256 private constant SIGMOID = 0x0302;
    uint256 private constant TANH = 0x0303;
    uint256 private constant ERF = 0x0304;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        require(task.op >= EXP && task.op <= ERF, UnknownOp(task.op));
        task.expect(1, 0);
        task.must(task.typeOf(0).isFloat(), "dtype");
        return task.typeOf(0);
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        uint32 x = task.float(0, task.element);
        if (task.op == EXP) return Exponential.exp(x);
        if (task.op == LOG) return Logarithm.log(x);
        if (task.op == SIGMOID) return Exponential.sigmoid(x);
        if (task.op == TANH) return Exponential.tanh(x);
        return ErrorFunction.erf(x);
    }
}
