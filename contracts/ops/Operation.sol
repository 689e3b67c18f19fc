// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Claim, IReferee, Verdict} from "../interfaces/IReferee.sol";
import {Task, TaskLibrary} from "../libraries/Task.sol";
import {TensorType} from "../libraries/TensorType.sol";

/// @title A family of primitives
/// @notice Opens a proof, recomputes the element, and says what it should have been.
///
/// @dev How to write a family, as `oracle/exact/ops/<family>.py`:
///
/// `_infer` mirrors the primitive's `infer`: it says what type the output must have, and calls `task.must` where the
/// operands, their dtypes, their shapes or the attributes are none that Python's would let pass. All that comes after
/// may take the node for sound. It reverts with `UnknownOp` for an op of the family that the law does not know.
///
/// `_compute` mirrors the plain kernel, for the one element `task.element` (its place in C order). It reads operands by
/// `task.read(operand, first, count)`, which takes the next run of the proof, or by `task.float` and `task.integer`,
/// which read one element; `oracle/exact/proofs/reads.py` lists the same reads in the same order. What is read next may
/// depend on what was read before. A read of no elements takes nothing from the proof.
///
/// Memory that `read` gives has the bits as they lie in the leaf: −0 and odd NaNs are possible, and are read in their
/// canonical form (`Elements.floatAt`). The result is the element's bits, canonical, as wide as its dtype
/// (`Elements.bitsOf`).
///
/// No loop may be bounded by a shape or an attribute alone, unless it reads from the proof in each round: a publisher
/// chooses those, and they may be 2^31.
abstract contract Operation is IReferee {
    /// @inheritdoc IReferee
    function judge(Claim calldata claim, bytes calldata proof)
        external
        pure
        returns (Verdict memory verdict)
    {
        Task memory task = TaskLibrary.open(claim, proof);
        task.must(_infer(task) == task.output, "output");

        verdict.node = task.node;
        verdict.element = task.element;
        verdict.claimed = task.claimed;
        verdict.expected = _compute(task);
        task.proof.finish();
    }

    /// @inheritdoc IReferee
    function typeOf(bytes calldata record) external pure returns (TensorType) {
        return _infer(TaskLibrary.openRecord(record));
    }

    function _infer(Task memory task) internal pure virtual returns (TensorType);

    function _compute(Task memory task) internal pure virtual returns (uint256);
}
