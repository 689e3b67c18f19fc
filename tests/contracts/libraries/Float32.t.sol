// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Test} from "../Test.sol";

contract Float32Harness {
    function firstNonCanonical(bytes calldata data) external pure returns (uint256) {
        return Float32.firstNonCanonical(data);
    }

    function toWad(uint32 bits) external pure returns (int256) {
        return Float32.toWad(bits);
    }
}

abstract contract Float32Fixture is Test {
    Float32Harness internal harness = new Float32Harness();
}

contract FirstNonCanonicalTest is Float32Fixture {
    uint32[12] internal NASTY = [
        0x00000000,
        0x80000000,
        0x7f800000,
        0xff800000,
        0x7fc00000,
        0xffc00000,
        0x7f800001,
        0xff800001,
        0x7fffffff,
        0xffffffff,
        0x00000001,
        0x80000001
    ];

    function testFuzz_firstNonCanonical_agreesWithThePlainLoop(bytes calldata data) external view {
        _agrees(data[:data.length - data.length % 4]);
    }

    /// @dev Random bytes hardly ever hold a zero or a NaN.
    function testFuzz_firstNonCanonical_agreesOnNastyElements(uint256 seed, uint8 count)
        external
        view
    {
        bytes memory data;
        for (uint256 i; i < count % 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            // One of them in four; the others are canonical, so that the first bad one may stand anywhere.
            uint32 bits = seed % 4 == 0 ? NASTY[(seed >> 8) % 12] : uint32(0x3f800000);
            data = bytes.concat(data, bytes4(bits));
        }
        _agrees(data);
    }

    function testFuzz_firstNonCanonical_agreesOnEveryNeighbour(uint32 left, uint32 right)
        external
        view
    {
        for (uint256 i; i < 12; ++i) {
            _agrees(abi.encodePacked(left, NASTY[i], right));
        }
    }

    /// @dev Calldata after the payload is not part of it, whichever of its lanes is bad.
    function testFuzz_firstNonCanonical_readsNothingAfterTheEnd(uint256 lane) external view {
        bytes memory data = abi.encodeCall(Float32Harness.firstNonCanonical, (hex"3f800000"));
        data[data.length - 32 + 4 * _bound(lane, 1, 7)] = 0x80;
        (bool isSuccess, bytes memory answer) = address(harness).staticcall(data);
        vm.assertTrue(isSuccess);
        vm.assertEq(abi.decode(answer, (uint256)), 4);
    }

    function test_firstNonCanonical_isTheLengthWhenEmpty() external view {
        vm.assertEq(harness.firstNonCanonical(""), 0);
    }

    function _agrees(bytes memory data) private view {
        vm.assertEq(harness.firstNonCanonical(data), _plain(data));
    }

    function _plain(bytes memory data) private pure returns (uint256) {
        for (uint256 i; i < data.length; i += 4) {
            uint32 bits;
            for (uint256 j; j < 4; ++j) {
                bits = (bits << 8) | uint8(data[i + j]);
            }
            bool isNaN = (bits >> 23) & 0xff == 0xff && bits & 0x7fffff != 0;
            if (isNaN && bits != 0x7fc00000) return i;
            if (bits == 0x80000000) return i;
        }
        return data.length;
    }
}

contract ToWadTest is Float32Fixture {
    function test_toWad_ofOne() external view {
        vm.assertEq(harness.toWad(0x3f800000), int256(1e18));
    }

    function test_toWad_ofMinusOneAndAHalf() external view {
        vm.assertEq(harness.toWad(0xbfc00000), -1.5e18);
    }

    function test_toWad_ofOneTenthIsNotOneTenth() external view {
        vm.assertEq(harness.toWad(0x3dcccccd), 100000001490116119);
    }

    function test_toWad_ofZeros() external view {
        vm.assertEq(harness.toWad(0x00000000), int256(0));
        vm.assertEq(harness.toWad(0x80000000), int256(0));
    }

    function test_toWad_ofSubnormalsIsZero() external view {
        vm.assertEq(harness.toWad(0x00000001), int256(0));
        vm.assertEq(harness.toWad(0x807fffff), int256(0));
    }

    function test_toWad_ofTheLargest() external view {
        vm.assertEq(harness.toWad(0x7f7fffff), int256((2 ** 24 - 1) * 2 ** 104 * 1e18));
        vm.assertEq(harness.toWad(0xff7fffff), -int256((2 ** 24 - 1) * 2 ** 104 * 1e18));
    }

    function test_toWad_roundsTowardZero() external view {
        vm.assertEq(harness.toWad(0xbfffffff), -1999999880790710449);
    }

    /// @dev The value is significand * 2^power; doubled or halved one step at a time, cut once at the end.
    function testFuzz_toWad_agreesWithTheSlowWay(uint32 bits) external view {
        bits = uint32(_bound(bits & 0x7fffffff, 0, 0x7f7fffff)) | (bits & 0x80000000);
        uint256 exponent = (bits >> 23) & 0xff;
        uint256 numerator = (exponent == 0 ? 0 : 2 ** 23) + (bits & 0x7fffff);
        numerator *= 1e18;
        uint256 halvings;
        for (uint256 i = exponent == 0 ? 1 : exponent; i < 150; ++i) {
            ++halvings;
        }
        for (uint256 i = 150; i < exponent; ++i) {
            numerator *= 2;
        }
        int256 expected = int256(numerator / 2 ** halvings);
        vm.assertEq(harness.toWad(bits), bits >> 31 == 0 ? expected : -expected);
    }

    function testFuzz_toWad_revertsWhenNotFinite(uint32 bits) external {
        bits |= 0x7f800000;
        vm.expectRevert(abi.encodeWithSelector(Float32.NotFinite.selector, bits));
        harness.toWad(bits);
    }
}
