// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Rounding} from "../../../contracts/libraries/Rounding.sol";
import {Test} from "../Test.sol";

contract RoundTest is Test {
    function test_round_ofZeroHasNoSign() external pure {
        vm.assertEq(Rounding.round(true, 0, 5), uint256(0));
    }

    function test_round_takesTiesToEven() external pure {
        vm.assertEq(Rounding.round(false, 0x1000001, 0), uint256(0x4b800000));
        vm.assertEq(Rounding.round(false, 0x1000003, 0), uint256(0x4b800002));
        vm.assertEq(Rounding.round(false, (0x1000001 << 9) | 1, -9), uint256(0x4b800001));
    }

    function test_round_underflowsGradually() external pure {
        vm.assertEq(Rounding.round(false, 1, -149), uint256(1));
        vm.assertEq(Rounding.round(true, 3, -150), uint256(0x80000002));
        vm.assertEq(Rounding.round(true, 1, -150), uint256(0));
        vm.assertEq(Rounding.round(false, type(uint256).max, -405), uint256(1));
        vm.assertEq(Rounding.round(false, type(uint256).max, -406), uint256(0));
        vm.assertEq(Rounding.round(false, 0xffffff, -150), uint256(0x800000));
    }

    function test_round_overflowsFromTheMidpointOn() external pure {
        vm.assertEq(Rounding.round(false, 0xffffff, 104), uint256(0x7f7fffff));
        vm.assertEq(Rounding.round(false, 0x1ffffff, 103), uint256(0x7f800000));
        vm.assertEq(Rounding.round(false, (0x1ffffff << 100) - 1, 3), uint256(0x7f7fffff));
        vm.assertEq(Rounding.round(true, 1, 128), uint256(0xff800000));
        vm.assertEq(Rounding.round(true, 1, 1 << 200), uint256(0xff800000));
    }

    function testFuzz_round_ofWhatDecodeGivesIsTheNumber(uint32 bits) external pure {
        if (bits & 0x7f800000 == 0x7f800000 || bits == 0x80000000) return;
        (bool negative, uint256 significand, int256 exponent) = Rounding.decode(bits);
        vm.assertEq(Rounding.round(negative, significand, exponent), uint256(bits));
        vm.assertEq(Rounding.round(negative, significand << 230, exponent - 230), uint256(bits));
        vm.assertEq(
            Rounding.roundWide(negative, significand << 200, 0, exponent - 456), uint256(bits)
        );
    }

    /// @dev Between two numbers a third of the way, and two thirds, with the lowest bit for what is missing.
    function testFuzz_round_goesToTheNearer(uint32 bits) external pure {
        bits &= 0x7fffffff;
        if (bits >= 0x7f7fffff) return;
        (, uint256 m, int256 e) = Rounding.decode(bits);
        vm.assertEq(Rounding.round(false, (3 * m + 1) * (1 << 99) / 3 | 1, e - 99), uint256(bits));
        vm.assertEq(
            Rounding.round(false, (3 * m + 2) * (1 << 99) / 3 | 1, e - 99), uint256(bits) + 1
        );
    }

    function testFuzz_roundWide_isRoundWhereLittleIsHigh(uint256 low, int16 exponent)
        external
        pure
    {
        uint256 one = Rounding.roundWide(false, low >> 250, low << 6, int256(exponent) - 6);
        vm.assertEq(one, uint256(Rounding.round(false, low, exponent)));
    }
}

contract BitLengthTest is Test {
    function testFuzz_bitLength_isTheLeast(uint256 x, uint8 shift) external pure {
        x >>= shift;
        uint256 expected;
        for (uint256 rest = x; rest != 0; rest >>= 1) {
            ++expected;
        }
        vm.assertEq(Rounding.bitLength(x), expected);
    }
}
