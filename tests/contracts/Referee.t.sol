// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim, IReferee, Verdict} from "../../contracts/interfaces/IReferee.sol";
import {Merkle} from "../../contracts/libraries/Merkle.sol";
import {Prover} from "./actors/Prover.sol";
import {RefereeFixture} from "./RefereeFixture.sol";

/// @dev Node 0 is the DOT of an input by a constant, node 1 its TRANSPOSE, node 2 that of a value of 33 elements.
abstract contract JudgeFixture is RefereeFixture {
    uint32 internal constant DOT = 0x0100;
    uint32 internal constant TRANSPOSE = 0x0500;
    uint256 internal constant LONG = 33;

    uint256 internal square = _type(FLOAT, 2, 2);

    function setUp() public virtual override {
        super.setUp();
        uint256[] memory inputs = new uint256[](2);
        inputs[0] = square;
        inputs[1] = _type(FLOAT, LONG);
        bytes memory long = new bytes(4 * LONG);
        long[4 * LONG - 1] = 0x07;
        bytes memory input = _words(0x3f800000, 0x40000000, 0x40400000, 0x40800000);
        prover.setInput(abi.encodePacked(input, long), inputs);
        prover.addConstant(_words(0x40a00000, 0x40c00000, 0x40e00000, 0x41000000));
        bytes memory product = _words(0x41880000, 0x41b80000, 0x421c0000, 0x42540000);
        _addNode(DOT, square, _operand(INPUT, 0, square), _operand(CONSTANT, 0, square), product);
        bytes memory transposed = _words(0x41880000, 0x421c0000, 0x41b80000, 0x42540000);
        _addTranspose(_operand(VALUE, 0, square), square, transposed);
        _addCopy(_operand(INPUT, 1, inputs[1]), long);

        uint256[] memory outputs = new uint256[](4);
        (outputs[0], outputs[1]) = (2, inputs[1]);
        (outputs[2], outputs[3]) = (1, square);
        prover.setOutput(abi.encodePacked(long, transposed), outputs);
    }

    function _addTranspose(Prover.Operand memory x, uint256 type_, bytes memory value) internal {
        int256[] memory perm = new int256[](2);
        perm[0] = 1;
        prover.addNode(Prover.Node(TRANSPOSE, type_, _list(x), perm, value));
    }

    function _addCopy(Prover.Operand memory x, bytes memory value) internal {
        prover.addNode(Prover.Node(TRANSPOSE, x.type_, _list(x), new int256[](1), value));
    }

    function _dotProof(uint256 element) internal view returns (bytes memory) {
        Prover.Read[] memory reads = _reads(0, element / 2 * 2, 2);
        return prover.prove(0, element, _and(reads, 1, element % 2 * 2, 2));
    }

    function _transposeProof(uint256 element) internal view returns (bytes memory) {
        return prover.prove(1, element, _reads(0, element % 2 * 2 + element / 2, 1));
    }

    function _copyProof(uint256 element) internal view returns (bytes memory) {
        return prover.prove(2, element, _reads(0, element, 1));
    }

    /// @dev Words in front of the node's record: claim, header, its path.
    function _nodeAt() internal view returns (uint256) {
        return 32 + prover.header().length + 64;
    }

    /// @dev The claimed value's root, behind the node's record and its path.
    function _valueAt(uint256 node) internal view returns (uint256) {
        return _nodeAt() + prover.nodeRecord(node).length + 64;
    }

    function _expectWrong(string memory part, uint256 offset) internal {
        vm.expectRevert(abi.encodeWithSelector(IReferee.WrongProof.selector, part, offset));
    }

    function _expectWrongNode(uint256 node, string memory part) internal {
        vm.expectRevert(abi.encodeWithSelector(IReferee.WrongNode.selector, node, part));
    }

    function _cut(bytes memory proof, uint256 length) internal pure returns (bytes memory shorter) {
        shorter = new bytes(length);
        for (uint256 i; i < length; ++i) {
            shorter[i] = proof[i];
        }
    }

    function _flip(bytes memory proof, uint256 at) internal pure returns (bytes memory) {
        proof[at] ^= 0x01;
        return proof;
    }
}

contract JudgeTest is JudgeFixture {
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

    function test_judge_convictsNegativeZeroInTheTrace() external {
        prover.setValue(2, abi.encodePacked(uint32(0x80000000), new bytes(4 * LONG - 4)));
        _assertVerdict(_judge(_copyProof(0)), 0x80000000, 0);
    }

    function test_judge_readsTheOutputAtItsOffset() external view {
        bytes memory proof = prover.proveOutput(1, 1, 1, _reads(0, 2, 1));
        _assertVerdict(_judge(proof), 0x421c0000, 0x421c0000);
    }

    function test_judge_convictsTheOutputAgainstTheTrace() external {
        bytes memory output = prover.output();
        output[4 * LONG + 7] = 0x01;
        uint256[] memory outputs = new uint256[](4);
        (outputs[0], outputs[1]) = (2, _type(FLOAT, LONG));
        (outputs[2], outputs[3]) = (1, square);
        prover.setOutput(output, outputs);
        bytes memory proof = prover.proveOutput(1, 1, 1, _reads(0, 2, 1));
        _assertVerdict(_judge(proof), 0x421c0001, 0x421c0000);
    }

    function test_judge_needsNoTraceWhereNoValueIsRead() external {
        prover.setHasTrace(false);
        bytes memory proof = prover.proveOutput(2, 0, LONG - 1, _reads(0, LONG - 1, 1));
        _assertVerdict(_judge(proof), 7, 7);
    }
}

contract MalformedProofTest is JudgeFixture {
    function test_judge_revertsWhenNoTraceWasRevealed() external {
        prover.setHasTrace(false);
        bytes memory proof = prover.proveOutput(1, 1, 1, _reads(0, 2, 1));
        vm.expectRevert(IReferee.NoTraceRoot.selector);
        this.judge(proof);
    }

    function test_judge_revertsWhenEmpty() external {
        _expectWrong("claim", 0);
        this.judge("");
    }

    function testFuzz_judge_revertsWhenCut(uint256 length) external {
        bytes memory proof = _transposeProof(1);
        length = _bound(length, 0, proof.length - 1);
        vm.expectRevert();
        this.judge(_cut(proof, length));
    }

    function test_judge_revertsWhenTooLong() external {
        bytes memory proof = _transposeProof(1);
        _expectWrong("end", proof.length);
        this.judge(abi.encodePacked(proof, bytes32(0)));
    }

    /// @dev Whatever bit is turned, nobody is convicted; of the element's number another honest one may come out.
    function testFuzz_judge_convictsNobodyWhenABitIsTurned(uint256 at, uint8 bit) external view {
        bytes memory proof = _dotProof(3);
        at = _bound(at, 0, proof.length - 1);
        proof[at] ^= bytes1(uint8(1) << (bit % 8));
        try this.judge(proof) returns (Verdict memory verdict) {
            vm.assertEq(verdict.claimed, verdict.expected);
        } catch {}
    }

    function test_judge_revertsWhenTheClaimIsOfNoKind() external {
        bytes memory proof = _dotProof(3);
        proof[0] = 0x01;
        _expectWrong("claim", 32);
        this.judge(proof);
    }

    function test_judge_revertsWhenTheClaimHasMoreBits() external {
        bytes memory proof = _flip(_dotProof(3), 31);
        _expectWrong("claim", 32);
        this.judge(proof);
    }

    function test_judge_revertsWhenAValueNamesAnOutput() external {
        bytes memory proof = _flip(_dotProof(3), 8);
        _expectWrong("claim", 32);
        this.judge(proof);
    }

    function test_judge_revertsWhenTheOutputIsAnotherNodes() external {
        bytes memory proof = prover.proveOutput(1, 0, 1, _reads(0, 2, 1));
        _expectWrong("claim", _valueAt(1));
        this.judge(proof);
    }

    function test_judge_revertsWhenThereIsNoSuchOutput() external {
        bytes memory proof = prover.proveOutput(1, 2, 1, _reads(0, 2, 1));
        _expectWrong("claim", _valueAt(1));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheElementIsBeyondTheShape() external {
        bytes memory proof = _dotProof(3);
        proof[16] = 0x04;
        vm.expectRevert(abi.encodeWithSelector(IReferee.WrongElement.selector, 0, 4, 4));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheNodeIsBeyondTheProgram() external {
        bytes memory proof = _dotProof(3);
        proof[4] = 0x03;
        vm.expectRevert(abi.encodeWithSelector(Merkle.BeyondTree.selector, 4, 1, 4));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheHeaderIsAnother() external {
        bytes memory proof = _flip(_dotProof(3), 32);
        _expectWrong("header", _nodeAt());
        this.judge(proof);
    }

    function test_judge_revertsWhenTheNodeIsAnotherPrograms() external {
        Claim memory claim = prover.claim();
        prover.addConstant("");
        prover.setValue(0, "");
        _addCopy(_operand(INPUT, 1, _type(FLOAT, LONG)), "");
        bytes memory proof = _dotProof(3);
        bytes memory input = prover.input();
        _expectWrong("header", _nodeAt() + 32);
        referee.judge(claim, proof);
    }

    function test_judge_revertsWhenTheNodesPathIsWrong() external {
        bytes memory proof = _flip(_dotProof(3), _nodeAt() + prover.nodeRecord(0).length);
        _expectWrong("node", _valueAt(0));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheNodeIsAnotherNodes() external {
        bytes memory proof = _dotProof(3);
        proof[4] = 0x01;
        _expectWrong("node", _valueAt(0));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheValuesPathIsWrong() external {
        bytes memory proof = _flip(_dotProof(3), _valueAt(0) + 32);
        _expectWrong("value", _valueAt(0) + 96);
        this.judge(proof);
    }

    function test_judge_revertsWhenTheLeafIsAnother() external {
        bytes memory proof = _flip(_dotProof(3), _valueAt(0) + 96);
        _expectWrong("run", _valueAt(0) + 96 + 128);
        this.judge(proof);
    }

    function test_judge_revertsWhenPaddingIsNotZero() external {
        prover.setValue(0, abi.encodePacked(prover.valueOf(0), hex"01"));
        bytes memory proof = _dotProof(3);
        _expectWrong("padding", _valueAt(0) + 96 + 128);
        this.judge(proof);
    }

    function test_judge_revertsWhenSomethingStandsBeyondTheLastLeaf() external {
        // Three leaves are declared, 2 · 128 bytes; a fourth one is committed to.
        uint256 type_ = _type(FLOAT, 65);
        uint256[] memory inputs = new uint256[](1);
        inputs[0] = type_;
        prover.setInput(new bytes(260), inputs);
        bytes memory four = new bytes(512);
        four[511] = 0x01;
        _addCopy(_operand(INPUT, 0, type_), four);
        bytes memory proof = prover.prove(3, 64, _reads(0, 64, 1));
        vm.expectRevert(
            abi.encodeWithSelector(
                Merkle.NotEmpty.selector,
                0,
                keccak256(abi.encodePacked(new bytes(127), hex"01")),
                Merkle.EMPTY_LEAF
            )
        );
        this.judge(proof);
    }

    /// @dev 128 bytes that are two pairs of hashes are no leaf of a tree with another depth.
    function test_judge_revertsWhenALeafIsTwoInnerNodes() external {
        prover.setValue(
            2, abi.encodePacked(keccak256("a"), keccak256("b"), keccak256("c"), keccak256("d"))
        );
        bytes memory proof = _copyProof(0);
        vm.expectRevert();
        this.judge(proof);
    }

    function judge(bytes memory proof) external view returns (Verdict memory) {
        return _judge(proof);
    }
}

/// @dev Payloads: their trees, and tensors in them that begin anywhere.
contract PayloadTest is JudgeFixture {
    /// @dev uint8[3] and then float32[40] in; the second, copied, out behind int64[2]: elements lie across leaves.
    function _setAcross() private returns (uint32 node) {
        uint256[] memory inputs = new uint256[](2);
        (inputs[0], inputs[1]) = (_type(UINT8, 3), _type(FLOAT, 40));
        bytes memory data = new bytes(160);
        (data[126], data[127]) = (0x05, 0x06);
        prover.setInput(abi.encodePacked(hex"010203", data), inputs);
        node = _addCopyOf(1, inputs[1], data);
    }

    function _addCopyOf(uint32 input, uint256 type_, bytes memory value) private returns (uint32) {
        Prover.Operand[] memory x = _list(_operand(INPUT, input, type_));
        return prover.addNode(Prover.Node(TRANSPOSE, type_, x, new int256[](1), value));
    }

    function test_judge_readsAnInputAcrossLeaves() external {
        uint32 node = _setAcross();
        _assertVerdict(_judge(prover.prove(node, 31, _reads(0, 31, 1))), 0x0506, 0x0506);
    }

    function test_judge_convictsAgainstAnInputAcrossLeaves() external {
        uint32 node = _setAcross();
        prover.setValue(node, new bytes(160));
        _assertVerdict(_judge(prover.prove(node, 31, _reads(0, 31, 1))), 0, 0x0506);
    }

    function testFuzz_judge_readsAnInputAnywhere(bytes32[8] memory words, uint256 skip, uint256 at)
        external
    {
        skip = _bound(skip, 1, 300);
        at = _bound(at, 0, 63);
        uint256[] memory inputs = new uint256[](2);
        (inputs[0], inputs[1]) = (_type(UINT8, uint32(skip)), _type(INT32, 64));
        bytes memory data = abi.encodePacked(words);
        prover.setInput(abi.encodePacked(new bytes(skip), data), inputs);
        uint32 node = _addCopyOf(1, inputs[1], data);
        uint256 bits = uint32(uint256(words[at / 8]) >> (224 - 32 * (at % 8)));
        _assertVerdict(_judge(prover.prove(node, at, _reads(0, at, 1))), bits, bits);
    }

    function test_judge_readsAnOutputAcrossLeaves() external {
        uint32 node = _setAcross();
        uint256[] memory outputs = new uint256[](4);
        (outputs[0], outputs[1]) = (0, _type(UINT8, 1));
        (outputs[2], outputs[3]) = (node, _type(FLOAT, 40));
        bytes memory data = new bytes(160);
        (data[126], data[127]) = (0x05, 0x07);
        prover.setOutput(abi.encodePacked(hex"01", data), outputs);
        bytes memory proof = prover.proveOutput(node, 1, 31, _reads(0, 31, 1));
        _assertVerdict(_judge(proof), 0x0507, 0x0506);
    }

    function test_judge_revertsWhenTheInputIsOfAnotherRequest() external {
        bytes memory proof = _dotProof(3);
        Claim memory claim = prover.claim();
        claim.inputRoot = prover.tensorRoot(_flip(prover.input(), 0));
        cheats.expectPartialRevert(IReferee.WrongProof.selector);
        referee.judge(claim, proof);
    }

    function test_judge_revertsWhenTheOutputIsOfAnotherRequest() external {
        bytes memory proof = prover.proveOutput(1, 1, 1, _reads(0, 2, 1));
        Claim memory claim = prover.claim();
        claim.outputRoot = prover.tensorRoot("other");
        cheats.expectPartialRevert(IReferee.WrongProof.selector);
        referee.judge(claim, proof);
    }

    /// @dev A root of a longer payload, whose end the length denies.
    function test_judge_revertsWhenWhatIsBeyondThePayloadIsNotZero() external {
        bytes memory longer = abi.encodePacked(prover.input(), hex"01");
        bytes memory proof = _copyProofOf(longer);
        Claim memory claim = prover.claim();
        claim.inputRoot = prover.tensorRoot(longer);
        _expectWrong("padding", proof.length);
        referee.judge(claim, proof);
    }

    function test_attack_judge_readsNoZerosBehindAShorterPayload() external {
        bytes memory proof = _copyProof(LONG - 1);
        Claim memory claim = prover.claim();
        claim.inputLength -= 4;
        _expectWrongNode(2, "payload");
        referee.judge(claim, proof);
    }

    function test_attack_judge_claimsNoZerosBehindAShorterOutput() external {
        bytes memory proof = prover.proveOutput(1, 1, 3, _reads(0, 3, 1));
        Claim memory claim = prover.claim();
        claim.outputLength -= 1;
        _expectWrongNode(1, "payload");
        referee.judge(claim, proof);
    }

    /// @dev The same root, but a deeper tree: nothing of the proof fits.
    function test_attack_judge_takesNoLongerPayload(uint256 more) external {
        bytes memory proof = _copyProof(LONG - 1);
        Claim memory claim = prover.claim();
        claim.inputLength += _bound(more, 1, 1 << 32);
        (bool isSuccess, bytes memory answer) =
            address(referee).staticcall(abi.encodeCall(IReferee.judge, (claim, proof)));
        if (!isSuccess) return;
        Verdict memory verdict = abi.decode(answer, (Verdict));
        vm.assertEq(verdict.claimed, verdict.expected);
    }

    function _copyProofOf(bytes memory input) private returns (bytes memory proof) {
        bytes memory before = prover.input();
        uint256[] memory inputs = new uint256[](2);
        (inputs[0], inputs[1]) = (square, _type(FLOAT, LONG));
        prover.setInput(input, inputs);
        proof = _copyProof(LONG - 1);
        prover.setInput(before, inputs);
    }
}

/// @dev What no lowering writes: whoever published it may not convict by it.
contract LyingPublisherTest is JudgeFixture {
    function test_judge_revertsWhenTheOpIsUnknown() external {
        uint32 node = _addNode(0x0a00, square, _operand(VALUE, 0, square), new bytes(16));
        bytes memory proof = prover.prove(node, 0, _reads(0, 0, 1));
        vm.expectRevert(abi.encodeWithSelector(IReferee.UnknownOp.selector, 0x0a00));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheFamilyKnowsNoSuchOp() external {
        uint32 node = _addNode(0x0101, square, _operand(VALUE, 0, square), new bytes(16));
        bytes memory proof = prover.prove(node, 0, _reads(0, 0, 1));
        vm.expectRevert(abi.encodeWithSelector(IReferee.UnknownOp.selector, 0x0101));
        this.judge(proof);
    }

    function test_judge_revertsWhenTheOutputIsOfAnotherShape() external {
        uint256 type_ = _type(FLOAT, 4);
        _addTranspose(_operand(VALUE, 0, square), type_, new bytes(16));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "output");
        this.judge(proof);
    }

    function test_judge_revertsWhenAnOperandIsALaterValue() external {
        _addTranspose(_operand(VALUE, 3, square), square, new bytes(16));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenAnOperandIsOfNoDtype() external {
        _addTranspose(_operand(VALUE, 0, _type(8, 2, 2)), square, new bytes(16));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenAnOperandHasDimsBeyondItsRank() external {
        _addTranspose(_operand(VALUE, 0, square | (1 << 16)), square, new bytes(16));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenThereIsNoSuchInput() external {
        _addTranspose(_operand(INPUT, 2, square), square, new bytes(16));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenAnInputIsReadWithMoreElements() external {
        _addTranspose(_operand(INPUT, 0, _type(FLOAT, 3, 2)), _type(FLOAT, 2, 3), new bytes(24));
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenAPermRepeatsAnAxis() external {
        int256[] memory perm = new int256[](2);
        prover.addNode(
            Prover.Node(TRANSPOSE, square, _list(_operand(VALUE, 0, square)), perm, new bytes(16))
        );
        bytes memory proof = prover.prove(3, 0, _reads(0, 0, 1));
        _expectWrongNode(3, "attributes");
        this.judge(proof);
    }

    function test_judge_revertsWhenAnOperandIsMissing() external {
        uint32 node = _addNode(DOT, square, _operand(VALUE, 0, square), new bytes(16));
        bytes memory proof = prover.prove(node, 0, _reads(0, 0, 1));
        _expectWrongNode(node, "operands");
        this.judge(proof);
    }

    function test_judge_revertsWhenInnerDimsDiffer() external {
        uint256 wide = _type(FLOAT, 1, 4);
        uint32 node = _addNode(
            DOT,
            _type(FLOAT, 2, 1),
            _operand(VALUE, 0, square),
            _operand(VALUE, 1, wide),
            new bytes(8)
        );
        bytes memory proof = prover.prove(node, 0, _reads(0, 0, 2));
        _expectWrongNode(node, "shape");
        this.judge(proof);
    }

    function judge(bytes memory proof) external view returns (Verdict memory) {
        return _judge(proof);
    }
}
