// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim, IReferee} from "../interfaces/IReferee.sol";
import {DescriptorLibrary, Header, NodeRecord} from "./Descriptor.sol";
import {Elements} from "./Elements.sol";
import {Merkle} from "./Merkle.sol";
import {Reader, ReaderLibrary} from "./Reader.sol";
import {TensorType} from "./TensorType.sol";

/// @param length Bytes of the whole tensor.
/// @param root Of the tree that it lies in: its own, or a payload's.
/// @param size Bytes of all that lies in the tree.
/// @param offset Of its first byte among them; zero unless it lies in a payload.
struct Operand {
    TensorType type_;
    uint256 length;
    bytes32 root;
    uint256 size;
    uint256 offset;
}

/// @dev One element to recompute, with all that the law needs for it.
/// @param claimed The bits that the operator says the element has.
struct Task {
    uint256 node;
    uint256 op;
    uint256 element;
    uint256 claimed;
    TensorType output;
    Operand[] operands;
    NodeRecord record;
    Reader proof;
}

using TaskLibrary for Task global;

/// @dev Opens proofs as `IReferee` describes them.
library TaskLibrary {
    uint256 private constant INPUT = 0;
    uint256 private constant CONSTANT = 1;
    uint256 private constant VALUE = 2;
    uint256 private constant OUTPUT = 3;

    /// @notice Reads the proof up to the runs, which `read` reads.
    function open(Claim calldata claim, bytes calldata proof_)
        internal
        pure
        returns (Task memory self)
    {
        Reader memory proof = ReaderLibrary.readerOf(proof_);
        self.proof = proof;
        uint256 word = proof.next("claim");
        uint256 kind = word >> 248;
        uint256 number = uint32(word >> 184);
        self.node = uint32(word >> 216);
        self.element = uint64(word >> 120);
        bool isClaim = uint120(word) == 0 && (kind == OUTPUT || (kind == VALUE && number == 0));
        if (!isClaim) proof.refuse("claim");

        Header memory header = DescriptorLibrary.readHeader(proof, claim.programRoot);
        self.record = DescriptorLibrary.readNode(proof, header, self.node);
        self.op = self.record.op;
        self.output = self.record.outputType();
        must(self, self.output.isSound(), "output");
        uint256 elements = self.output.elements();
        require(self.element < elements, IReferee.WrongElement(self.node, self.element, elements));

        Operand memory from =
            kind == VALUE ? _valueOf(self, claim, header) : _outputOf(self, claim, header, number);
        _openClaimed(self, from);
        _openOperands(self, claim, header);
    }

    /// @notice Reads a record alone, for what its types say.
    function openRecord(bytes calldata record) internal pure returns (Task memory self) {
        Reader memory reader = ReaderLibrary.readerOf(record);
        self.proof = reader;
        self.record = DescriptorLibrary.takeNode(reader);
        reader.finish();
        self.node = self.record.number();
        if (!self.record.isSound(self.node)) reader.refuse("node");
        self.op = self.record.op;
        self.output = self.record.outputType();
        must(self, self.output.isSound(), "output");
        self.operands = new Operand[](self.record.operands);
        for (uint256 i; i < self.operands.length; ++i) {
            (uint256 source, TensorType type_,) = self.record.operand(i);
            must(self, _isOperand(source, type_), "operands");
            self.operands[i].type_ = type_;
        }
    }

    /// @notice The next run of the proof: elements of an operand, packed big-endian as they are, in memory that is the
    /// caller's.
    /// @return data Offset of the first of them. What follows the last is not zero.
    function read(Task memory self, uint256 operand, uint256 first, uint256 count)
        internal
        pure
        returns (uint256 data)
    {
        Operand memory from = self.operands[operand];
        uint256 size = from.type_.itemSize();
        must(self, (first + count) * size <= from.length, "shape");
        if (count == 0) return _allocate(0);
        return _readLeaves(self.proof, from, first * size, count * size);
    }

    /// @return found Its bits, canonical.
    function float(Task memory self, uint256 operand, uint256 place)
        internal
        pure
        returns (uint32 found)
    {
        uint256 free = freeMemory();
        found = Elements.floatAt(read(self, operand, place, 1), 0);
        release(free);
    }

    /// @param operand Of an integer dtype or bools.
    function integer(Task memory self, uint256 operand, uint256 place)
        internal
        pure
        returns (int256 found)
    {
        uint256 free = freeMemory();
        found = Elements.integerAt(read(self, operand, place, 1), 0, self.operands[operand].type_);
        release(free);
    }

    /// @return The element's bits, canonical.
    function bits(Task memory self, uint256 operand, uint256 place)
        internal
        pure
        returns (uint256)
    {
        TensorType type_ = self.operands[operand].type_;
        if (type_.isFloat()) return float(self, operand, place);
        return Elements.bitsOf(integer(self, operand, place), type_);
    }

    function typeOf(Task memory self, uint256 operand) internal pure returns (TensorType) {
        return self.operands[operand].type_;
    }

    /// @param index Below the number that `expect` was given.
    function attribute(Task memory self, uint256 index) internal pure returns (int256) {
        return self.record.attribute(index);
    }

    /// @notice What a primitive takes.
    function expect(Task memory self, uint256 operands, uint256 attributes) internal pure {
        must(self, self.operands.length == operands, "operands");
        must(self, self.record.attributes == attributes, "attributes");
    }

    /// @return Whether the operands from `first` to before `past` all have the dtype of the first.
    function isOneDtype(Task memory self, uint256 first, uint256 past)
        internal
        pure
        returns (bool)
    {
        uint256 dtype = typeOf(self, first).dtype();
        for (uint256 i = first + 1; i < past; ++i) {
            if (typeOf(self, i).dtype() != dtype) return false;
        }
        return true;
    }

    function freeMemory() internal pure returns (uint256 pointer) {
        assembly ("memory-safe") {
            pointer := mload(0x40)
        }
    }

    /// @notice Frees all that was allocated since `freeMemory` gave the pointer: nothing may refer to it any more.
    function release(uint256 pointer) internal pure {
        assembly ("memory-safe") {
            mstore(0x40, pointer)
        }
    }

    /// @notice Ends the judgement if the node is none that a program may have.
    function must(Task memory self, bool condition, string memory part) internal pure {
        require(condition, IReferee.WrongNode(self.node, part));
    }

    function _valueOf(Task memory self, Claim calldata claim, Header memory header)
        private
        pure
        returns (Operand memory)
    {
        uint256 length = self.output.length();
        return Operand(self.output, length, _openRoot(self, claim, header, self.node), length, 0);
    }

    function _outputOf(Task memory self, Claim calldata claim, Header memory header, uint256 number)
        private
        pure
        returns (Operand memory)
    {
        if (number >= header.outputs) self.proof.refuse("claim");

        uint256 offset;
        for (uint256 before; before < number; ++before) {
            (, TensorType earlier) = header.output(before);
            must(self, earlier.isSound(), "header");
            offset += earlier.length();
        }
        (uint256 node, TensorType type_) = header.output(number);
        if (node != self.node) self.proof.refuse("claim");
        must(self, type_.isReshapeOf(self.output), "header");
        return _inPayload(self, type_, claim.outputRoot, claim.outputLength, offset);
    }

    /// @dev The element, out of what it is said to lie in.
    function _openClaimed(Task memory self, Operand memory from) private pure {
        uint256 size = from.type_.itemSize();
        uint256 data = _readLeaves(self.proof, from, self.element * size, size);
        uint256 claimed;
        assembly ("memory-safe") {
            claimed := shr(sub(256, shl(3, size)), mload(data))
        }
        self.claimed = claimed;
    }

    function _openOperands(Task memory self, Claim calldata claim, Header memory header)
        private
        pure
    {
        self.operands = new Operand[](self.record.operands);
        uint256[] memory offsets;
        for (uint256 i; i < self.operands.length; ++i) {
            (uint256 source, TensorType type_, bytes32 root) = self.record.operand(i);
            uint256 kind = source >> 248;
            uint256 index = uint32(source >> 216);
            must(self, _isOperand(source, type_), "operands");
            if (kind == INPUT) {
                must(self, index < header.inputs, "operands");
                if (index != 0 && offsets.length == 0) offsets = new uint256[](header.inputs);
                self.operands[i] = _inputOf(self, claim, header, offsets, index, type_);
                continue;
            }
            if (kind == VALUE) {
                must(self, index < self.node, "operands");
                root = _openRoot(self, claim, header, index);
            }
            uint256 length = type_.length();
            self.operands[i] = Operand(type_, length, root, length, 0);
        }
    }

    /// @dev The root of a value and its path up to the trace's root.
    function _openRoot(Task memory self, Claim calldata claim, Header memory header, uint256 value)
        private
        pure
        returns (bytes32 root)
    {
        require(claim.traceRoot != 0, IReferee.NoTraceRoot());
        Reader memory proof = self.proof;
        root = bytes32(proof.next("value"));
        (bytes32 top, uint256 end) = Merkle.rootOf(root, value, header.nodes, 0, proof.at);
        proof.skipTo(end, "value");
        bool isThere = Merkle.traceRootOf(claim.programRoot, top) == claim.traceRoot;
        if (!isThere) proof.refuse("value");
    }

    /// @param index Below `inputs`.
    function _inputOf(
        Task memory self,
        Claim calldata claim,
        Header memory header,
        uint256[] memory offsets,
        uint256 index,
        TensorType type_
    ) private pure returns (Operand memory) {
        uint256 offset = index == 0 ? 0 : _offsetOf(self, header, offsets, index);
        must(self, header.inputType(index).isReshapeOf(type_), "operands");
        return _inPayload(self, type_, claim.inputRoot, claim.inputLength, offset);
    }

    /// @dev A tensor of a payload, which the payload may be too short for if the program is none of its model's.
    function _inPayload(
        Task memory self,
        TensorType type_,
        bytes32 root,
        uint256 size,
        uint256 offset
    ) private pure returns (Operand memory) {
        uint256 length = type_.length();
        must(self, offset + length <= size, "payload");
        return Operand(type_, length, root, size, offset);
    }

    /// @dev Each input is passed over once, however many operands lie behind it.
    /// @param offsets In the payload, one more than they are; zero where nobody has asked yet, and for the first.
    function _offsetOf(
        Task memory self,
        Header memory header,
        uint256[] memory offsets,
        uint256 index
    ) private pure returns (uint256 offset) {
        uint256 known = index;
        while (known != 0 && offsets[known] == 0) --known;
        if (known != 0) offset = offsets[known] - 1;
        for (; known < index; ++known) {
            TensorType earlier = header.inputType(known);
            must(self, earlier.isSound(), "header");
            offset += earlier.length();
            offsets[known + 1] = offset + 1;
        }
    }

    /// @param first Byte of the tensor.
    /// @param length Bytes, at least one.
    function _readLeaves(Reader memory proof, Operand memory from, uint256 first, uint256 length)
        private
        pure
        returns (uint256 data)
    {
        first += from.offset;
        uint256 leaf = first / Merkle.LEAF;
        uint256 count = (first + length - 1) / Merkle.LEAF - leaf + 1;
        uint256 lowest = Merkle.leavesOf(from.size);
        uint256 at = proof.take(4 * count, "leaves");
        data = _allocate(Merkle.LEAF * count);
        assembly ("memory-safe") {
            calldatacopy(data, at, shl(7, count))
        }
        (bytes32 root, uint256 end) = Merkle.rootOfLeaves(data, count, leaf, lowest, proof.at);
        proof.skipTo(end, "siblings");
        if (root != from.root) proof.refuse("run");
        if (leaf + count == lowest) {
            bool isZero = _isZero(data + from.size - leaf * Merkle.LEAF, data + Merkle.LEAF * count);
            if (!isZero) proof.refuse("padding");
        }
        return data + first % Merkle.LEAF;
    }

    /// @dev What is left over is the first word's.
    function _isZero(uint256 from, uint256 to) private pure returns (bool isZero) {
        assembly ("memory-safe") {
            let left := sub(to, from)
            let found := 0
            for {} gt(left, 31) {} {
                left := sub(left, 32)
                found := or(found, mload(add(from, left)))
            }
            if left { found := or(found, shr(sub(256, shl(3, left)), mload(from))) }
            isZero := iszero(found)
        }
    }

    /// @dev Memory with a word behind it that nobody owns, so that it may be read by words.
    function _allocate(uint256 length) private pure returns (uint256 data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            mstore(0x40, add(data, and(add(length, 63), not(31))))
        }
    }

    /// @param source As a record has it.
    function _isOperand(uint256 source, TensorType type_) private pure returns (bool) {
        return type_.isSound() && source >> 248 <= VALUE && uint216(source) == 0;
    }
}
