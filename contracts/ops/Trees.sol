// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Arithmetic} from "../libraries/Arithmetic.sol";
import {Float32} from "../libraries/Float32.sol";
import {Task} from "../libraries/Task.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title TREE_WALK
/// @dev One path through one tree. Reads the tree's root, and then for each step the node and the feature that it
/// compares. A tree that is none (its nodes are constants, so a publisher lied) leads beyond its table or its steps.
contract Trees is Operation {
    uint256 private constant TREE_WALK = 0x0700;

    /// @dev Words of a node's eight that matter.
    uint256 private constant FEATURE = 0;
    uint256 private constant THRESHOLD = 1;
    uint256 private constant BELOW = 2;
    uint256 private constant ABOVE = 3;
    uint256 private constant MISSING = 4;
    uint256 private constant LEAF = 5;
    uint256 private constant WIDTH = 8;

    /// @dev Operands.
    uint256 private constant X = 0;
    uint256 private constant NODES = 1;
    uint256 private constant ROOTS = 2;

    function _infer(Task memory task) internal pure override returns (TensorType) {
        require(task.op == TREE_WALK, UnknownOp(task.op));
        task.expect(3, 1);
        TensorType x = task.typeOf(X);
        TensorType nodes = task.typeOf(NODES);
        TensorType roots = task.typeOf(ROOTS);
        task.must(x.isFloat() && x.rank() == 2, "x");
        task.must(_isTable(nodes) && nodes.rank() == 2 && nodes.dim(1) == WIDTH, "nodes");
        task.must(_isTable(roots) && roots.rank() == 1, "roots");
        return
            TensorTypeLibrary.scalarOf(TensorTypeLibrary.INT32).append(x.dim(0))
                .append(roots.dim(0));
    }

    function _compute(Task memory task) internal pure override returns (uint256 leaf) {
        uint256 trees = task.typeOf(ROOTS).dim(0);
        uint256 features = task.typeOf(X).dim(1);
        uint256 row = task.element / trees;
        uint256 at = _place(task, uint256(task.integer(ROOTS, task.element % trees)));
        int256 steps = task.attribute(0);

        while (true) {
            uint256 node = _wordAt(task.read(NODES, at * WIDTH, WIDTH));
            if (_field(node, BELOW) == at) return _field(node, LEAF);

            task.must(steps-- > 0, "steps");
            uint256 feature = _field(node, FEATURE);
            task.must(feature < features, "feature");
            uint32 x = task.float(X, row * features + feature);
            at = _place(task, _field(node, _branch(x, uint32(_field(node, THRESHOLD)))));
        }
    }

    function _isTable(TensorType type_) private pure returns (bool) {
        return type_.dtype() == TensorTypeLibrary.INT32;
    }

    /// @return Which field says where to go on.
    function _branch(uint32 x, uint32 threshold) private pure returns (uint256) {
        if (Float32.isNaN(x)) return MISSING;
        return Arithmetic.less(Float32.canonical(threshold), x) ? ABOVE : BELOW;
    }

    function _place(Task memory task, uint256 at) private pure returns (uint256) {
        task.must(at < task.typeOf(NODES).dim(0), "tree");
        return at;
    }

    function _field(uint256 node, uint256 index) private pure returns (uint256) {
        return uint32(node >> (224 - 32 * index));
    }

    function _wordAt(uint256 data) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(data)
        }
    }
}
