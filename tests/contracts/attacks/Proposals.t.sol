// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../../contracts/libraries/RequestState.sol";
import {Fixture, Queue} from "../Fixture.sol";

/// @dev What bidders may do to each other, and anybody with a request's preimage.
contract ProposalAttackTest is Fixture {
    function test_attack_frontRunnerCopiesAnOpenProposal_costsTheFirstOnlyGas() external {
        Request memory request = _ask();
        _propose(rival, request);
        _expectWrongStatus(request, Status.Proposed, Status.Requested);
        operator.propose(request, OUTPUT);
        _assertAccount(address(operator), STAKE, 0, 0);
        _assertAccount(address(rival), STAKE, BOND, 0);
    }

    function test_attack_frontRunnerCopiesOneOfABatch_leavesTheOthers() external {
        Request[] memory requests = new Request[](3);
        bytes[] memory outputs = new bytes[](3);
        for (uint256 i; i < 3; ++i) {
            requests[i] = _ask();
            outputs[i] = OUTPUT;
        }
        _propose(rival, requests[0]);
        operator.proposeBatch(requests, outputs);
        _assertAccount(address(operator), STAKE, 2 * BOND, 0);
    }

    function test_attack_frontRunnerCopiesAChosenOperatorsProposal_isRefused() external {
        Request memory request = _ask(consumer, FEE, _optionsFor(address(operator)));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.NotChosenOperator.selector,
                _idOf(request),
                address(rival),
                address(operator)
            )
        );
        rival.propose(request, OUTPUT);
    }

    function test_attack_batchPoisonedByASettledItem_paysTheOthers() external {
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](3);
        for (uint256 i; i < 3; ++i) {
            Request memory request = _ask();
            items[i] = _settlements(request, _propose(request))[0];
        }
        _warpToFinal(items[2].proposal);
        vm.prank(stranger);
        queue.settle(items[1].request, items[1].proposal, OUTPUT);
        queue.settleBatch(items);
        _assertAccount(address(operator), STAKE + 3 * (FEE - ROYALTY), 0, 0);
    }

    function test_attack_consumerEmptiesItsBalanceAfterAsking_theFeeIsEscrowed() external {
        vm.deal(address(consumer), 1 ether);
        Request memory request = _ask();
        consumer.sendAll(payable(stranger));
        _settle(request, _propose(request));
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, 0, 0);
    }

    /// @dev At any moment one of the two is possible, and only one.
    function testFuzz_attack_expireAgainstALateProposal_oneOfThemSucceeds(
        uint256 time,
        bool isExpireFirst
    ) external {
        Request memory request = _ask();
        // Every other time within two seconds of the deadline.
        uint256 margin = time % 2 == 0 ? 2 : TIMEOUT;
        vm.warp(_bound(time, START + TIMEOUT - margin, START + TIMEOUT + margin));
        bool isExpired;
        bool isProposed;
        if (isExpireFirst) isExpired = _tryExpire(request);
        isProposed = _tryPropose(request);
        if (!isExpireFirst) isExpired = _tryExpire(request);
        vm.assertTrue(isExpired != isProposed);
        _assertStatus(request, isExpired ? Status.Expired : Status.Proposed);
        vm.assertEq(queue.creditOf(address(consumer)), isExpired ? FEE : 0);
    }

    function test_attack_requestOfAnotherChain_isUnknown() external {
        Queue here = queue;
        Request memory request = _ask();
        cheats.chainId(block.chainid + 1);
        queue = _deployQueue();
        _expectWrongStatus(request, Status.None, Status.Requested);
        queue.propose(request, OUTPUT);
        // A chain that takes another id strands nothing.
        queue = here;
        operator.propose(request, OUTPUT);
        _assertStatus(request, Status.Proposed);
    }

    function test_attack_requestOfAnotherQueue_isUnknown() external {
        Queue other = _deployQueue();
        vm.recordLogs();
        other.request{value: FEE}(model, INPUT, _options());
        Request memory request = _requestIn(vm.getRecordedLogs());
        _expectWrongStatus(request, Status.None, Status.Requested);
        operator.propose(request, OUTPUT);
    }

    function testFuzz_attack_changedRequest_isUnknown(uint256 word, uint256 bit) external {
        Request memory request = _ask();
        word = _bound(word, 0, 6);
        bit = _bound(bit, 0, 255);
        assembly ("memory-safe") {
            let at := add(request, mul(32, word))
            mstore(at, xor(mload(at), shl(bit, 1)))
        }
        _expectWrongStatus(request, Status.None, Status.Requested);
        operator.propose(request, OUTPUT);
    }

    function testFuzz_attack_calldataCutShort_isRefused(uint256 length) external {
        bytes memory data = abi.encodeCall(IInferenceQueue.propose, (_ask(), OUTPUT));
        length = _bound(length, 4, data.length - 1);
        assembly ("memory-safe") {
            mstore(data, length)
        }
        _assertRefused(data);
    }

    function testFuzz_attack_settleBatchCutShort_isRefused(uint256 length) external {
        Request memory request = _ask();
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        bytes memory data =
            abi.encodeCall(IInferenceQueue.settleBatch, (_settlements(request, proposal)));
        length = _bound(length, 4, data.length - 1);
        assembly ("memory-safe") {
            mstore(data, length)
        }
        _assertRefused(data);
    }

    function testFuzz_attack_randomCalldata_movesNothing(bytes calldata data) external {
        vm.prank(stranger);
        (bool isSuccess,) = address(queue).call(data);
        isSuccess; // A view may answer.
        vm.assertEq(address(queue).balance, 2 * STAKE);
        _assertAccount(address(operator), STAKE, 0, 0);
    }

    function testFuzz_attack_twinsInOneSecond_getIdsOfTheirOwn(uint8 count) external {
        RequestId[] memory ids = new RequestId[](_bound(count, 2, 20));
        for (uint256 i; i < ids.length; ++i) {
            ids[i] = _idOf(_ask());
            for (uint256 j; j < i; ++j) {
                vm.assertNotEq(RequestId.unwrap(ids[i]), RequestId.unwrap(ids[j]));
            }
        }
        vm.assertEq(address(queue).balance, 2 * STAKE + ids.length * FEE);
    }

    function _tryExpire(Request memory request) private returns (bool) {
        try queue.expire(request) {
            return true;
        } catch {
            return false;
        }
    }

    function _tryPropose(Request memory request) private returns (bool) {
        try operator.propose(request, OUTPUT) {
            return true;
        } catch {
            return false;
        }
    }

    function _assertRefused(bytes memory data) private {
        vm.prank(address(operator));
        (bool isSuccess,) = address(queue).call(data);
        vm.assertFalse(isSuccess);
    }
}
