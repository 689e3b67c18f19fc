// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ExactSum} from "../../../contracts/libraries/ExactSum.sol";

/// @dev What tests/parity compares with the plain kernels of DOT, REDUCE_SUM and REDUCE_MEAN.
contract SumParity {
    using ExactSum for ExactSum.Sum;

    uint256 private constant LANES =
        0x0000000100000001000000010000000100000001000000010000000100000001;

    /// @param a Elements, big-endian; `count` of them from byte `offset` on, in each of two.
    function dot(
        bytes memory a,
        bytes memory b,
        uint256 offsetA,
        uint256 offsetB,
        uint256 count,
        uint32 bias
    ) external view returns (uint32 result, uint256 gas) {
        ExactSum.Sum memory sum = ExactSum.create();
        uint256 pointerA;
        uint256 pointerB;
        assembly ("memory-safe") {
            pointerA := add(add(a, 32), offsetA)
            pointerB := add(add(b, 32), offsetB)
        }
        uint256 before = gasleft();
        sum.addProducts(pointerA, pointerB, count);
        sum.addTerm(bias);
        result = sum.round();
        gas = before - gasleft();
    }

    /// @dev Sums of rows of `count` elements, divided by `divisor`.
    function quotients(bytes memory a, uint256 count, uint256 divisor)
        external
        view
        returns (uint32[] memory out, uint256 gas)
    {
        uint256 rows = a.length / (4 * count);
        out = new uint32[](rows);
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := add(a, 32)
        }
        uint256 before = gasleft();
        for (uint256 i; i < rows; ++i) {
            ExactSum.Sum memory sum = ExactSum.create();
            sum.addTerms(pointer + 4 * count * i, count);
            out[i] = sum.roundQuotient(divisor);
        }
        gas = before - gasleft();
    }

    /// @dev Dot products of rows of `count` elements.
    function dots(bytes memory a, bytes memory b, uint256 count)
        external
        pure
        returns (uint32[] memory out)
    {
        uint256 rows = a.length / (4 * count);
        out = new uint32[](rows);
        uint256 pointerA;
        uint256 pointerB;
        assembly ("memory-safe") {
            pointerA := add(a, 32)
            pointerB := add(b, 32)
        }
        for (uint256 i; i < rows; ++i) {
            ExactSum.Sum memory sum = ExactSum.create();
            sum.addProducts(pointerA + 4 * count * i, pointerB + 4 * count * i, count);
            out[i] = sum.round();
        }
    }

    /// @dev Of as many products of x and y.
    function repeated(uint32 x, uint32 y, uint256 count) external pure returns (uint32) {
        bytes memory a = _repeated(x, count);
        bytes memory b = _repeated(y, count);
        uint256 pointerA;
        uint256 pointerB;
        assembly ("memory-safe") {
            pointerA := add(a, 32)
            pointerB := add(b, 32)
        }
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addProducts(pointerA, pointerB, count);
        return sum.round();
    }

    /// @dev The sum after each of the elements.
    function running(bytes memory a) external pure returns (uint32[] memory out) {
        out = new uint32[](a.length / 4);
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := add(a, 32)
        }
        ExactSum.Sum memory sum = ExactSum.create();
        for (uint256 i; i < out.length; ++i) {
            sum.addTerms(pointer + 4 * i, 1);
            out[i] = sum.round();
        }
    }

    function _repeated(uint32 x, uint256 count) private pure returns (bytes memory out) {
        uint256 word = uint256(x) * LANES;
        out = new bytes(4 * count);
        // A new array has room up to a full word.
        for (uint256 offset = 32; offset < 32 + out.length; offset += 32) {
            assembly ("memory-safe") {
                mstore(add(out, offset), word)
            }
        }
    }
}
