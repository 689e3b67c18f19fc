// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "../../../contracts/libraries/Merkle.sol";
import {Part, PartLibrary} from "../../../contracts/libraries/Part.sol";
import {Trace} from "../../../contracts/libraries/Trace.sol";
import {Test} from "../Test.sol";
import {Trees} from "../toy/Trees.sol";

/// @dev The libraries read calldata.
contract PartHarness {
    function siblings(Part calldata part, uint256 values, uint256 leaves)
        external
        pure
        returns (uint256)
    {
        return part.siblings(values, part.nodesThere(values, leaves));
    }

    function exists(Part calldata part, uint256 values, uint256 leaves)
        external
        pure
        returns (bool)
    {
        return part.exists(part.nodesThere(values, leaves));
    }

    function topOf(
        Part calldata part,
        uint256 values,
        uint256 leaves,
        bytes calldata data,
        bytes32[] calldata beside
    ) external pure returns (bytes32) {
        return Trace.topOf(part, values, leaves, 0, data, beside);
    }
}

contract PartTest is Test {
    uint32 private constant VALUE_TREE = PartLibrary.VALUE_TREE;

    PartHarness internal harness = new PartHarness();

    function testFuzz_siblings_areAsManyAsAnOpeningHas(uint256 seed) external view {
        (Part memory part, uint256 values,) = _some(seed);
        (, bytes32[] memory beside) =
            Trees.open(_nodes(values), 0, part.height, part.first, part.count);
        vm.assertEq(harness.siblings(part, values, 0), beside.length);
    }

    function testFuzz_topOf_isTheRootOfTheWholeTree(uint256 seed) external view {
        (Part memory part, uint256 values, bytes32 root) = _some(seed);
        (bytes32[] memory nodes, bytes32[] memory beside) =
            Trees.open(_nodes(values), 0, part.height, part.first, part.count);
        bytes memory data = abi.encodePacked(nodes);
        vm.assertEq(harness.topOf(part, values, 0, data, beside), root);
    }

    function testFuzz_topOf_refusesTooFewAndTooManySiblings(uint256 seed, bool isMore) external {
        (Part memory part, uint256 values,) = _some(seed);
        (bytes32[] memory nodes, bytes32[] memory beside) =
            Trees.open(_nodes(values), 0, part.height, part.first, part.count);
        if (!isMore && beside.length == 0) return;
        bytes32[] memory others = new bytes32[](isMore ? beside.length + 1 : beside.length - 1);
        for (uint256 i; i < others.length && i < beside.length; ++i) {
            others[i] = beside[i];
        }
        bytes memory data = abi.encodePacked(nodes);
        // A sibling that is missing is read from what follows: another one may be found wrong first.
        if (isMore) {
            vm.expectRevert(
                abi.encodeWithSelector(Trace.WrongSiblings.selector, others.length, beside.length)
            );
        } else {
            vm.expectRevert();
        }
        harness.topOf(part, values, 0, data, others);
    }

    /// @dev Every run of nodes, at every height, of every tree of up to 16; and no run that goes further.
    function test_topOf_everyPartOfEverySmallTree() external view {
        for (uint256 values = 1; values <= 16; ++values) {
            bytes32[] memory lowest = _nodes(values);
            bytes32 root = Trees.root(lowest, 0);
            for (uint8 height; height <= Merkle.depthOf(values); ++height) {
                uint256 nodes = PartLibrary.nodesAt(height, values);
                for (uint32 first; first < nodes; ++first) {
                    for (uint32 count = 1; first + count <= nodes; ++count) {
                        Part memory part = Part(VALUE_TREE, height, first, count);
                        (bytes32[] memory run, bytes32[] memory beside) =
                            Trees.open(lowest, 0, height, first, count);
                        vm.assertTrue(harness.exists(part, values, 0));
                        vm.assertEq(harness.siblings(part, values, 0), beside.length);
                        vm.assertEq(
                            harness.topOf(part, values, 0, abi.encodePacked(run), beside), root
                        );
                    }
                    uint32 beyond = uint32(nodes) - first + 1;
                    vm.assertFalse(
                        harness.exists(Part(VALUE_TREE, height, first, beyond), values, 0)
                    );
                }
            }
        }
    }

    function test_exists_upToTheLargestTrees() external view {
        uint256 most = type(uint32).max;
        vm.assertTrue(harness.exists(Part(0, 255, uint32(most - 64), 64), 1, most));
        vm.assertTrue(harness.exists(Part(0, 32, 0, 1), 1, most));
        vm.assertFalse(harness.exists(Part(0, 33, 0, 1), 1, most));
        vm.assertFalse(harness.exists(Part(0, 0, uint32(most), 1), 1, most));
    }

    function test_exists_noMoreThanATransactionShouldHold() external view {
        vm.assertTrue(harness.exists(Part(0, 0, 0, 128), 1, 1000));
        vm.assertFalse(harness.exists(Part(0, 0, 0, 129), 1, 1000));
        vm.assertTrue(harness.exists(Part(0, 255, 0, 64), 1, 1000));
        vm.assertFalse(harness.exists(Part(0, 255, 0, 65), 1, 1000));
    }

    /// @return part One that exists in a value tree of `values`.
    function _some(uint256 seed)
        private
        pure
        returns (Part memory part, uint256 values, bytes32 root)
    {
        values = _bound(seed & 0xffff, 1, 70);
        uint256 height = (seed >> 16) % (Merkle.depthOf(values) + 1);
        uint256 nodes = PartLibrary.nodesAt(height, values);
        uint256 first = (seed >> 32) % nodes;
        uint256 count = 1 + (seed >> 64) % (nodes - first);
        part = Part(VALUE_TREE, uint8(height), uint32(first), uint32(count));
        root = Trees.root(_nodes(values), 0);
    }

    function _nodes(uint256 count) private pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            nodes[i] = keccak256(abi.encode(i));
        }
    }
}
