// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {ErrorFunction} from "../../../contracts/libraries/ErrorFunction.sol";
import {Exponential} from "../../../contracts/libraries/Exponential.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Test} from "../Test.sol";

/// @dev Ends and laws; the bits themselves are compared with Python's in tests/parity.
contract ExponentialTest is Test {
    uint32 private constant NAN = 0x7fc00000;
    uint32 private constant INFINITY = 0x7f800000;
    uint32 private constant ONE = 0x3f800000;

    function test_exp_atTheEnds() external pure {
        _same(Exponential.exp(NAN), NAN);
        _same(Exponential.exp(0), ONE);
        _same(Exponential.exp(INFINITY), INFINITY);
        _same(Exponential.exp(INFINITY | Float32.SIGN), 0);
        _same(Exponential.exp(ONE), 0x402df854);
        // The last finite one and the first infinite one; the last above zero and the first zero.
        _same(Exponential.exp(0x42b17217), 0x7f7fff84);
        _same(Exponential.exp(0x42b17218), INFINITY);
        _same(Exponential.exp(0xc2cff1b4), 1);
        _same(Exponential.exp(0xc2cff1b5), 0);
    }

    function test_sigmoid_atTheEnds() external pure {
        _same(Exponential.sigmoid(NAN), NAN);
        _same(Exponential.sigmoid(0), 0x3f000000);
        _same(Exponential.sigmoid(INFINITY), ONE);
        _same(Exponential.sigmoid(INFINITY | Float32.SIGN), 0);
    }

    function test_tanh_atTheEnds() external pure {
        _same(Exponential.tanh(NAN), NAN);
        _same(Exponential.tanh(0), 0);
        _same(Exponential.tanh(INFINITY), ONE);
        _same(Exponential.tanh(INFINITY | Float32.SIGN), 0xbf800000);
    }

    function test_erf_atTheEnds() external pure {
        _same(ErrorFunction.erf(NAN), NAN);
        _same(ErrorFunction.erf(0), 0);
        _same(ErrorFunction.erf(1), 1);
        _same(ErrorFunction.erf(INFINITY), ONE);
        _same(ErrorFunction.erf(INFINITY | Float32.SIGN), 0xbf800000);
    }

    function testFuzz_exp_rises(uint32 x, uint32 y) external pure {
        _rises(Exponential.exp, x, y);
    }

    function testFuzz_sigmoid_rises(uint32 x, uint32 y) external pure {
        _rises(Exponential.sigmoid, x, y);
    }

    function testFuzz_tanh_rises(uint32 x, uint32 y) external pure {
        _rises(Exponential.tanh, x, y);
    }

    function testFuzz_erf_rises(uint32 x, uint32 y) external pure {
        _rises(ErrorFunction.erf, x, y);
    }

    function testFuzz_tanh_isOdd(uint32 x) external pure {
        _isOdd(Exponential.tanh, x);
    }

    function testFuzz_erf_isOdd(uint32 x) external pure {
        _isOdd(ErrorFunction.erf, x);
    }

    /// @dev Of any two, and of neighbours.
    function _rises(function(uint32) internal pure returns (uint32) f, uint32 x, uint32 y)
        private
        pure
    {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        if (Float32.isNaN(x) || Float32.isNaN(y)) return;
        vm.assertFalse(Arithmetic.less(x, y) && Arithmetic.less(f(y), f(x)));
        if (x & ~Float32.SIGN == INFINITY || x == 0) return;
        bool isNegative = x & Float32.SIGN != 0;
        uint32 value = f(x);
        uint32 next = f(Float32.canonical(x + 1));
        vm.assertFalse(isNegative ? Arithmetic.less(value, next) : Arithmetic.less(next, value));
    }

    function _isOdd(function(uint32) internal pure returns (uint32) f, uint32 x) private pure {
        x = Float32.canonical(x);
        _same(f(Arithmetic.neg(x)), Arithmetic.neg(f(x)));
    }

    function _same(uint32 actual, uint32 expected) private pure {
        vm.assertEq(uint256(actual), uint256(expected));
    }
}
