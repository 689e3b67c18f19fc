// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Elements} from "../libraries/Elements.sol";
import {ExactSum} from "../libraries/ExactSum.sol";
import {Float32} from "../libraries/Float32.sol";
import {Products} from "../libraries/Products.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX, REDUCE_MIN, ARG_MAX, TOP_K, CUM_SUM
/// @dev Of x [N, K], one row, in one run; of CUM_SUM its first elements.
contract Reduce is Operation {
    using ExactSum for ExactSum.Sum;

    uint256 private constant REDUCE_SUM = 0x0400;
    uint256 private constant REDUCE_MEAN = 0x0401;
    uint256 private constant REDUCE_MAX = 0x0402;
    uint256 private constant REDUCE_MIN = 0x0403;
    uint256 private constant ARG_MAX = 0x0404;
    uint256 private constant TOP_K = 0x0440;
    uint256 private constant CUM_SUM = 0x0441;

    /// @dev What no place is: the claimed one is wrong, and the right one is not looked for.
    uint256 private constant ANOTHER = type(uint256).max;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        uint256 op = task.op;
        bool isKnown = (op >= REDUCE_SUM && op <= ARG_MAX) || op == TOP_K || op == CUM_SUM;
        require(isKnown, UnknownOp(op));
        task.expect(1, op == ARG_MAX || op == TOP_K ? 1 : 0);
        TensorType x = task.typeOf(0);
        task.must(x.rank() == 2, "shape");
        bool isAdded = op == REDUCE_SUM || op == CUM_SUM;
        bool isOf = op == REDUCE_MEAN
            ? x.isFloat()
            : isAdded ? x.isSummed() : x.dtype() != TensorTypeLibrary.BOOL;
        task.must(isOf, "dtype");

        if (op == CUM_SUM) return x;
        TensorType rows = x.leading(1);
        if (op == TOP_K) {
            int256 count = task.attribute(0);
            task.must(count >= 0 && count <= int256(x.dim(1)), "attributes");
            return rows.append(uint256(count)).withDtype(TensorTypeLibrary.INT64);
        }
        task.must(x.dim(1) != 0 || (op != REDUCE_MEAN && op != ARG_MAX), "shape");
        return op == ARG_MAX ? rows.withDtype(TensorTypeLibrary.INT64) : rows;
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        TensorType x = task.typeOf(0);
        uint256 k = x.dim(1);
        uint256 element = task.element;
        if (task.op == CUM_SUM) {
            uint256 count = element % k + 1;
            return _sum(task.read(0, element - element % k, count), count, x);
        }
        if (task.op == TOP_K) {
            uint256 places = task.output.dim(1);
            uint256 found = task.read(0, element / places * k, k);
            return _isAtRank(found, k, x, task.claimed, element % places) ? task.claimed : ANOTHER;
        }
        uint256 row = task.read(0, element * k, k);
        if (task.op == REDUCE_SUM) return _sum(row, k, x);
        if (task.op == REDUCE_MEAN) return _mean(row, k);
        if (task.op == ARG_MAX) return _placeOfMaximum(row, k, x, task.attribute(0) != 0);
        return x.isFloat()
            ? _extremum(row, k, task.op == REDUCE_MAX)
            : _extremumOfIntegers(row, k, x, task.op == REDUCE_MAX);
    }

    function _sum(uint256 row, uint256 k, TensorType x) private pure returns (uint256) {
        if (!x.isFloat()) return Elements.bitsOf(Products.sumOf(row, k, x), x);
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addTerms(row, k);
        return sum.round();
    }

    function _mean(uint256 row, uint256 k) private pure returns (uint256) {
        ExactSum.Sum memory sum = ExactSum.create();
        sum.addTerms(row, k);
        return sum.roundQuotient(k);
    }

    function _extremum(uint256 row, uint256 k, bool isLargest) private pure returns (uint256) {
        int256 infinity = int256(uint256(Float32.INFINITY));
        int256 best = isLargest ? -infinity : infinity;
        unchecked {
            for (uint256 i; i < k; ++i) {
                int256 key = Elements.keyAt(row, i);
                if (isLargest ? key > best : key < best) best = key;
                else if (key > infinity) return Float32.NAN;
            }
        }
        return Elements.bitsOfKey(best);
    }

    function _extremumOfIntegers(uint256 row, uint256 k, TensorType x, bool isLargest)
        private
        pure
        returns (uint256)
    {
        (int256 low, int256 high) = Elements.limitsOf(x);
        int256 best = isLargest ? low : high;
        unchecked {
            for (uint256 i; i < k; ++i) {
                int256 value = Elements.integerAt(row, i, x);
                if (isLargest ? value > best : value < best) best = value;
            }
        }
        return Elements.bitsOf(best, x);
    }

    /// @return best The first place of the largest, or the last.
    function _placeOfMaximum(uint256 row, uint256 k, TensorType x, bool isLast)
        private
        pure
        returns (uint256 best)
    {
        int256 largest = _key(row, 0, x);
        unchecked {
            for (uint256 i = 1; i < k; ++i) {
                int256 key = _key(row, i, x);
                if (key > largest || (isLast && key == largest)) (best, largest) = (i, key);
            }
        }
    }

    /// @return Whether `rank` others come before what is at `place`: the larger, and of equals the earlier.
    function _isAtRank(uint256 row, uint256 k, TensorType x, uint256 place, uint256 rank)
        private
        pure
        returns (bool)
    {
        if (place >= k) return false;
        int256 own = _key(row, place, x);
        uint256 before;
        unchecked {
            for (uint256 i; i < k; ++i) {
                int256 key = _key(row, i, x);
                if (key > own || (key == own && i < place)) ++before;
            }
        }
        return before == rank;
    }

    /// @return In the order of the numbers; NaN is above infinity.
    function _key(uint256 row, uint256 index, TensorType x) private pure returns (int256) {
        return x.isFloat() ? Elements.keyAt(row, index) : Elements.integerAt(row, index, x);
    }
}
