// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Elements} from "../libraries/Elements.sol";
import {ExactSum} from "../libraries/ExactSum.sol";
import {Products} from "../libraries/Products.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title DOT: rows of A times rows of B, with a bias in the same exact sum; of integers, wrapped
contract Linear is Operation {
    using ExactSum for ExactSum.Sum;

    uint256 private constant DOT = 0x0100;

    /// @dev A [*batch, M, K], B [*batch, N, K], bias that broadcasts to [*batch, M, N].
    function _infer(Task memory task) internal pure override returns (TensorType out) {
        require(task.op == DOT, UnknownOp(task.op));
        bool hasBias = task.operands.length == 3;
        task.expect(hasBias ? 3 : 2, 0);
        TensorType a = task.typeOf(0);
        TensorType b = task.typeOf(1);
        task.must(task.isOneDtype(0, task.operands.length), "dtype");
        task.must(a.isSummed(), "dtype");
        task.must(a.rank() >= 2 && b.rank() >= 2, "shape");
        task.must(a.dimFromEnd(1) == b.dimFromEnd(1), "shape");

        bool fits;
        (fits, out) = a.leading(a.rank() - 2).broadcast(b.leading(b.rank() - 2));
        task.must(fits, "shape");
        out = out.append(a.dimFromEnd(2)).append(b.dimFromEnd(2));
        if (hasBias) {
            (bool biasFits, TensorType both) = out.broadcast(task.typeOf(2));
            task.must(biasFits && both == out, "shape");
        }
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        (uint256 left, uint256 right) = _rowsOf(task);
        uint256 k = task.typeOf(0).dimFromEnd(1);
        uint256 a = task.read(0, left * k, k);
        uint256 b = task.read(1, right * k, k);
        bool hasBias = task.operands.length == 3;
        uint256 biasAt = hasBias ? task.output.placeIn(task.typeOf(2), task.element) : 0;

        if (task.output.isFloat()) {
            ExactSum.Sum memory sum = ExactSum.create();
            sum.addProducts(a, b, k);
            if (hasBias) sum.addTerm(task.float(2, biasAt));
            return sum.round();
        }
        int256 total = Products.sumOf(a, b, k, task.output);
        unchecked {
            if (hasBias) total += task.integer(2, biasAt);
        }
        return Elements.bitsOf(total, task.output);
    }

    /// @return left The row of A, counted through all its matrices.
    /// @return right The row of B.
    function _rowsOf(Task memory task) private pure returns (uint256 left, uint256 right) {
        TensorType out = task.output;
        TensorType batch = out.leading(out.rank() - 2);
        uint256 columns = out.dimFromEnd(1);
        uint256 rows = out.dimFromEnd(2);
        uint256 row = task.element / columns;
        uint256 matrix = row / rows;
        left = _matrixOf(batch, task.typeOf(0), matrix) * rows + row % rows;
        right = _matrixOf(batch, task.typeOf(1), matrix) * columns + task.element % columns;
    }

    function _matrixOf(TensorType batch, TensorType operand, uint256 matrix)
        private
        pure
        returns (uint256)
    {
        return batch.placeIn(operand.leading(operand.rank() - 2), matrix);
    }
}
