// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {IInferenceConsumer} from "../../contracts/interfaces/IInferenceConsumer.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {DiagnosisConsumer} from "../../contracts/examples/DiagnosisConsumer.sol";
import {MinimalConsumer} from "../../contracts/examples/MinimalConsumer.sol";
import {InferenceConsumer} from "../../contracts/InferenceConsumer.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {Fixture} from "./Fixture.sol";

contract InferenceConsumerTest is Fixture {
    MinimalConsumer internal minimal;

    function setUp() public override {
        super.setUp();
        minimal = new MinimalConsumer(queue, model, WINDOW);
    }

    function test_onInference_revertsWhenNotQueue() external {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceConsumer.NotQueue.selector, stranger, address(queue))
        );
        vm.prank(stranger);
        minimal.onInference(RequestId.wrap(0), OUTPUT);
    }

    function test_onInference_takesTheQueue() external {
        vm.prank(address(queue));
        minimal.onInference(RequestId.wrap(0), OUTPUT);
    }

    function test_QUEUE_and_MODEL_areWhatItWasDeployedWith() external view {
        vm.assertEq(address(minimal.QUEUE()), address(queue));
        vm.assertEq(ModelId.unwrap(minimal.MODEL()), ModelId.unwrap(model));
    }

    function test_receive_takesARefund() external {
        (bool isSuccess,) = address(minimal).call{value: 1}("");
        vm.assertTrue(isSuccess);
    }
}

contract MinimalConsumerTest is Fixture {
    function test_ask_goesTheWholeWay() external {
        MinimalConsumer minimal = new MinimalConsumer(queue, model, WINDOW);
        vm.recordLogs();
        minimal.ask{value: FEE}(INPUT);
        Request memory request = _requestIn(vm.getRecordedLogs());
        _settle(request, _propose(request));
        _assertStatus(request, Status.Settled, false);
    }

    function test_ask_refundsWhoAsked() external {
        MinimalConsumer minimal = new MinimalConsumer(queue, model, WINDOW);
        vm.deal(stranger, FEE);
        vm.recordLogs();
        vm.prank(stranger);
        minimal.ask{value: FEE}(INPUT);
        _expire(_requestIn(vm.getRecordedLogs()));
        vm.assertEq(queue.creditOf(stranger), FEE);
    }
}

contract DiagnosisConsumerTest is Fixture {
    /// @dev Benign, and probabilities 0.25 and 0.75.
    bytes internal constant BENIGN = hex"00000000000000013e8000003f400000";

    DiagnosisConsumer internal diagnosis;
    Request internal _request;
    Proposal internal _proposal;

    function setUp() public override {
        super.setUp();
        diagnosis = new DiagnosisConsumer(queue, mixedModel, WINDOW);
        vm.recordLogs();
        diagnosis.ask{value: FEE}(INPUT);
        _request = _requestIn(vm.getRecordedLogs());
    }

    function test_onInference_keepsTheProbability() external {
        _answer(BENIGN);
        queue.settle(_request, _proposal, BENIGN);
        vm.assertEq(diagnosis.benignProbability(_idOf(_request)), 0.75e18);
        _assertStatus(_request, Status.Settled, false);
    }

    function test_onInference_emitsDiagnosed() external {
        _answer(BENIGN);
        RequestId id = _idOf(_request);
        vm.expectEmit(address(diagnosis));
        emit DiagnosisConsumer.Diagnosed(id, true, 0.75e18);
        queue.settle(_request, _proposal, BENIGN);
    }

    function test_onInference_failsOnNaNAndTheOperatorIsPaid() external {
        bytes memory nan = hex"00000000000000013e8000007fc00000";
        _answer(nan);
        queue.settle(_request, _proposal, nan);
        _assertStatus(_request, Status.Settled, true);
        _assertAccount(address(operator), STAKE + FEE, 0, 0);
    }

    function _answer(bytes memory output) private {
        _proposal = _proposalOf(address(operator), _request);
        operator.propose(_request, output);
        vm.warp(_proposal.window.settleAt());
    }
}
