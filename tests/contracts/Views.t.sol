// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {SettleFixture} from "./Settle.t.sol";

contract RequireFinalTest is SettleFixture {
    function test_requireFinal_passesFromTheFirstSecondWithoutATransaction() external {
        vm.warp(_proposal.window.settleAt());
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_requireFinal_passesWhenSettled() external {
        _settle(_request, _proposal);
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_requireFinal_passesWhenTheOperatorIsSlashedLater() external {
        vm.warp(_proposal.window.settleAt());
        _slashAnother();
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_requireFinal_passesWhenSettledAndTheOperatorIsSlashedLater() external {
        _settle(_request, _proposal);
        _slashAnother();
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function testFuzz_requireFinal_revertsWhenWindowNotOver(uint256 time) external {
        vm.warp(_bound(time, START, _proposal.window.settleAt() - 1));
        _expectWindowNotOver();
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_requireFinal_revertsWhenVoid() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _expectVoid();
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_requireFinal_revertsWhenOutputIsAnother() external {
        _settle(_request, _proposal);
        _expectWrongProposal(_request);
        queue.requireFinal(_request, _proposal, OTHER_OUTPUT);
    }

    function test_requireFinal_revertsWhenNotProposed() external {
        Request memory request = _ask();
        _expectWrongStatus(request, Status.Requested, Status.Proposed);
        queue.requireFinal(request, _proposal, OUTPUT);
    }

    function test_requireFinal_revertsWhenSlashed() external {
        _slash(_request, _proposal);
        _skip(WINDOW);
        _expectWrongStatus(_request, Status.Requested, Status.Proposed);
        queue.requireFinal(_request, _proposal, OUTPUT);
    }
}

contract RequireProposedTest is SettleFixture {
    function testFuzz_requireProposed_returnsSecondsLeft(uint256 elapsed) external {
        elapsed = _bound(elapsed, 0, 2 * WINDOW);
        vm.warp(START + elapsed);
        uint256 left = queue.requireProposed(_request, _proposal, OUTPUT);
        vm.assertEq(left, elapsed >= WINDOW ? 0 : WINDOW - elapsed);
    }

    function test_requireProposed_returnsZeroWhenSettled() external {
        _settle(_request, _proposal);
        vm.assertEq(queue.requireProposed(_request, _proposal, OUTPUT), 0);
    }

    function test_requireProposed_returnsZeroWhenSettledAndTheOperatorIsSlashedLater() external {
        _settle(_request, _proposal);
        _slashAnother();
        vm.assertEq(queue.requireProposed(_request, _proposal, OUTPUT), 0);
    }

    function test_requireProposed_revertsWhenVoid() external {
        _slashAnother();
        _expectVoid();
        queue.requireProposed(_request, _proposal, OUTPUT);
    }

    function test_requireProposed_revertsWhenOutputIsAnother() external {
        _expectWrongProposal(_request);
        queue.requireProposed(_request, _proposal, OTHER_OUTPUT);
    }

    function test_requireProposed_revertsWhenNotProposed() external {
        Request memory request = _ask();
        _expectWrongStatus(request, Status.Requested, Status.Proposed);
        queue.requireProposed(request, _proposal, OUTPUT);
    }
}

contract StatusOfTest is SettleFixture {
    function testFuzz_statusOf_isNoneForAnUnknownId(bytes32 id) external view {
        vm.assume(id != RequestId.unwrap(_id));
        (Status status, bool isCallbackOwed) = queue.statusOf(RequestId.wrap(id));
        vm.assertEq(uint256(status), uint256(Status.None));
        vm.assertFalse(isCallbackOwed);
    }
}

contract QuoteTest is SettleFixture {
    function test_quote_addsRoyaltyAndGas() external view {
        uint256 fee = queue.quote(model, 50_000, 2 gwei);
        vm.assertEq(fee, ROYALTY + (100_000 + 2 * 42 * 32 + 50_000) * 2 gwei);
    }

    /// @dev The output stands in one transaction then.
    function test_quote_isLessWhereNobodyIsCalledBack() external view {
        uint256 fee = queue.quote(model, 0, 2 gwei);
        vm.assertEq(fee, ROYALTY + (100_000 + 42 * 32) * 2 gwei);
    }

    function test_quote_isEnoughForARequest() external {
        uint256 fee = queue.quote(model, CALLBACK_GAS, 1 gwei);
        _assertStatus(_ask(consumer, fee, _options()), Status.Requested);
    }

    function test_quote_revertsWhenUnknownModel() external {
        ModelId unknown = ModelId.wrap(keccak256("unknown"));
        vm.expectRevert(abi.encodeWithSelector(IInferenceQueue.UnknownModel.selector, unknown));
        queue.quote(unknown, 0, 1 gwei);
    }
}

contract ImmutablesTest is SettleFixture {
    function test_immutables_areWhatTheQueueWasDeployedWith() external view {
        vm.assertEq(queue.REGISTRY(), address(registry));
        vm.assertEq(queue.DISPUTES(), disputes);
        vm.assertEq(queue.MIN_BOND(), MIN_BOND);
        vm.assertEq(queue.MIN_WINDOW(), MIN_WINDOW);
        vm.assertEq(queue.MAX_WINDOW(), MAX_WINDOW);
    }
}
