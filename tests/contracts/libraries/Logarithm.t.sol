// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Logarithm} from "../../../contracts/libraries/Logarithm.sol";
import {Test} from "../Test.sol";

/// @dev Ends and laws; the bits themselves are compared with Python's in tests/parity.
contract LogarithmTest is Test {
    uint32 private constant NAN = 0x7fc00000;
    uint32 private constant INFINITY = 0x7f800000;

    function test_log_atTheEnds() external pure {
        _same(Logarithm.log(NAN), NAN);
        _same(Logarithm.log(0), 0xff800000);
        _same(Logarithm.log(0x3f800000), 0);
        _same(Logarithm.log(INFINITY), INFINITY);
        _same(Logarithm.log(0x80000001), NAN);
        _same(Logarithm.log(0xff800000), NAN);
        _same(Logarithm.log(0x40000000), 0x3f317218);
        _same(Logarithm.log(1), 0xc2ce8ed0);
    }

    function test_log1p_atTheEnds() external pure {
        _same(Logarithm.log1p(NAN), NAN);
        _same(Logarithm.log1p(0), 0);
        _same(Logarithm.log1p(0xbf800000), 0xff800000);
        _same(Logarithm.log1p(0xbf800001), NAN);
        _same(Logarithm.log1p(0xff800000), NAN);
        _same(Logarithm.log1p(INFINITY), INFINITY);
        _same(Logarithm.log1p(0x3f800000), 0x3f317218);
        _same(Logarithm.log1p(0x80000001), 0x80000001);
    }

    /// @dev 1 + x is exact for whole x below 2^24.
    function testFuzz_log1p_isLogOfOneMore(uint24 n) external pure {
        uint32 x = Arithmetic.fromInteger(int256(uint256(n)));
        uint32 more = Arithmetic.fromInteger(int256(uint256(n)) + 1);
        _same(Logarithm.log1p(x), Logarithm.log(more));
    }

    /// @dev log 1/x = -log x where 1/x is exact.
    function testFuzz_log_ofAnInverse(uint8 field) external pure {
        uint32 x = uint32(_bound(field, 1, 253)) << 23;
        uint32 inverse = Arithmetic.div(0x3f800000, x);
        _same(Logarithm.log(inverse), Arithmetic.neg(Logarithm.log(x)));
    }

    function _same(uint32 actual, uint32 expected) private pure {
        vm.assertEq(uint256(actual), uint256(expected));
    }
}
