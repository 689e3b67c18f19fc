// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "./Merkle.sol";
import {Reader} from "./Reader.sol";
import {TensorType} from "./TensorType.sol";

/// @param at Offset of the record in the calldata.
struct Header {
    bytes32 programRoot;
    uint256 at;
    uint256 nodes;
    uint256 inputs;
    uint256 outputs;
}

/// @param at Offset of the record in the calldata.
struct NodeRecord {
    uint256 at;
    uint256 op;
    uint256 operands;
    uint256 attributes;
}

using DescriptorLibrary for Header global;
using DescriptorLibrary for NodeRecord global;

/// @dev The records of a program (`oracle/exact/program.py`) in the calldata, each followed by its path.
library DescriptorLibrary {
    uint256 internal constant LAW_VERSION = 1;

    /// @dev keccak256("exactum.program")
    bytes32 private constant HEADER_TAG =
        0x8b1b95bf18097e4ab646e6731d5bffbcbb1c1b17101e4b5ee1abf02faa235021;
    /// @dev keccak256("exactum.node")
    bytes32 private constant NODE_TAG =
        0xae292185f813ba87d37c6de31eab1ecd972dbb1885a45f70bfd0be1bbd87fb5d;

    /// @notice Reads the header and its path up to `programRoot`.
    function readHeader(Reader memory proof, bytes32 programRoot)
        internal
        pure
        returns (Header memory header)
    {
        header = takeHeader(proof);
        header.programRoot = programRoot;
        _climb(proof, header, header.at, 0, "header");
        if (!isSound(header)) proof.refuse("header");
    }

    /// @notice Reads the record of a node and its path.
    function readNode(Reader memory proof, Header memory header, uint256 node)
        internal
        pure
        returns (NodeRecord memory record)
    {
        record = takeNode(proof);
        _climb(proof, header, record.at, node + 1, "node");
        if (!isSound(record, node)) proof.refuse("node");
    }

    /// @dev Warning: the path is not read, and nothing is known of the record.
    function takeHeader(Reader memory proof) internal pure returns (Header memory header) {
        header.at = proof.take(2, "header");
        uint256 counts = _word(header.at + 32);
        header.nodes = uint64(counts >> 128);
        header.inputs = uint64(counts >> 64);
        header.outputs = uint64(counts);
        uint256 types = header.inputs + 2 * header.outputs;
        proof.take(types < 3 ? 3 : types, "header");
    }

    /// @dev Warning: the path is not read, and nothing is known of the record.
    function takeNode(Reader memory proof) internal pure returns (NodeRecord memory record) {
        record.at = proof.take(3, "node");
        uint256 head = _word(record.at + 32);
        record.op = head >> 224;
        record.operands = uint32(head >> 128);
        record.attributes = uint32(head >> 96);
        // A record of fewer than five words could be an inner node, or a trace root's preimage.
        if (record.operands == 0) proof.refuse("node");
        proof.take(3 * record.operands + record.attributes, "node");
    }

    /// @return Whether it begins as a header of this law does.
    function isSound(Header memory header) internal pure returns (bool) {
        uint256 version = _word(header.at + 32) >> 192;
        return bytes32(_word(header.at)) == HEADER_TAG && version == LAW_VERSION;
    }

    /// @return Whether it begins as the record of that node does.
    function isSound(NodeRecord memory record, uint256 node) internal pure returns (bool) {
        return bytes32(_word(record.at)) == NODE_TAG && number(record) == node;
    }

    /// @param index Below `inputs`.
    function inputType(Header memory header, uint256 index) internal pure returns (TensorType) {
        return TensorType.wrap(_word(header.at + 64 + 32 * index));
    }

    /// @param index Below `outputs`.
    /// @return node Whose value it is.
    /// @return type_ With the node's dtype and as many elements.
    function output(Header memory header, uint256 index)
        internal
        pure
        returns (uint256 node, TensorType type_)
    {
        uint256 at = header.at + 64 + 32 * header.inputs + 64 * index;
        return (_word(at), TensorType.wrap(_word(at + 32)));
    }

    /// @return What it says is its own number.
    function number(NodeRecord memory record) internal pure returns (uint256) {
        return uint64(_word(record.at + 32) >> 160);
    }

    function outputType(NodeRecord memory record) internal pure returns (TensorType) {
        return TensorType.wrap(_word(record.at + 64));
    }

    /// @param index Below `operands`.
    function operand(NodeRecord memory record, uint256 index)
        internal
        pure
        returns (uint256 source, TensorType type_, bytes32 root)
    {
        uint256 at = record.at + 96 + 96 * index;
        return (_word(at), TensorType.wrap(_word(at + 32)), bytes32(_word(at + 64)));
    }

    /// @param index Below `attributes`.
    function attribute(NodeRecord memory record, uint256 index) internal pure returns (int256) {
        return int256(_word(record.at + 96 + 96 * record.operands + 32 * index));
    }

    /// @dev From the record that ends where `proof` stands through its path to the program's root.
    function _climb(
        Reader memory proof,
        Header memory header,
        uint256 record,
        uint256 index,
        string memory part
    ) private pure {
        bytes32 hash;
        uint256 length = proof.at - record;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, record, length)
            hash := keccak256(free, length)
        }
        (bytes32 root, uint256 end) = Merkle.rootOf(hash, index, header.nodes + 1, 0, proof.at);
        proof.skipTo(end, part);
        if (root != header.programRoot) proof.refuse(part);
    }

    function _word(uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(at)
        }
    }
}
