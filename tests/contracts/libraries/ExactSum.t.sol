// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {ExactSum} from "../../../contracts/libraries/ExactSum.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Test} from "../Test.sol";

/// @dev Words of lanes against one product at a time; the bits themselves are compared with Python's in tests/parity.
contract ExactSumTest is Test {
    using ExactSum for ExactSum.Sum;

    function testFuzz_addProducts_isAddProductOfEach(bytes calldata a, bytes calldata b)
        external
        pure
    {
        uint256 count = (a.length < b.length ? a.length : b.length) / 4;
        _agrees(a, b, count);
    }

    /// @dev Exponents within the range of what is near, and zeros: where nothing is special.
    function testFuzz_addProducts_isAddProductOfEachNear(bytes calldata a, bytes calldata b)
        external
        pure
    {
        uint256 count = (a.length < b.length ? a.length : b.length) / 4;
        _agrees(_narrow(a), _narrow(b), count);
    }

    function testFuzz_addTerms_isAddTermOfEach(bytes calldata a) external pure {
        ExactSum.Sum memory fast = ExactSum.create();
        ExactSum.Sum memory slow = ExactSum.create();
        bytes memory copy = a;
        fast.addTerms(_pointer(copy), a.length / 4);
        for (uint256 i; i < a.length / 4; ++i) {
            slow.addTerm(_element(copy, i));
        }
        vm.assertEq(uint256(fast.round()), uint256(slow.round()));
    }

    function testFuzz_addTerm_ofTwoIsTheirSum(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addTerm(x);
        sum.addTerm(y);
        vm.assertEq(uint256(sum.round()), uint256(Arithmetic.add(x, y)));
    }

    function testFuzz_addProduct_ofOneIsTheProduct(uint32 x, uint32 y) external pure {
        (x, y) = (Float32.canonical(x), Float32.canonical(y));
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addProduct(x, y);
        vm.assertEq(uint256(sum.round()), uint256(Arithmetic.mul(x, y)));
    }

    function testFuzz_roundQuotient_ofOneTermIsTheQuotient(uint32 x, uint32 divisor) external pure {
        x = Float32.canonical(x);
        divisor &= 0xffffff;
        uint32 n = Arithmetic.fromInteger(int256(uint256(divisor)));
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addTerm(x);
        uint32 expected = divisor == 0 ? Float32.NAN : Arithmetic.div(x, n);
        vm.assertEq(uint256(sum.roundQuotient(divisor)), uint256(expected));
    }

    function testFuzz_round_ofWhatCancelsIsZero(bytes calldata a, bytes calldata b) external pure {
        uint256 count = (a.length < b.length ? a.length : b.length) / 4;
        (bytes memory x, bytes memory y) = (_narrow(a), _narrow(b));
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addProducts(_pointer(x), _pointer(y), count);
        for (uint256 i; i < count; ++i) {
            sum.addProduct(_element(x, i) ^ Float32.SIGN, _element(y, i));
        }
        vm.assertEq(uint256(sum.round()), uint256(0));
    }

    /// @dev The largest and the smallest products, far and near, change nothing in memory but the sum.
    function test_addProducts_writesNowhereElse() external pure {
        bytes memory a = abi.encodePacked(bytes32(type(uint256).max));
        ExactSum.Sum memory sum = ExactSum.create();
        bytes memory b = abi.encodePacked(bytes32(type(uint256).max));
        uint32[4] memory numbers = [uint32(0x7f7fffff), 0xff7fffff, 0x00000001, 0x3f800000];
        for (uint256 i; i < 16; ++i) {
            bytes memory x = _lanes(numbers[i / 4]);
            bytes memory y = _lanes(numbers[i % 4]);
            sum.addProducts(_pointer(x), _pointer(y), 8);
            sum.addProducts(_pointer(x), _pointer(y), 5);
            sum.addTerms(_pointer(x), 3);
            sum.round();
            vm.assertEq(x, _lanes(numbers[i / 4]));
            vm.assertEq(y, _lanes(numbers[i % 4]));
        }
        vm.assertEq(a, abi.encodePacked(bytes32(type(uint256).max)));
        vm.assertEq(b, abi.encodePacked(bytes32(type(uint256).max)));
    }

    function test_round_isNaNOfBothInfinities() external pure {
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addTerm(0x7f800000);
        vm.assertEq(uint256(sum.round()), uint256(0x7f800000));
        sum.addProduct(0xff800000, 1);
        vm.assertEq(uint256(sum.round()), uint256(0x7fc00000));
    }

    function test_round_isNaNOfInfinityTimesZero() external pure {
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addProduct(0x7f800000, 0);
        vm.assertEq(uint256(sum.round()), uint256(0x7fc00000));
    }

    function _agrees(bytes memory a, bytes memory b, uint256 count) private pure {
        ExactSum.Sum memory fast = ExactSum.create();
        ExactSum.Sum memory slow = ExactSum.create();
        fast.addProducts(_pointer(a), _pointer(b), count);
        for (uint256 i; i < count; ++i) {
            slow.addProduct(_element(a, i), _element(b, i));
        }
        vm.assertEq(uint256(fast.round()), uint256(slow.round()));
    }

    function _lanes(uint32 x) private pure returns (bytes memory) {
        return abi.encodePacked(x, x, x, x, x, x, x, x);
    }

    function _narrow(bytes memory data) private pure returns (bytes memory) {
        for (uint256 i; i + 3 < data.length; i += 4) {
            uint32 x = _element(data, i / 4);
            x = x % 3 == 0 ? 0 : (x & 0x8fffffff) | 0x30000000;
            for (uint256 j; j < 4; ++j) {
                data[i + j] = bytes1(uint8(x >> (24 - 8 * j)));
            }
        }
        return data;
    }

    function _element(bytes memory data, uint256 place) private pure returns (uint32 bits) {
        uint256 pointer = _pointer(data) + 4 * place;
        assembly ("memory-safe") {
            bits := shr(224, mload(pointer))
        }
    }

    function _pointer(bytes memory data) private pure returns (uint256 pointer) {
        assembly ("memory-safe") {
            pointer := add(data, 32)
        }
    }
}
