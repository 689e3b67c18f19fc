// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "../../../contracts/libraries/Merkle.sol";
import {rootOf} from "../RootOf.sol";
import {Test} from "../Test.sol";

contract PayloadRootHarness {
    /// @dev Of a payload that lies anywhere in the calldata, over memory that is not zero.
    /// @return root
    /// @return free What is written to stays free.
    function payloadRoot(bytes calldata payload, bytes calldata, uint256 dirt)
        external
        pure
        returns (bytes32 root, uint256 free)
    {
        assembly ("memory-safe") {
            let from := mload(0x40)
            for { let at := 0 } lt(at, dirt) { at := add(at, 32) } { mstore(add(from, at), not(0)) }
        }
        root = Merkle.payloadRoot(payload);
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }
}

contract PayloadRootTest is Test {
    PayloadRootHarness internal harness = new PayloadRootHarness();

    function testFuzz_payloadRoot_isTheRootOfTheTree(bytes memory payload, bytes memory behind)
        external
        view
    {
        _assertRoot(payload, behind);
    }

    /// @dev Every shape of tree up to 17 leaves, whole and cut.
    function test_payloadRoot_ofEveryNumberOfLeaves() external view {
        for (uint256 leaves; leaves < 18; ++leaves) {
            _assertRoot(_filled(128 * leaves), hex"ff");
            _assertRoot(_filled(128 * leaves + 1), hex"ff");
            _assertRoot(_filled(128 * leaves + 127), hex"ff");
        }
    }

    function testFuzz_payloadRoot_ofLongPayloads(uint256 length) external view {
        _assertRoot(_filled(_bound(length, 2_000, 40_000)), hex"ff");
    }

    /// @dev So whoever is given a root must be given the length.
    function test_payloadRoot_bindsNoLength() external view {
        (bytes32 short,) = harness.payloadRoot(hex"0102", "", 0);
        (bytes32 long,) = harness.payloadRoot(hex"010200", "", 0);
        vm.assertEq(short, long);
    }

    function _assertRoot(bytes memory payload, bytes memory behind) private view {
        (bytes32 root, uint256 free) =
            harness.payloadRoot(payload, behind, 2 * payload.length + 512);
        vm.assertEq(root, rootOf(payload));
        vm.assertEq(free, 0x80);
    }

    function _filled(uint256 length) private pure returns (bytes memory payload) {
        payload = new bytes(length);
        for (uint256 at; at < length; at += 32) {
            bytes32 word = keccak256(abi.encode(at));
            uint256 left = length - at;
            for (uint256 i; i < 32 && i < left; ++i) {
                payload[at + i] = word[i];
            }
        }
    }
}
