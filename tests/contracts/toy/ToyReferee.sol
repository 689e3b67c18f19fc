// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim, IReferee, Verdict} from "../../../contracts/interfaces/IReferee.sol";
import {Merkle} from "../../../contracts/libraries/Merkle.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {TensorType} from "../../../contracts/libraries/TensorType.sol";
import {Trace} from "../../../contracts/libraries/Trace.sol";
import {Toy} from "./Toy.sol";

/// @dev Judges the toy program: an element of the trace, or of the output, against the element that it is made of.
contract ToyReferee is IReferee {
    struct Opened {
        bytes data;
        bytes32[] siblings;
    }

    struct Proof {
        bool isOutput;
        uint256 node;
        uint256 element;
        Opened claimed; // of an output its one leaf
        Opened operand; // empty for the first node
    }

    error WrongTrace(bytes32 actual, bytes32 needed);

    function judge(Claim calldata claim, bytes calldata proof)
        external
        view
        returns (Verdict memory)
    {
        require(claim.programRoot == Toy.programRoot(), WrongProof("program", 0));
        return this.judgeProof(claim, abi.decode(proof, (Proof)));
    }

    /// @dev Of types nobody asks here.
    function typeOf(bytes calldata) external pure returns (TensorType) {
        revert UnknownOp(0);
    }

    function judgeProof(Claim calldata claim, Proof calldata proof)
        external
        view
        returns (Verdict memory verdict)
    {
        (verdict.node, verdict.element) = (proof.node, proof.element);
        if (proof.isOutput) {
            bytes32 root = keccak256(proof.claimed.data);
            require(root == claim.outputRoot, WrongTrace(root, claim.outputRoot));
            verdict.claimed = Toy.at(proof.claimed.data, proof.element);
        } else {
            verdict.claimed = _open(claim, proof.node, proof.element, proof.claimed);
        }
        uint32 operand;
        if (proof.node != 0) {
            uint256 read = Toy.operandOf(proof.node, proof.element);
            operand = _open(claim, proof.node - 1, read, proof.operand);
        }
        verdict.expected = Toy.law(claim.inputRoot, proof.node, proof.element, operand);
    }

    function rootOf(Part calldata part, bytes calldata data, bytes32[] calldata siblings)
        external
        pure
        returns (bytes32)
    {
        uint256 leaves = Toy.leaves(part.value);
        uint256 padding = leaves * 128 - Toy.elements(part.value) * 4;
        return Merkle.traceRootOf(
            Toy.programRoot(), Trace.topOf(part, Toy.NODES, leaves, padding, data, siblings)
        );
    }

    function _open(Claim calldata claim, uint256 node, uint256 element, Opened calldata opened)
        private
        view
        returns (uint32)
    {
        require(claim.traceRoot != 0, NoTraceRoot());
        bytes32 root = this.rootOf(Toy.leafOf(node, element), opened.data, opened.siblings);
        require(root == claim.traceRoot, WrongTrace(root, claim.traceRoot));
        return Toy.at(opened.data, element % 32);
    }
}
