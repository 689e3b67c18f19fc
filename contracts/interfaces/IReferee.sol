// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TensorType} from "../libraries/TensorType.sol";

/// @notice What binds one run of a model.
/// @param programRoot Of the program that should have been run (`oracle/exact/program.py`).
/// @param traceRoot Of the values that the operator says it gave (`oracle/exact/proofs/trace.py`); zero where none was
/// revealed, and then nothing that lies in a trace can be opened.
/// @param inputRoot Of the tree over the input payload (`Merkle.payloadRoot`).
/// @param inputLength Bytes of it, which the root does not bind.
/// @param outputRoot Of the tree over the output payload.
/// @param outputLength Bytes of it.
struct Claim {
    bytes32 programRoot;
    bytes32 traceRoot;
    bytes32 inputRoot;
    uint256 inputLength;
    bytes32 outputRoot;
    uint256 outputLength;
}

/// @notice One element of one value: what the operator said, and what the law says. Both are the element's bits, as
/// wide as its dtype. Equal, unless the operator was wrong.
/// @dev TOP_K alone is judged, not computed: there `expected` is the claimed place if that is right, and 2^256 - 1, which
/// no place is, if not.
struct Verdict {
    uint256 node;
    uint256 element;
    uint256 claimed;
    uint256 expected;
}

/// @title Recomputes one element of a run under the law
/// @notice Pure in effect: reads no storage and holds no money. Anybody may ask it.
///
/// A proof is a row of 32-byte words; every length in it follows from what was opened before, so that one fact has one
/// proof of its kind:
///
///     claim       kind (8 bits: 2 VALUE, 3 OUTPUT) ‖ node (32) ‖ output (32) ‖ element (64) ‖ 120 zero bits.
///                 VALUE says that the element is read from the trace; OUTPUT, from output number `output` of the
///                 output payload, which must be that node's; `output` is zero for VALUE
///     header      the program's header record, then its path: depth(nodes + 1) siblings, from index 0
///     node        the node's record, then its path from index node + 1
///     claimed     for VALUE the value's root and its path in the value tree, depth(nodes) siblings; then, for both
///                 kinds, a run with the element, in the value's tree or the output payload's
///     operands    for each operand of kind VALUE, in order: the value's root and its path in the value tree
///     runs        what the op reads of its operands, in the order in which it reads (`oracle/exact/proofs/reads.py`): the
///                 leaves that hold it, four words each, and the siblings of their common path (`oracle/merkle.py`), in
///                 the tree of the value, the constant, or for operands of kind INPUT the input payload
///
/// A payload is its tensors' elements, one tensor after the other, so a tensor need not begin at a leaf.
///
/// Trees are read strictly: a sibling that stands for what is beyond the last leaf or node must be the empty subtree's,
/// and what a last leaf has beyond its tensor or payload must be zero. Whoever committed to anything else cannot open it.
interface IReferee {
    error UnknownOp(uint256 op);
    /// @param offset Bytes of the proof that were read before the reading failed or ended.
    error WrongProof(string part, uint256 offset);
    /// @dev A value is needed from a trace that nobody revealed.
    error NoTraceRoot();
    error WrongElement(uint256 node, uint256 element, uint256 elements);
    /// @dev The program that the claim binds is none: whoever committed to it lied, and nobody is convicted by it.
    /// @param part Of the node's record that does not fit the law.
    error WrongNode(uint256 node, string part);
    /// @dev The enclosure did not decide the rounding: nobody is convicted on a doubt.
    error Undecided(uint256 op, uint256 x, uint256 y);

    /// @param proof As above.
    function judge(Claim calldata claim, bytes calldata proof)
        external
        view
        returns (Verdict memory);

    /// @notice Says what type a node's value has by the law.
    /// @param record Of the node, alone. What its constants hold and where its operands come from is not looked at.
    function typeOf(bytes calldata record) external view returns (TensorType);
}
