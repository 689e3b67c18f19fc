// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Power} from "../../../contracts/libraries/Power.sol";
import {Test} from "../Test.sol";

/// @dev Ends and laws; the bits themselves are compared with Python's in tests/parity.
contract PowerTest is Test {
    uint32 private constant NAN = 0x7fc00000;
    uint32 private constant INFINITY = 0x7f800000;
    uint32 private constant MINUS_INFINITY = 0xff800000;
    uint32 private constant ONE = 0x3f800000;
    uint32 private constant TWO = 0x40000000;
    uint32 private constant THREE = 0x40400000;
    uint32 private constant HALF = 0x3f000000;
    uint32 private constant SIGN = 0x80000000;

    function test_pow_ofOneAndToZeroIsOneEvenWithNaN() external pure {
        _same(Power.pow(NAN, 0), ONE);
        _same(Power.pow(ONE, NAN), ONE);
        _same(Power.pow(0, 0), ONE);
        _same(Power.pow(INFINITY, 0), ONE);
        _same(Power.pow(NAN, ONE), NAN);
        _same(Power.pow(TWO, NAN), NAN);
    }

    function test_pow_toInfinity() external pure {
        _same(Power.pow(ONE | SIGN, INFINITY), ONE);
        _same(Power.pow(ONE | SIGN, MINUS_INFINITY), ONE);
        _same(Power.pow(TWO | SIGN, INFINITY), INFINITY);
        _same(Power.pow(TWO, MINUS_INFINITY), 0);
        _same(Power.pow(HALF, INFINITY), 0);
        _same(Power.pow(0, MINUS_INFINITY), INFINITY);
    }

    function test_pow_ofZeroAndInfinity() external pure {
        _same(Power.pow(0, THREE), 0);
        _same(Power.pow(0, THREE | SIGN), INFINITY);
        _same(Power.pow(INFINITY, HALF), INFINITY);
        _same(Power.pow(INFINITY, HALF | SIGN), 0);
        _same(Power.pow(MINUS_INFINITY, THREE), MINUS_INFINITY);
        _same(Power.pow(MINUS_INFINITY, TWO), INFINITY);
        _same(Power.pow(MINUS_INFINITY, THREE | SIGN), 0);
        _same(Power.pow(MINUS_INFINITY, HALF), INFINITY);
    }

    function test_pow_ofNegativeNumbers() external pure {
        _same(Power.pow(TWO | SIGN, THREE), 0xc1000000);
        _same(Power.pow(TWO | SIGN, TWO), 0x40800000);
        _same(Power.pow(TWO | SIGN, HALF), NAN);
        _same(Power.pow(ONE | SIGN, THREE), ONE | SIGN);
        _same(Power.pow(ONE | SIGN, 0x7f7fffff), ONE);
    }

    function testFuzz_pow_toOneIsTheNumber(uint32 x) external pure {
        x = Float32.canonical(x);
        _same(Power.pow(x, ONE), x);
    }

    function testFuzz_pow_toTwoIsTheSquare(uint32 x) external pure {
        x = Float32.canonical(x);
        _same(Power.pow(x, TWO), Arithmetic.mul(x, x));
    }

    function testFuzz_pow_toAHalfIsTheRoot(uint32 x) external pure {
        x = Float32.canonical(x) & ~SIGN;
        _same(Power.pow(x, HALF), Arithmetic.sqrt(x));
    }

    function testFuzz_pow_toMinusOneIsTheInverse(uint32 x) external pure {
        x = Float32.canonical(x) & ~SIGN;
        _same(Power.pow(x, ONE | SIGN), Arithmetic.div(ONE, x));
    }

    function testFuzz_pow_decidesAlways(uint32 x, uint32 y) external pure {
        uint32 bits = Power.pow(Float32.canonical(x), Float32.canonical(y));
        _same(Float32.canonical(bits), bits);
    }

    function _same(uint32 actual, uint32 expected) private pure {
        vm.assertEq(uint256(actual), uint256(expected));
    }
}
