// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Elements} from "../libraries/Elements.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Quick} from "./Quick.sol";
import {Words} from "./Words.sol";

/// @dev Family 02: one element in, one element out, operands broadcast. The rules are those of
/// `contracts/ops/Elementwise.sol`.
library Pointwise {
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
    uint256 private constant EQUAL = 0x0240;
    uint256 private constant AND = 0x0241;
    uint256 private constant OR = 0x0242;
    uint256 private constant XOR = 0x0243;
    uint256 private constant MOD = 0x0244;

    /// @dev An operand as it is walked through.
    struct Operand {
        uint256 words;
        TensorType type_;
        uint256 elements;
    }

    /// @notice An op of one operand, or of two.
    /// @param b Of ops of one operand anything.
    function apply_(
        uint256 op,
        Operand memory a,
        Operand memory b,
        TensorType type_,
        uint256 count,
        uint256 out
    ) internal pure {
        unchecked {
            bool isFloat = a.type_.isFloat();
            if (op == NEG || op == ABS || op == SQRT) b = a;
            bool isPlain = _isPlain(a, count) && _isPlain(b, count);
            if (isPlain && isFloat && _applyQuickly(op, a, b, count, out)) return;

            uint256 dtype = type_.dtype();
            for (uint256 i; i < count; ++i) {
                uint256 x = Words.at(a.words + 32 * type_.placeIn(a.type_, i));
                uint256 y = Words.at(b.words + 32 * type_.placeIn(b.type_, i));
                uint256 z = isFloat ? _float(op, x, y) : _integer(op, int256(x), int256(y));
                Words.set(out + 32 * i, isFloat ? z : wrapped(z, dtype));
            }
        }
    }

    /// @param a Bools; where they are true, what stands in `b` is taken.
    function where(
        Operand memory a,
        Operand memory b,
        Operand memory c,
        TensorType type_,
        uint256 count,
        uint256 out
    ) internal pure {
        unchecked {
            for (uint256 i; i < count; ++i) {
                Operand memory chosen =
                    Words.at(a.words + 32 * type_.placeIn(a.type_, i)) != 0 ? b : c;
                Words.set(
                    out + 32 * i, Words.at(chosen.words + 32 * type_.placeIn(chosen.type_, i))
                );
            }
        }
    }

    function cast(Operand memory a, TensorType to, uint256 out) internal pure {
        unchecked {
            TensorType from = a.type_;
            bool isSame = from.dtype() == to.dtype();
            for (uint256 i; i < a.elements; ++i) {
                uint256 x = Words.at(a.words + 32 * i);
                Words.set(out + 32 * i, isSame ? x : _cast(x, from, to));
            }
        }
    }

    /// @return An integer brought into the range of its dtype, or a bool.
    function wrapped(uint256 x, uint256 dtype) internal pure returns (uint256) {
        if (dtype == TensorTypeLibrary.UINT8) return x & 0xff;
        if (dtype == TensorTypeLibrary.BOOL) return x & 1;
        uint256 last = TensorTypeLibrary.scalarOf(dtype).itemSize() - 1;
        assembly ("memory-safe") {
            x := signextend(last, x)
        }
        return x;
    }

    /// @return Whether element i of the value goes with element i of the operand, or with its only one.
    function _isPlain(Operand memory operand, uint256 count) private pure returns (bool) {
        return operand.elements == count || operand.elements == 1;
    }

    /// @dev The ops that networks are made of, without a choice for each element.
    /// @return done
    function _applyQuickly(
        uint256 op,
        Operand memory operandA,
        Operand memory operandB,
        uint256 count,
        uint256 out
    ) private pure returns (bool done) {
        unchecked {
            uint256 a = operandA.words;
            uint256 b = operandB.words;
            uint256 stepA = operandA.elements == 1 ? 0 : 32;
            uint256 stepB = operandB.elements == 1 ? 0 : 32;
            uint256 end = out + 32 * count;
            if (op == MAX && stepB == 0 && Words.at(b) == 0) {
                // What is above zero, or the one NaN, whose sign is none.
                assembly ("memory-safe") {
                    for {} lt(out, end) { out := add(out, 32) } {
                        let x := mload(a)
                        mstore(out, mul(x, lt(x, 0x80000000)))
                        a := add(a, stepA)
                    }
                }
                return true;
            }
            if (op == ADD || op == SUB) {
                for (; out < end; (out, a, b) = (out + 32, a + stepA, b + stepB)) {
                    uint256 y = Words.at(b);
                    Words.set(
                        out, op == ADD ? Quick.add(Words.at(a), y) : Quick.sub(Words.at(a), y)
                    );
                }
                return true;
            }
            if (op == MUL) {
                for (; out < end; (out, a, b) = (out + 32, a + stepA, b + stepB)) {
                    Words.set(out, Quick.mul(Words.at(a), Words.at(b)));
                }
                return true;
            }
            if (op == DIV) {
                for (; out < end; (out, a, b) = (out + 32, a + stepA, b + stepB)) {
                    Words.set(out, Quick.div(Words.at(a), Words.at(b)));
                }
                return true;
            }
        }
    }

    function _float(uint256 op, uint256 a, uint256 b) private pure returns (uint256) {
        uint32 x = uint32(a);
        uint32 y = uint32(b);
        if (op == ADD) return Quick.add(a, b);
        if (op == SUB) return Quick.sub(a, b);
        if (op == MUL) return Quick.mul(a, b);
        if (op == DIV) return Quick.div(a, b);
        if (op == NEG) return Arithmetic.neg(x);
        if (op == ABS) return Arithmetic.abs(x);
        if (op == SQRT) return Arithmetic.sqrt(x);
        if (op == MAX) return Arithmetic.maximum(x, y);
        if (op == MIN) return Arithmetic.minimum(x, y);
        if (op == MOD) return Arithmetic.mod(x, y);
        return (op == LESS ? Arithmetic.less(x, y) : Arithmetic.equal(x, y)) ? 1 : 0;
    }

    /// @dev Before wrapping: operands have 64 bits at most, so nothing overflows.
    function _integer(uint256 op, int256 x, int256 y) private pure returns (uint256) {
        unchecked {
            if (op == ADD) return uint256(x + y);
            if (op == SUB) return uint256(x - y);
            if (op == MUL) return uint256(x * y);
            if (op == DIV) return y == 0 ? 0 : uint256(x / y);
            if (op == NEG) return uint256(-x);
            if (op == ABS) return uint256(x < 0 ? -x : x);
            if (op == MAX) return uint256(x > y ? x : y);
            if (op == MIN) return uint256(x < y ? x : y);
            if (op == AND) return uint256(x & y);
            if (op == OR) return uint256(x | y);
            if (op == XOR) return uint256(x ^ y);
            if (op == MOD) return uint256(y == 0 ? x : x % y);
            return (op == LESS ? x < y : x == y) ? 1 : 0;
        }
    }

    function _cast(uint256 x, TensorType from, TensorType to) private pure returns (uint256) {
        if (to.isBool()) return x == 0 ? 0 : 1;
        if (from.isFloat()) {
            (int256 low, int256 high) = Elements.limitsOf(to);
            return uint256(Arithmetic.toInteger(uint32(x), low, high));
        }
        if (to.isFloat()) return Arithmetic.fromInteger(int256(x));
        return wrapped(x, to.dtype());
    }
}
