// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Trigonometry} from "../../../contracts/libraries/Trigonometry.sol";
import {Test} from "../Test.sol";

/// @dev Ends and laws; the bits themselves are compared with Python's in tests/parity.
contract TrigonometryTest is Test {
    uint32 private constant NAN = 0x7fc00000;
    uint32 private constant INFINITY = 0x7f800000;
    uint32 private constant ONE = 0x3f800000;

    function test_sin_atTheEnds() external pure {
        _same(Trigonometry.sin(NAN), NAN);
        _same(Trigonometry.sin(INFINITY), NAN);
        _same(Trigonometry.sin(0xff800000), NAN);
        _same(Trigonometry.sin(0), 0);
        _same(Trigonometry.sin(0x80000001), 0x80000001);
        _same(Trigonometry.sin(0x40490fdb), 0xb3bbbd2e); // next to pi
        _same(Trigonometry.sin(0x7f7fffff), 0xbf0599b3);
    }

    function test_cos_atTheEnds() external pure {
        _same(Trigonometry.cos(NAN), NAN);
        _same(Trigonometry.cos(0xff800000), NAN);
        _same(Trigonometry.cos(0), ONE);
        _same(Trigonometry.cos(0x40490fdb), 0xbf800000);
        _same(Trigonometry.cos(0x7f7fffff), 0x3f5a5f96);
    }

    function test_atan_atTheEnds() external pure {
        _same(Trigonometry.atan(NAN), NAN);
        _same(Trigonometry.atan(0), 0);
        _same(Trigonometry.atan(ONE), 0x3f490fdb);
        _same(Trigonometry.atan(INFINITY), 0x3fc90fdb);
        _same(Trigonometry.atan(0xff800000), 0xbfc90fdb);
    }

    function testFuzz_functions_areOddOrEven(uint32 x) external pure {
        x = Float32.canonical(x);
        uint32 y = Arithmetic.neg(x);
        _same(Trigonometry.sin(y), Arithmetic.neg(Trigonometry.sin(x)));
        _same(Trigonometry.cos(y), Trigonometry.cos(x));
        _same(Trigonometry.atan(y), Arithmetic.neg(Trigonometry.atan(x)));
    }

    /// @dev The squares of sine and cosine, in units of 2^-149: one within a few roundings.
    function testFuzz_functions_ofOneAngle(uint32 x) external pure {
        x = Float32.canonical(x);
        if (x & INFINITY == INFINITY) return;
        (uint32 sine, uint32 cosine) = (Trigonometry.sin(x), Trigonometry.cos(x));
        uint32 one = Arithmetic.add(Arithmetic.mul(sine, sine), Arithmetic.mul(cosine, cosine));
        vm.assertApproxEqAbs(one, ONE, 4);
    }

    function _same(uint32 actual, uint32 expected) private pure {
        vm.assertEq(uint256(actual), uint256(expected));
    }
}
