// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Test} from "../Test.sol";

/// @dev Laws of arithmetic; the bits themselves are compared with Python's in tests/parity.
contract ArithmeticTest is Test {
    uint32 private constant NAN = 0x7fc00000;
    uint32 private constant INFINITY = 0x7f800000;

    function testFuzz_add_commutes(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        _same(Arithmetic.add(x, y), Arithmetic.add(y, x));
    }

    function testFuzz_add_ofTwiceIsMultiplied(uint32 x) external pure {
        x = Float32.canonical(x);
        _same(Arithmetic.add(x, x), Arithmetic.mul(x, 0x40000000));
    }

    function testFuzz_sub_ofItselfIsZero(uint32 x) external pure {
        x = Float32.canonical(x);
        _same(Arithmetic.sub(x, x), _isFinite(x) ? 0 : NAN);
    }

    /// @dev Sterbenz: within a factor of two a difference is exact, so adding it again gives x.
    function testFuzz_sub_isExactBetweenNeighbours(uint32 x, uint32 step) external pure {
        x = uint32(_bound(x, 0x01000000, 0x7effffff));
        uint32 y = x + step % 0x800000;
        _same(Arithmetic.add(Arithmetic.sub(y, x), x), y);
    }

    function testFuzz_mul_commutes(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        _same(Arithmetic.mul(x, y), Arithmetic.mul(y, x));
    }

    function testFuzz_div_ofItselfIsOne(uint32 x) external pure {
        x = Float32.canonical(x);
        _same(Arithmetic.div(x, x), _isFinite(x) && x != 0 ? 0x3f800000 : NAN);
    }

    function test_div_byZeroHasTheSignOfTheNumerator() external pure {
        _same(Arithmetic.div(0xbf800000, 0), 0xff800000);
        _same(Arithmetic.div(1, 0), INFINITY);
        _same(Arithmetic.div(0, 0), NAN);
        _same(Arithmetic.div(0x3f800000, 0xff800000), 0);
    }

    function testFuzz_sqrt_ofSquares(uint32 x) external pure {
        uint32 root = Arithmetic.fromInteger(int256(uint256(x & 0xfff)));
        _same(Arithmetic.sqrt(Arithmetic.mul(root, root)), root);
    }

    function testFuzz_mod_isBelowTheDivisor(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        if (!_isFinite(x) || !_isFinite(y) || y == 0) return;
        uint32 rest = Arithmetic.mod(x, y);
        vm.assertTrue(Arithmetic.less(Arithmetic.abs(rest), Arithmetic.abs(y)));
        vm.assertTrue(rest == 0 || rest >> 31 == x >> 31);
    }

    function test_mod_atTheEnds() external pure {
        _same(Arithmetic.mod(INFINITY, 0x3f800000), NAN);
        _same(Arithmetic.mod(0x3f800000, 0), NAN);
        _same(Arithmetic.mod(0x3f800000, INFINITY), 0x3f800000);
        _same(Arithmetic.mod(0xc0400000, 0x40000000), 0xbf800000);
    }

    function testFuzz_less_isAnOrder(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        bool isNaN = Float32.isNaN(x) || Float32.isNaN(y);
        uint256 count = (Arithmetic.less(x, y) ? 1 : 0) + (Arithmetic.less(y, x) ? 1 : 0)
            + (Arithmetic.equal(x, y) ? 1 : 0);
        vm.assertEq(count, isNaN ? 0 : 1);
        if (isNaN) return _same(Arithmetic.maximum(x, y) & Arithmetic.minimum(x, y), NAN);
        vm.assertFalse(Arithmetic.less(Arithmetic.maximum(x, y), Arithmetic.minimum(x, y)));
    }

    function testFuzz_toInteger_givesBackWhatItWasGiven(int256 n) external pure {
        n %= 1 << 24;
        uint32 x = Arithmetic.fromInteger(n);
        vm.assertEq(Arithmetic.toInteger(x, -(1 << 24), 1 << 24), n);
        vm.assertEq(Arithmetic.roundToInteger(x), n);
    }

    function test_toInteger_clamps() external pure {
        vm.assertEq(Arithmetic.toInteger(INFINITY, -128, 127), int256(127));
        vm.assertEq(Arithmetic.toInteger(0xff800000, -128, 127), -128);
        vm.assertEq(Arithmetic.toInteger(0x43800000, -128, 127), int256(127));
        vm.assertEq(Arithmetic.toInteger(0xbf800000, 0, 255), int256(0));
        vm.assertEq(Arithmetic.toInteger(NAN, 1, 255), int256(0));
    }

    function test_roundToInteger_takesTiesToEven() external pure {
        vm.assertEq(Arithmetic.roundToInteger(0x3f000000), int256(0));
        vm.assertEq(Arithmetic.roundToInteger(0x3fc00000), int256(2));
        vm.assertEq(Arithmetic.roundToInteger(0xc0200000), -2);
        vm.assertEq(Arithmetic.roundToInteger(1), int256(0));
        vm.assertEq(Arithmetic.roundToInteger(0x3f000001), int256(1));
    }

    function _isFinite(uint32 x) private pure returns (bool) {
        return x & 0x7f800000 != INFINITY;
    }

    function _same(uint32 actual, uint32 expected) private pure {
        vm.assertEq(uint256(actual), uint256(expected));
    }
}
