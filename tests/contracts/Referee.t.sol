// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee, Verdict} from "../../contracts/interfaces/IReferee.sol";
import {Prover} from "./actors/Prover.sol";
import {RefereeFixture} from "./RefereeFixture.sol";

/// @dev Node 0 is the DOT of an input by a constant, node 1 its TRANSPOSE.
contract JudgeTest is RefereeFixture {
    uint32 internal constant DOT = 0x0100;
    uint32 internal constant TRANSPOSE = 0x0500;

    function setUp() public override {
        super.setUp();
        uint256 square = _type(FLOAT, 2, 2);
        uint256[] memory inputs = new uint256[](1);
        inputs[0] = square;
        prover.setInput(_words(0x3f800000, 0x40000000, 0x40400000, 0x40800000), inputs);
        prover.addConstant(_words(0x40a00000, 0x40c00000, 0x40e00000, 0x41000000));
        _addNode(
            DOT,
            square,
            _operand(INPUT, 0, square),
            _operand(CONSTANT, 0, square),
            _words(0x41880000, 0x41b80000, 0x421c0000, 0x42540000)
        );
        int256[] memory perm = new int256[](2);
        perm[0] = 1;
        bytes memory transposed = _words(0x41880000, 0x421c0000, 0x41b80000, 0x42540000);
        prover.addNode(
            Prover.Node(TRANSPOSE, square, _list(_operand(VALUE, 0, square)), perm, transposed)
        );
    }

    function test_judge_acceptsDot() external view {
        _assertVerdict(_judge(_dotProof(3)), 0x42540000, 0x42540000);
    }

    function test_judge_convictsDotOffByOneUlp() external {
        prover.setValue(0, _words(0x41880000, 0x41b80000, 0x421c0000, 0x42540001));
        _assertVerdict(_judge(_dotProof(3)), 0x42540001, 0x42540000);
    }

    function test_judge_acceptsTranspose() external view {
        _assertVerdict(_judge(_transposeProof(1)), 0x421c0000, 0x421c0000);
    }

    function test_judge_convictsTransposeOfAnotherElement() external {
        prover.setValue(1, _words(0x41880000, 0x41b80000, 0x421c0000, 0x42540000));
        _assertVerdict(_judge(_transposeProof(1)), 0x41b80000, 0x421c0000);
    }

    function _dotProof(uint256 element) internal view returns (bytes memory) {
        Prover.Read[] memory reads = _reads(0, element / 2 * 2, 2);
        return prover.prove(0, element, _and(reads, 1, element % 2 * 2, 2));
    }

    function _transposeProof(uint256 element) internal view returns (bytes memory) {
        return prover.prove(1, element, _reads(0, element % 2 * 2 + element / 2, 1));
    }
}
