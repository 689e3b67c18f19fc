// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../../../contracts/interfaces/IReferee.sol";
import {FixedPoint} from "../../../contracts/libraries/FixedPoint.sol";
import {Test} from "../Test.sol";

contract FixedPointHarness {
    function decide(uint256 middle, uint256 radius, int256 exponent)
        external
        pure
        returns (uint32)
    {
        return FixedPoint.decide(0x0904, 7, 9, false, middle, radius, exponent);
    }
}

contract FixedPointTest is Test {
    FixedPointHarness private harness = new FixedPointHarness();

    function testFuzz_mul_isRoundedDown(uint128 a, uint128 b) external pure {
        vm.assertEq(FixedPoint.mul(a, b), uint256(a) * b >> 192);
        vm.assertEq(FixedPoint.mul(uint256(a) << 64, uint256(b) << 64), uint256(a) * b >> 64);
    }

    /// @dev a * b = (high part of a) * b * 2^96 + (low part) * b.
    function testFuzz_mul_ofWideNumbers(uint192 a, uint160 b) external pure {
        uint256 high = (uint256(a) >> 96) * b;
        uint256 low = uint256(uint96(a)) * b;
        vm.assertEq(FixedPoint.mul(a, b), (high + (low >> 96)) >> 96);
    }

    function testFuzz_ratio_isRoundedDown(uint192 n, uint128 d) external pure {
        if (d == 0) return;
        n >>= 129;
        uint256 quotient = FixedPoint.ratio(n, d);
        vm.assertEq(quotient, (uint256(n) << 192) / d);
        vm.assertEq(FixedPoint.ratio(uint256(n) << 64, uint256(d) << 64), quotient);
    }

    function test_odd_ofAThirdIsHalfOfLn2() external pure {
        uint256 third = FixedPoint.ONE / 3;
        vm.assertApproxEqAbs(2 * FixedPoint.odd(third, false), FixedPoint.LN2, 1 << 10);
    }

    /// @dev Euler: arctan 1/2 + arctan 1/3 = pi/4.
    function test_odd_alternatingGivesPi() external pure {
        uint256 half = FixedPoint.odd(FixedPoint.ONE / 2, true);
        uint256 third = FixedPoint.odd(FixedPoint.ONE / 3, true);
        uint256 pi = 0xc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74;
        vm.assertApproxEqAbs(half + third, pi, 1 << 10);
    }

    function test_decide_takesWhatBothEndsRoundTo() external view {
        vm.assertEq(harness.decide((0x1000001 << 100) + 20, 19, -100), uint256(0x4b800001));
        vm.assertEq(harness.decide((0x1000001 << 100) - 20, 19, -100), uint256(0x4b800000));
    }

    function test_decide_revertsWhenTheyDiffer() external {
        vm.expectRevert(abi.encodeWithSelector(IReferee.Undecided.selector, 0x0904, 7, 9));
        harness.decide((0x1000001 << 100) + 20, 20, -100);
    }
}
