// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "../../../contracts/libraries/Merkle.sol";
import {Part, PartLibrary} from "../../../contracts/libraries/Part.sol";
import {Trees} from "./Trees.sol";

/// @dev A program of five nodes with records and traces as the real ones have them, under a law that the EVM computes
/// at once: an element is a hash of one element of the node before. Values have 10, 2, 1, 19 and 1 leaves.
library Toy {
    uint256 internal constant NODES = 5;
    uint256 internal constant LAST = NODES - 1;

    bytes32 private constant HEADER_TAG = keccak256("exactum.program");
    bytes32 private constant NODE_TAG = keccak256("exactum.node");
    uint256 private constant FLOAT = 1;

    /// @return Elements of the node's value, float32 all.
    function elements(uint256 node) internal pure returns (uint256) {
        return [uint256(300), 64, 1, 600, 8][node];
    }

    function leaves(uint256 node) internal pure returns (uint256) {
        return (elements(node) * 4 + 127) / 128;
    }

    /* LAW */

    /// @param operand What the node before has at `operandOf`; the first node reads the input.
    function law(bytes32 inputRoot, uint256 node, uint256 element, uint32 operand)
        internal
        pure
        returns (uint32)
    {
        uint256 hash = uint256(keccak256(abi.encode(inputRoot, node, element, operand)));
        // Finite and positive, so that it is canonical.
        return uint32(hash) & 0x7f7fffff;
    }

    function operandOf(uint256 node, uint256 element) internal pure returns (uint256) {
        return element % elements(node - 1);
    }

    /// @param lie The node whose element 0 is off by one; `NODES` for an honest run.
    /// @return values The nodes' data, padded to whole leaves.
    function run(bytes32 inputRoot, uint256 lie) internal pure returns (bytes[] memory values) {
        values = new bytes[](NODES);
        for (uint256 node; node < NODES; ++node) {
            values[node] = new bytes(leaves(node) * 128);
            for (uint256 element; element < elements(node); ++element) {
                uint32 operand = node == 0 ? 0 : at(values[node - 1], operandOf(node, element));
                put(values[node], element, law(inputRoot, node, element, operand));
            }
            if (node == lie) put(values[node], 0, at(values[node], 0) ^ 1);
        }
    }

    function output(bytes[] memory values) internal pure returns (bytes memory payload) {
        payload = new bytes(elements(LAST) * 4);
        for (uint256 i; i < payload.length; ++i) {
            payload[i] = values[LAST][i];
        }
    }

    function at(bytes memory data, uint256 element) internal pure returns (uint32 bits) {
        assembly ("memory-safe") {
            bits := shr(224, mload(add(add(data, 32), mul(4, element))))
        }
    }

    function put(bytes memory data, uint256 element, uint32 bits) internal pure {
        for (uint256 i; i < 4; ++i) {
            data[4 * element + i] = bytes1(uint8(bits >> (24 - 8 * i)));
        }
    }

    /* PROGRAM */

    function records() internal pure returns (bytes[] memory found) {
        found = new bytes[](NODES + 1);
        found[0] = abi.encodePacked(
            HEADER_TAG,
            uint64(1),
            uint64(NODES),
            uint64(1),
            uint64(1),
            _type(8),
            LAST,
            _type(elements(LAST))
        );
        for (uint256 node; node < NODES; ++node) {
            found[node + 1] = abi.encodePacked(
                abi.encodePacked(
                    NODE_TAG, uint32(0x0200), uint64(node), uint32(1), uint32(0), bytes12(0)
                ),
                _type(elements(node)),
                uint8(node == 0 ? 0 : 2),
                uint32(node == 0 ? 0 : node - 1),
                bytes27(0),
                _type(node == 0 ? 8 : elements(node - 1)),
                bytes32(0)
            );
        }
    }

    function programRoot() internal pure returns (bytes32) {
        return Trees.root(_recordHashes(), 0);
    }

    /// @return What `demand` wants to know of the program for that part.
    function descriptors(uint32 value) internal pure returns (bytes memory) {
        bytes memory header = record(0);
        return value == PartLibrary.VALUE_TREE
            ? header
            : abi.encodePacked(header, record(uint256(value) + 1));
    }

    /// @return The record with its path.
    function record(uint256 index) internal pure returns (bytes memory) {
        (, bytes32[] memory siblings) = Trees.open(_recordHashes(), 0, 0, index, 1);
        return abi.encodePacked(records()[index], siblings);
    }

    /* TRACE */

    function traceRoot(bytes[] memory values) internal pure returns (bytes32) {
        bytes32 top = Trees.root(valueRoots(values), 0);
        return Merkle.traceRootOf(programRoot(), top);
    }

    function valueRoots(bytes[] memory values) internal pure returns (bytes32[] memory roots) {
        roots = new bytes32[](values.length);
        for (uint256 i; i < values.length; ++i) {
            roots[i] = Trees.root(Trees.hashesOf(values[i]), Merkle.EMPTY_LEAF);
        }
    }

    /// @return data The part.
    /// @return siblings As `reveal` wants them.
    function open(bytes[] memory values, Part memory part)
        internal
        pure
        returns (bytes memory data, bytes32[] memory siblings)
    {
        bytes32[] memory nodes;
        bytes32[] memory roots = valueRoots(values);
        if (part.value == PartLibrary.VALUE_TREE) {
            (nodes, siblings) = Trees.open(roots, 0, part.height, part.first, part.count);
            return (abi.encodePacked(nodes), siblings);
        }
        bool isLeaves = part.height == PartLibrary.LEAVES;
        (nodes, siblings) = Trees.open(
            Trees.hashesOf(values[part.value]),
            Merkle.EMPTY_LEAF,
            isLeaves ? 0 : part.height,
            part.first,
            part.count
        );
        data = isLeaves
            ? _slice(values[part.value], 128 * part.first, 128 * part.count)
            : abi.encodePacked(nodes);
        (, bytes32[] memory above) = Trees.open(roots, 0, 0, part.value, 1);
        siblings = Trees.concat(siblings, above);
    }

    /// @return One leaf of a value, as a part.
    function leafOf(uint256 node, uint256 element) internal pure returns (Part memory) {
        return Part(uint32(node), PartLibrary.LEAVES, uint32(element / 32), 1);
    }

    function _recordHashes() private pure returns (bytes32[] memory hashes) {
        bytes[] memory all = records();
        hashes = new bytes32[](all.length);
        for (uint256 i; i < all.length; ++i) {
            hashes[i] = keccak256(all[i]);
        }
    }

    function _slice(bytes memory data, uint256 from, uint256 size)
        private
        pure
        returns (bytes memory slice)
    {
        slice = new bytes(size);
        for (uint256 i; i < size; ++i) {
            slice[i] = data[from + i];
        }
    }

    /// @dev float32[count].
    function _type(uint256 count) private pure returns (bytes32) {
        return bytes32((FLOAT << 248) | (uint256(1) << 240) | (count << 208));
    }
}
