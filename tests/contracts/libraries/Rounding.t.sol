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

    /// @dev Every number of up to eight bits at every exponent, and of up to twelve where it underflows.
    function test_round_everyShortNumber() external pure {
        for (int256 exponent = -165; exponent <= 130; ++exponent) {
            uint256 end = exponent < -145 ? 1 << 12 : 1 << 8;
            for (uint256 significand = 1; significand < end; ++significand) {
                _check(significand, exponent);
            }
        }
    }

    /// @dev All that can be dropped of a number with up to eleven bits too many, where what is kept carries and where
    /// not, in the middle of the range and at both ends.
    function test_round_everythingDropped() external pure {
        uint256[4] memory kept = [uint256(0x800000), 0x800001, 0xfffffe, 0xffffff];
        int256[4] memory last = [int256(-149), -148, 0, 104];
        for (uint256 at; at < 16; ++at) {
            for (uint256 bits = 1; bits <= 11; ++bits) {
                for (uint256 rest; rest < 1 << bits; ++rest) {
                    _check((kept[at % 4] << bits) | rest, last[at / 4] - int256(bits));
                }
            }
        }
    }

    /// @dev Every sign and exponent with mantissas of all zeros, all ones, and each single bit.
    function test_decode_everyExponent() external pure {
        for (uint256 top; top < 1 << 9; ++top) {
            if (top & 0xff == 0xff) continue;
            for (uint256 i; i <= 24; ++i) {
                uint256 mantissa = i == 24 ? 0x7fffff : (1 << i) >> 1;
                uint32 bits = uint32((top << 23) | mantissa);
                if (bits == 0x80000000) continue;
                (bool negative, uint256 significand, int256 exponent) = Rounding.decode(bits);
                vm.assertTrue(significand < 1 << 24 && exponent >= -149 && exponent <= 104);
                vm.assertEq(Rounding.round(negative, significand, exponent), uint256(bits));
            }
        }
    }

    function _check(uint256 significand, int256 exponent) private pure {
        uint256 found = Rounding.round(false, significand, exponent);
        if (found != _plain(significand, exponent)) {
            vm.assertEq(found, _plain(significand, exponent));
        }
    }

    /// @dev By division and remainder, with the carry taken by itself.
    function _plain(uint256 significand, int256 exponent) private pure returns (uint256) {
        int256 last = exponent - 24;
        for (uint256 rest = significand; rest != 0; rest /= 2) {
            ++last;
        }
        if (last < -149) last = -149;
        uint256 kept;
        if (last <= exponent) {
            kept = significand * 2 ** uint256(exponent - last);
        } else {
            uint256 unit = 2 ** uint256(last - exponent);
            kept = significand / unit;
            uint256 twice = 2 * (significand % unit);
            if (twice > unit || (twice == unit && kept % 2 == 1)) ++kept;
        }
        if (kept == 0x1000000) (kept, last) = (0x800000, last + 1);
        if (last > 104) return 0x7f800000;
        return kept < 0x800000 ? kept : uint256(last + 150) * 0x800000 + kept - 0x800000;
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
    function test_bitLength_everyLength() external pure {
        vm.assertEq(Rounding.bitLength(0), 0);
        for (uint256 length = 1; length <= 256; ++length) {
            uint256 least = 1 << (length - 1);
            vm.assertEq(Rounding.bitLength(least), length);
            vm.assertEq(Rounding.bitLength(least | (least - 1)), length);
        }
        for (uint256 x = 1; x < 1 << 12; ++x) {
            uint256 length = Rounding.bitLength(x);
            vm.assertTrue(x < 1 << length && x >= 1 << (length - 1));
        }
    }

    function testFuzz_bitLength_isTheLeast(uint256 x, uint8 shift) external pure {
        x >>= shift;
        uint256 expected;
        for (uint256 rest = x; rest != 0; rest >>= 1) {
            ++expected;
        }
        vm.assertEq(Rounding.bitLength(x), expected);
    }
}
