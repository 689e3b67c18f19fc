// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    RequestState,
    RequestStateLibrary,
    Status
} from "../../../contracts/libraries/RequestState.sol";
import {Test} from "../Test.sol";

contract RequestStateTest is Test {
    function test_status_isNoneOfAnEmptySlot() external pure {
        _assertState(RequestState.wrap(0), Status.None, false);
    }

    function test_requested_isRequested() external pure {
        _assertState(RequestStateLibrary.requested(), Status.Requested, false);
    }

    function test_expired_isExpired() external pure {
        _assertState(RequestStateLibrary.expired(), Status.Expired, false);
    }

    function testFuzz_proposed_isProposed(bytes32 commitment) external pure {
        _assertState(RequestStateLibrary.proposed(commitment), Status.Proposed, false);
    }

    function testFuzz_settled_isSettled(bytes32 commitment, bool callbackOwed) external pure {
        _assertState(
            RequestStateLibrary.settled(commitment, callbackOwed), Status.Settled, callbackOwed
        );
    }

    function testFuzz_commitsTo_itsOwn(bytes32 commitment, bool callbackOwed) external pure {
        vm.assertTrue(RequestStateLibrary.proposed(commitment).commitsTo(commitment));
        vm.assertTrue(RequestStateLibrary.settled(commitment, callbackOwed).commitsTo(commitment));
    }

    function testFuzz_commitsTo_noneThatDiffersInAnyOf240Bits(bytes32 commitment, uint256 bit)
        external
        pure
    {
        bytes32 other = commitment ^ bytes32(uint256(1) << _bound(bit, 16, 255));
        vm.assertFalse(RequestStateLibrary.proposed(commitment).commitsTo(other));
    }

    function _assertState(RequestState state, Status status, bool isCallbackOwed) private pure {
        vm.assertEq(uint256(state.status()), uint256(status));
        vm.assertEq(state.isCallbackOwed(), isCallbackOwed);
    }
}
