// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Elements} from "../libraries/Elements.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title One element in, one element out, operands broadcast: arithmetic, choice, Cast
contract Elementwise is Operation {
    uint256 private constant ADD = 0x0200;
    uint256 private constant SUB = 0x0201;
    uint256 private constant MUL = 0x0202;
    uint256 private constant DIV = 0x0203;
    uint256 private constant NEG = 0x0204;
    uint256 private constant ABS = 0x0205;
    uint256 private constant SQRT = 0x0206;
    uint256 private constant MAX = 0x0207;
    uint256 private constant MIN = 0x0208;
    uint256 private constant LESS = 0x0209;
    uint256 private constant WHERE = 0x020A;
    uint256 private constant CAST = 0x020B;
    uint256 private constant EQUAL = 0x0240;
    uint256 private constant AND = 0x0241;
    uint256 private constant OR = 0x0242;
    uint256 private constant XOR = 0x0243;
    uint256 private constant MOD = 0x0244;

    /* TYPES */

    function _infer(Task memory task) internal pure override returns (TensorType) {
        uint256 op = task.op;
        require(op >= ADD && (op <= CAST || (op >= EQUAL && op <= MOD)), UnknownOp(op));
        if (op == WHERE) return _inferWhere(task);
        if (op == CAST) return _inferCast(task);

        bool isUnary = op == NEG || op == ABS || op == SQRT;
        task.expect(isUnary ? 1 : 2, 0);
        task.must(task.isOneDtype(0, task.operands.length), "dtype");
        _checkDtype(task, task.typeOf(0));
        TensorType both = isUnary ? task.typeOf(0) : _broadcast(task, task.typeOf(0), 1);
        return op == LESS || op == EQUAL ? both.withDtype(TensorTypeLibrary.BOOL) : both;
    }

    function _checkDtype(Task memory task, TensorType x) private pure {
        uint256 op = task.op;
        bool isBits = op == AND || op == OR || op == XOR;
        task.must(op == EQUAL || isBits || !x.isBool(), "dtype");
        task.must(!isBits || !x.isFloat(), "dtype");
        task.must(op != SQRT || x.isFloat(), "dtype");
    }

    function _inferWhere(Task memory task) private pure returns (TensorType both) {
        task.expect(3, 0);
        task.must(task.typeOf(0).isBool() && task.isOneDtype(1, 3), "dtype");
        both = _broadcast(task, _broadcast(task, task.typeOf(0), 1), 2);
        return both.withDtype(task.typeOf(1).dtype());
    }

    function _inferCast(Task memory task) private pure returns (TensorType) {
        task.expect(1, 1);
        int256 dtype = task.attribute(0);
        task.must(dtype == int256(task.output.dtype()), "attributes");
        return task.typeOf(0).withDtype(task.output.dtype());
    }

    function _broadcast(Task memory task, TensorType a, uint256 operand)
        private
        pure
        returns (TensorType)
    {
        (bool fits, TensorType both) = a.broadcast(task.typeOf(operand));
        task.must(fits, "shape");
        return both;
    }

    /* VALUES */

    function _compute(Task memory task) internal pure override returns (uint256) {
        if (task.op == WHERE) {
            uint256 chosen = task.integer(0, _place(task, 0)) != 0 ? 1 : 2;
            return task.bits(chosen, _place(task, chosen));
        }
        if (task.op == CAST) return _cast(task);

        bool isBinary = task.operands.length == 2;
        if (task.typeOf(0).isFloat()) {
            uint32 x = task.float(0, _place(task, 0));
            uint32 y = isBinary ? task.float(1, _place(task, 1)) : 0;
            return _float(task.op, x, y);
        }
        int256 m = task.integer(0, _place(task, 0));
        int256 n = isBinary ? task.integer(1, _place(task, 1)) : int256(0);
        return Elements.bitsOf(_integer(task.op, m, n), task.output);
    }

    function _place(Task memory task, uint256 operand) private pure returns (uint256) {
        return task.output.placeIn(task.typeOf(operand), task.element);
    }

    function _float(uint256 op, uint32 x, uint32 y) private pure returns (uint256) {
        if (op == ADD) return Arithmetic.add(x, y);
        if (op == SUB) return Arithmetic.sub(x, y);
        if (op == MUL) return Arithmetic.mul(x, y);
        if (op == DIV) return Arithmetic.div(x, y);
        if (op == NEG) return Arithmetic.neg(x);
        if (op == ABS) return Arithmetic.abs(x);
        if (op == SQRT) return Arithmetic.sqrt(x);
        if (op == MAX) return Arithmetic.maximum(x, y);
        if (op == MIN) return Arithmetic.minimum(x, y);
        if (op == MOD) return Arithmetic.mod(x, y);
        return (op == LESS ? Arithmetic.less(x, y) : Arithmetic.equal(x, y)) ? 1 : 0;
    }

    /// @dev Before wrapping: operands have 64 bits at most, so nothing overflows.
    function _integer(uint256 op, int256 x, int256 y) private pure returns (int256) {
        if (op == ADD) return x + y;
        if (op == SUB) return x - y;
        if (op == MUL) return x * y;
        if (op == DIV) return y == 0 ? int256(0) : x / y;
        if (op == NEG) return -x;
        if (op == ABS) return x < 0 ? -x : x;
        if (op == MAX) return x > y ? x : y;
        if (op == MIN) return x < y ? x : y;
        if (op == AND) return x & y;
        if (op == OR) return x | y;
        if (op == XOR) return x ^ y;
        if (op == MOD) return y == 0 ? x : x % y;
        return (op == LESS ? x < y : x == y) ? int256(1) : int256(0);
    }

    function _cast(Task memory task) private pure returns (uint256) {
        TensorType from = task.typeOf(0);
        TensorType to = task.output;
        if (from.dtype() == to.dtype()) return task.bits(0, task.element);
        if (from.isFloat()) {
            uint32 x = task.float(0, task.element);
            if (to.isBool()) return x == 0 ? 0 : 1;
            (int256 low, int256 high) = Elements.limitsOf(to);
            return Elements.bitsOf(Arithmetic.toInteger(x, low, high), to);
        }
        int256 n = task.integer(0, task.element);
        if (to.isFloat()) return Arithmetic.fromInteger(n);
        if (to.isBool()) return n == 0 ? 0 : 1;
        return Elements.bitsOf(n, to);
    }
}
