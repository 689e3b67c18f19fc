// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim} from "../../../contracts/interfaces/IReferee.sol";

/// @title Prover
/// @notice A program, its trace, and proofs of it, made in the plainest way: all trees are built in full. What it holds
/// may be changed in between, to commit to lies.
contract Prover {
    uint8 internal constant INPUT = 0;
    uint8 internal constant CONSTANT = 1;
    uint8 internal constant VALUE = 2;
    uint8 internal constant OUTPUT = 3;

    bytes32 internal constant EMPTY_LEAF = keccak256(new bytes(128));

    struct Operand {
        uint8 kind;
        uint32 index;
        uint256 type_;
    }

    /// @dev All that a node says, and the value that it is said to have.
    struct Node {
        uint32 op;
        uint256 type_;
        Operand[] operands;
        int256[] attributes;
        bytes value;
    }

    struct Read {
        uint256 operand;
        uint256 first;
        uint256 count;
    }

    bytes public input;
    bytes public output;
    bytes32 public traceRootGiven;
    bool public hasTrace = true;

    uint256[] private _inputs;
    uint256[] private _outputs;
    bytes[] private _constants;
    Node[] private _nodes;

    function setInput(bytes memory payload, uint256[] memory types) external {
        input = payload;
        _inputs = types;
    }

    /// @param outputs For each, its node and its type.
    function setOutput(bytes memory payload, uint256[] memory outputs) external {
        output = payload;
        _outputs = outputs;
    }

    function setValue(uint256 node, bytes memory value) external {
        _nodes[node].value = value;
    }

    function setHasTrace(bool has) external {
        hasTrace = has;
    }

    function valueOf(uint256 node) external view returns (bytes memory) {
        return _nodes[node].value;
    }

    function addConstant(bytes memory data) external returns (uint32) {
        _constants.push(data);
        return uint32(_constants.length - 1);
    }

    function addNode(Node memory node) external returns (uint32) {
        Node storage stored = _nodes.push();
        stored.op = node.op;
        stored.type_ = node.type_;
        stored.attributes = node.attributes;
        stored.value = node.value;
        for (uint256 i; i < node.operands.length; ++i) {
            stored.operands.push(node.operands[i]);
        }
        return uint32(_nodes.length - 1);
    }

    function claim() external view returns (Claim memory) {
        return Claim(
            programRoot(),
            hasTrace ? traceRoot() : bytes32(0),
            tensorRoot(input),
            input.length,
            tensorRoot(output),
            output.length
        );
    }

    function programRoot() public view returns (bytes32) {
        return _top(_recordHashes(), 0);
    }

    function traceRoot() public view returns (bytes32) {
        bytes32 top = _top(_valueRoots(), 0);
        return keccak256(abi.encode(keccak256("exactum.trace"), programRoot(), top));
    }

    function prove(uint256 node, uint256 element, Read[] memory reads)
        external
        view
        returns (bytes memory)
    {
        bytes memory value = _nodes[node].value;
        uint256 size = _sizeOf(_nodes[node].type_);
        bytes memory opened =
            abi.encodePacked(_openValue(node), _openBytes(value, element * size, size));
        return _prove(_claimWord(VALUE, node, 0, element), node, opened, reads);
    }

    function proveOutput(uint256 node, uint256 number, uint256 element, Read[] memory reads)
        external
        view
        returns (bytes memory)
    {
        uint256 offset;
        for (uint256 i; i < number; ++i) {
            offset += _lengthOf(_outputs[2 * i + 1]);
        }
        uint256 size = _sizeOf(_nodes[node].type_);
        bytes memory opened = _openBytes(output, offset + element * size, size);
        return _prove(_claimWord(OUTPUT, node, number, element), node, opened, reads);
    }

    function header() public view returns (bytes memory record) {
        record = abi.encodePacked(
            keccak256("exactum.program"),
            uint64(1),
            uint64(_nodes.length),
            uint64(_inputs.length),
            uint64(_outputs.length / 2),
            _inputs,
            _outputs
        );
        while (record.length < 160) {
            record = abi.encodePacked(record, bytes32(0));
        }
    }

    function nodeRecord(uint256 index) public view returns (bytes memory record) {
        Node storage node = _nodes[index];
        record = abi.encodePacked(
            keccak256("exactum.node"),
            node.op,
            uint64(index),
            uint32(node.operands.length),
            uint32(node.attributes.length),
            bytes12(0),
            node.type_
        );
        for (uint256 i; i < node.operands.length; ++i) {
            Operand storage operand = node.operands[i];
            bytes32 root =
                operand.kind == CONSTANT ? tensorRoot(_constants[operand.index]) : bytes32(0);
            record = abi.encodePacked(
                record, operand.kind, operand.index, bytes27(0), operand.type_, root
            );
        }
        record = abi.encodePacked(record, node.attributes);
    }

    function tensorRoot(bytes memory data) public pure returns (bytes32) {
        return _top(_leafHashes(data), EMPTY_LEAF);
    }

    /// @return Leaves and the siblings of their common path.
    function openRun(bytes memory data, uint256 first, uint256 count)
        public
        pure
        returns (bytes memory)
    {
        bytes memory leaves = _padded(data);
        bytes memory part = new bytes(128 * count);
        for (uint256 i; i < part.length; ++i) {
            part[i] = leaves[128 * first + i];
        }
        return abi.encodePacked(part, siblings(_leafHashes(data), EMPTY_LEAF, first, count));
    }

    function siblings(bytes32[] memory level, bytes32 empty, uint256 first, uint256 count)
        public
        pure
        returns (bytes memory found)
    {
        uint256 last = first + count - 1;
        while (level.length > 1) {
            if (first % 2 == 1) found = abi.encodePacked(found, level[first - 1]);
            if (last % 2 == 0) {
                found = abi.encodePacked(found, last + 1 < level.length ? level[last + 1] : empty);
            }
            level = _up(level, empty);
            empty = keccak256(abi.encode(empty, empty));
            first /= 2;
            last /= 2;
        }
    }

    /// @param opened What is claimed, opened.
    function _prove(uint256 word, uint256 node, bytes memory opened, Read[] memory reads)
        private
        view
        returns (bytes memory proof)
    {
        bytes32[] memory records = _recordHashes();
        proof = abi.encodePacked(word, header(), siblings(records, 0, 0, 1));
        proof = abi.encodePacked(proof, nodeRecord(node), siblings(records, 0, node + 1, 1));
        proof = abi.encodePacked(proof, opened);
        Operand[] storage operands = _nodes[node].operands;
        for (uint256 i; i < operands.length; ++i) {
            if (operands[i].kind == VALUE) {
                proof = abi.encodePacked(proof, _openValue(operands[i].index));
            }
        }
        for (uint256 i; i < reads.length; ++i) {
            proof = abi.encodePacked(proof, _openRead(operands[reads[i].operand], reads[i]));
        }
    }

    function _openRead(Operand storage operand, Read memory read)
        private
        view
        returns (bytes memory)
    {
        uint256 size = _sizeOf(operand.type_);
        uint256 first = read.first * size;
        uint256 length = read.count * size;
        if (operand.kind == VALUE) return _openBytes(_nodes[operand.index].value, first, length);
        if (operand.kind == CONSTANT) return _openBytes(_constants[operand.index], first, length);
        for (uint256 i; i < operand.index && i < _inputs.length; ++i) {
            first += _lengthOf(_inputs[i]);
        }
        return _openBytes(input, first, length);
    }

    function _openBytes(bytes memory data, uint256 first, uint256 length)
        private
        pure
        returns (bytes memory)
    {
        uint256 leaf = first / 128;
        uint256 last = (first + length - 1) / 128;
        return openRun(data, leaf, last - leaf + 1);
    }

    function _openValue(uint256 value) private view returns (bytes memory) {
        bytes32[] memory roots = _valueRoots();
        return abi.encodePacked(roots[value], siblings(roots, 0, value, 1));
    }

    function _recordHashes() private view returns (bytes32[] memory hashes) {
        hashes = new bytes32[](_nodes.length + 1);
        hashes[0] = keccak256(header());
        for (uint256 i; i < _nodes.length; ++i) {
            hashes[i + 1] = keccak256(nodeRecord(i));
        }
    }

    function _valueRoots() private view returns (bytes32[] memory roots) {
        roots = new bytes32[](_nodes.length);
        for (uint256 i; i < roots.length; ++i) {
            roots[i] = tensorRoot(_nodes[i].value);
        }
    }

    function _claimWord(uint8 kind, uint256 node, uint256 number, uint256 element)
        private
        pure
        returns (uint256)
    {
        return (uint256(kind) << 248) | (node << 216) | (number << 184) | (element << 120);
    }

    function _sizeOf(uint256 type_) private pure returns (uint256) {
        uint256 dtype = type_ >> 248;
        if (dtype == 7) return 8;
        return dtype == 1 || dtype == 6 ? 4 : 1;
    }

    /// @return length Bytes.
    function _lengthOf(uint256 type_) private pure returns (uint256 length) {
        length = _sizeOf(type_);
        for (uint256 axis; axis < uint8(type_ >> 240); ++axis) {
            length *= uint32(type_ >> (208 - 32 * axis));
        }
    }

    /// @dev Whole leaves, at least one.
    function _padded(bytes memory data) private pure returns (bytes memory padded) {
        uint256 leaves = data.length == 0 ? 1 : (data.length + 127) / 128;
        padded = new bytes(128 * leaves);
        for (uint256 i; i < data.length; ++i) {
            padded[i] = data[i];
        }
    }

    function _leafHashes(bytes memory data) private pure returns (bytes32[] memory hashes) {
        bytes memory padded = _padded(data);
        hashes = new bytes32[](padded.length / 128);
        for (uint256 i; i < hashes.length; ++i) {
            assembly ("memory-safe") {
                mstore(
                    add(add(hashes, 32), mul(32, i)),
                    keccak256(add(add(padded, 32), mul(128, i)), 128)
                )
            }
        }
    }

    function _top(bytes32[] memory level, bytes32 empty) private pure returns (bytes32) {
        while (level.length > 1) {
            level = _up(level, empty);
            empty = keccak256(abi.encode(empty, empty));
        }
        return level[0];
    }

    function _up(bytes32[] memory level, bytes32 empty)
        private
        pure
        returns (bytes32[] memory above)
    {
        above = new bytes32[]((level.length + 1) / 2);
        for (uint256 i; i < above.length; ++i) {
            bytes32 right = 2 * i + 1 < level.length ? level[2 * i + 1] : empty;
            above[i] = keccak256(abi.encode(level[2 * i], right));
        }
    }
}
