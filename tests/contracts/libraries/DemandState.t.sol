// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    DemandState,
    DemandStateLibrary,
    DemandStatus
} from "../../../contracts/libraries/DemandState.sol";
import {Test} from "../Test.sol";

contract DemandStateTest is Test {
    function test_status_isNoneWhenUntouched() external pure {
        vm.assertEq(uint256(DemandState.wrap(0).status()), uint256(DemandStatus.None));
    }

    function testFuzz_to_keepsTheTerms(bytes32 terms, uint8 status) external pure {
        DemandStatus next = DemandStatus(status % 4);
        DemandState state = DemandStateLibrary.open(terms).to(next);
        vm.assertEq(uint256(state.status()), uint256(next));
        vm.assertTrue(state.commitsTo(terms));
    }

    function testFuzz_commitsTo_knowsAllBitsButTheLastByte(bytes32 terms, uint8 bit) external pure {
        bytes32 other = terms ^ bytes32(uint256(1) << bit);
        vm.assertEq(DemandStateLibrary.open(terms).commitsTo(other), bit < 8);
    }
}
