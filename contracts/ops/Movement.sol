// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Elements} from "../libraries/Elements.sol";
import {ExactSum} from "../libraries/ExactSum.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title Elements move and none changes; but SCATTER may merge those that meet
contract Movement is Operation {
    uint256 private constant TRANSPOSE = 0x0500;
    uint256 private constant CONCAT = 0x0501;
    uint256 private constant GATHER = 0x0502;
    uint256 private constant SCATTER = 0x0540;

    /// @dev Modes of SCATTER.
    uint256 private constant REPLACE = 0;
    uint256 private constant SUM = 1;
    uint256 private constant LARGEST = 2;
    uint256 private constant SMALLEST = 3;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        if (task.op == TRANSPOSE) return _inferTranspose(task);
        if (task.op == CONCAT) return _inferConcat(task);
        if (task.op == GATHER) return _inferGather(task);
        if (task.op == SCATTER) return _inferScatter(task);
        revert UnknownOp(task.op);
    }

    function _compute(Task memory task) internal pure override returns (uint256) {
        if (task.op == TRANSPOSE) return task.bits(0, _transposed(task));
        if (task.op == CONCAT) return _concat(task);
        if (task.op == GATHER) return _gather(task);
        return _scatter(task);
    }

    /// @dev Output axis i is input axis attribute(i).
    function _inferTranspose(Task memory task) private pure returns (TensorType out) {
        TensorType x = task.typeOf(0);
        task.expect(1, x.rank());
        out = x.leading(0);
        uint256 seen;
        for (uint256 i; i < x.rank(); ++i) {
            uint256 axis = _axis(task, i, x.rank());
            seen |= 1 << axis;
            out = out.append(x.dim(axis));
        }
        task.must(seen == (1 << x.rank()) - 1, "attributes");
    }

    function _transposed(Task memory task) private pure returns (uint256 place) {
        TensorType x = task.typeOf(0);
        uint256 rank = x.rank();
        uint256 left = task.element;
        for (uint256 i = rank; i > 0; --i) {
            uint256 axis = _axis(task, i - 1, rank);
            uint256 size = x.dim(axis);
            place += (left % size) * x.elementsFrom(axis + 1);
            left /= size;
        }
    }

    function _axis(Task memory task, uint256 i, uint256 rank) private pure returns (uint256) {
        int256 axis = task.attribute(i);
        task.must(axis >= 0 && axis < int256(rank), "attributes");
        return uint256(axis);
    }

    /// @dev Operands [outer, n_i] side by side.
    function _inferConcat(Task memory task) private pure returns (TensorType) {
        uint256 count = task.operands.length;
        task.expect(count, 0);
        task.must(task.isOneDtype(0, count), "dtype");
        uint256 outer = task.typeOf(0).dim(0);
        uint256 width;
        for (uint256 i; i < count; ++i) {
            TensorType x = task.typeOf(i);
            task.must(x.rank() == 2 && x.dim(0) == outer, "shape");
            width += x.dim(1);
        }
        task.must(width < 1 << 31, "shape");
        return task.typeOf(0).leading(1).append(width);
    }

    function _concat(Task memory task) private pure returns (uint256) {
        uint256 width = task.output.dim(1);
        uint256 row = task.element / width;
        uint256 column = task.element % width;
        uint256 operand;
        while (column >= task.typeOf(operand).dim(1)) {
            column -= task.typeOf(operand).dim(1);
            ++operand;
        }
        return task.bits(operand, row * task.typeOf(operand).dim(1) + column);
    }

    /// @dev Data [outer, n, inner] and indices [m] give [outer, m, inner].
    function _inferGather(Task memory task) private pure returns (TensorType) {
        task.expect(2, 0);
        TensorType data = task.typeOf(0);
        TensorType indices = task.typeOf(1);
        task.must(indices.isIndex(), "dtype");
        task.must(data.rank() == 3 && indices.rank() == 1, "shape");
        TensorType out = data.leading(1).append(indices.dim(0)).append(data.dim(2));
        task.must(data.dim(1) != 0 || out.elements() == 0, "shape");
        return out;
    }

    function _gather(Task memory task) private pure returns (uint256) {
        uint256 inner = task.output.dim(2);
        uint256 column = task.element % inner;
        uint256 row = task.element / inner;
        uint256 n = task.typeOf(0).dim(1);
        uint256 place = _clamped(task.integer(1, row % task.output.dim(1)), n);
        uint256 outer = row / task.output.dim(1);
        return task.bits(0, (outer * n + place) * inner + column);
    }

    /// @dev Data [n, inner], indices [m], updates [m, inner] give [n, inner].
    function _inferScatter(Task memory task) private pure returns (TensorType data) {
        task.expect(3, 1);
        data = task.typeOf(0);
        TensorType indices = task.typeOf(1);
        TensorType updates = task.typeOf(2);
        int256 mode = task.attribute(0);
        task.must(mode >= 0 && mode <= int256(SMALLEST), "attributes");
        task.must(indices.isIndex() && updates.dtype() == data.dtype(), "dtype");
        task.must(uint256(mode) == REPLACE || !data.isBool(), "dtype");
        task.must(data.rank() == 2 && indices.rank() == 1 && updates.rank() == 2, "shape");
        bool fits = updates.dim(0) == indices.dim(0) && updates.dim(1) == data.dim(1);
        task.must(fits, "shape");
    }

    /// @dev All indices are opened: that no other update is put there is part of the proof.
    function _scatter(Task memory task) private pure returns (uint256) {
        uint256 inner = task.output.dim(1);
        uint256[] memory hits = _hits(task, task.element / inner);
        uint256 mode = uint256(task.attribute(0));
        for (uint256 i; i < hits.length; ++i) {
            hits[i] = hits[i] * inner + task.element % inner;
        }
        if (mode == REPLACE) {
            bool isHit = hits.length != 0;
            return isHit ? task.bits(2, hits[hits.length - 1]) : task.bits(0, task.element);
        }
        return task.output.isFloat()
            ? _mergedFloats(task, hits, mode)
            : Elements.bitsOf(_mergedIntegers(task, hits, mode), task.output);
    }

    /// @return hits The updates that are put into that row, in order.
    function _hits(Task memory task, uint256 row) private pure returns (uint256[] memory hits) {
        TensorType type_ = task.typeOf(1);
        uint256 m = type_.dim(0);
        uint256 n = task.output.dim(0);
        uint256 indices = task.read(1, 0, m);
        hits = new uint256[](m);
        uint256 found;
        for (uint256 i; i < m; ++i) {
            if (_clamped(Elements.integerAt(indices, i, type_), n) == row) hits[found++] = i;
        }
        assembly ("memory-safe") {
            mstore(hits, found)
        }
    }

    function _mergedFloats(Task memory task, uint256[] memory hits, uint256 mode)
        private
        pure
        returns (uint32 merged)
    {
        merged = task.float(0, task.element);
        ExactSum.Sum memory sum = ExactSum.create();
        ExactSum.addTerm(sum, merged);
        for (uint256 i; i < hits.length; ++i) {
            uint32 update = task.float(2, hits[i]);
            if (mode == SUM) ExactSum.addTerm(sum, update);
            else if (mode == LARGEST) merged = Arithmetic.maximum(merged, update);
            else merged = Arithmetic.minimum(merged, update);
        }
        if (mode == SUM) return ExactSum.round(sum);
    }

    function _mergedIntegers(Task memory task, uint256[] memory hits, uint256 mode)
        private
        pure
        returns (int256 merged)
    {
        merged = task.integer(0, task.element);
        for (uint256 i; i < hits.length; ++i) {
            int256 update = task.integer(2, hits[i]);
            if (mode == SUM) merged += update;
            else if (mode == LARGEST ? update > merged : update < merged) merged = update;
        }
    }

    /// @return The place that an index means: from the end where negative, and the nearest where beyond.
    function _clamped(int256 index, uint256 n) private pure returns (uint256) {
        int256 last = int256(n) - 1;
        if (index < 0) index += int256(n);
        if (index < 0) return 0;
        return uint256(index > last ? last : index);
    }
}
