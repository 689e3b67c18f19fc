// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Part} from "../../contracts/libraries/Part.sol";
import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "./DisputeFixture.sol";

/// @dev Whole disputes about real programs before the real referee, with the evidence that Python gives
/// (`scripts/disputes.py`).
contract RealDisputeTest is DisputeFixture {
    /// @param part What is demanded.
    /// @param data The operator's answer.
    struct Step {
        Part part;
        bytes descriptors;
        bytes data;
        bytes32[] siblings;
    }

    struct Vector {
        bytes32 programRoot;
        bytes input;
        uint256 outputs; // elements
        bytes output; // the operator's
        bytes32 traceRoot;
        Step[] steps;
        bytes proof;
    }

    IDisputes.Demand[] internal _asked;

    function _deployReferee() internal override returns (address) {
        address[9] memory families;
        families[0] = cheats.deployCode("contracts/ops/Linear.sol:Linear", "");
        families[2] = cheats.deployCode("contracts/ops/Transcendental.sol:Transcendental", "");
        return cheats.deployCode("contracts/Referee.sol:Referee", abi.encode(families));
    }

    function test_dispute_convictsALogisticRegressionThatIsWrongInside() external {
        _assertConvicted("logistic_dot");
    }

    function test_dispute_convictsALogisticRegressionThatIsWrongInItsOutput() external {
        _assertConvicted("logistic_output");
    }

    function test_dispute_convictsANetworkThatIsWrongInside() external {
        _assertConvicted("perceptron_tanh");
    }

    function test_dispute_convictsANetworkThatIsWrongInItsOutput() external {
        _assertConvicted("perceptron_output");
    }

    function test_dispute_leavesAnHonestLogisticRegression() external {
        _assertAcquitted("logistic_honest");
    }

    function test_dispute_leavesAnHonestNetwork() external {
        _assertAcquitted("perceptron_honest");
    }

    /// @dev What the honest challenger's transactions cost.
    function test_gas_disputeOfANetwork() external {
        Vector memory vector = _read("perceptron_tanh");
        _propose(vector);
        _commit(challenger, vector.proof);
        _play(vector);
        bytes memory call =
            abi.encodeCall(IDisputes.proveFraud, (_refreshed(), _modelBytes, vector.proof, SALT));
        vm.assertLe(_transact(challenger, 0, call), 600_000);
    }

    function _assertConvicted(string memory name) private {
        Vector memory vector = _read(name);
        _propose(vector);
        _play(vector);
        vm.assertEq(_traceRoot(), vector.traceRoot);
        _commit(challenger, vector.proof);
        _judge(vector);
        _assertAccount(address(operator), STAKE - BOND, BOND, 1);
        _assertStatus(_subject.request, Status.Requested);
        for (uint256 i; i < _asked.length; ++i) {
            court.collect(_asked[i]);
        }
        vm.assertEq(challenger.balance, 10 ether);
    }

    function _assertAcquitted(string memory name) private {
        Vector memory vector = _read(name);
        _propose(vector);
        _play(vector);
        _commit(challenger, vector.proof);
        cheats.expectPartialRevert(IDisputes.NotFraud.selector);
        this.judge(vector);
        Proposal memory proposal = _refreshed().proposal;
        vm.warp(proposal.window.settleAt());
        queue.settle(_subject.request, proposal, vector.output);
        for (uint256 i; i < _asked.length; ++i) {
            court.collect(_asked[i]);
        }
        vm.assertEq(address(court).balance, 0);
        vm.assertGt(address(operator).balance, 0);
    }

    function judge(Vector calldata vector) external {
        _judge(vector);
    }

    function _judge(Vector memory vector) private {
        IDisputes.Subject memory subject = _refreshed();
        vm.prank(challenger);
        court.proveFraud(subject, _modelBytes, vector.proof, SALT);
    }

    function _propose(Vector memory vector) private {
        IModelRegistry.Model memory real = _model();
        real.programRoot = vector.programRoot;
        real.inputs = _tensors("x", IModelRegistry.DType.FLOAT, 1, uint32(vector.input.length / 4));
        real.outputs = _tensors("y", IModelRegistry.DType.FLOAT, 1, uint32(vector.outputs));
        vm.recordLogs();
        _modelBytes = abi.encode(publisher, real);
        vm.deal(address(consumer), FEE);
        toyModel = publisher.publish(real, "");
        vm.prank(address(consumer));
        queue.request{value: FEE}(toyModel, vector.input, _options());
        Request memory request = _requestIn(vm.getRecordedLogs());
        _subject = IDisputes.Subject(
            request, _proposalOf(address(operator), request), rootOf(vector.output)
        );
        operator.propose(request, vector.output);
        _id = _idOf(request);
        _key = court.keyOf(_subject);
    }

    /// @dev All that the challenger demands, and the operator's answers.
    function _play(Vector memory vector) private {
        for (uint256 i; i < vector.steps.length; ++i) {
            Step memory step = vector.steps[i];
            bytes memory call = abi.encodeCall(
                IDisputes.demand, (_refreshed(), step.part, _modelBytes, step.descriptors)
            );
            vm.recordLogs();
            vm.prank(challenger);
            (bool isSuccess, bytes memory error) = address(court).call{value: 0.1 ether}(call);
            if (!isSuccess) _bubble(error);
            IDisputes.Demand memory asked = _demandIn(vm.getRecordedLogs());
            _asked.push(asked);
            _reveal(address(operator), asked, step.data, step.siblings);
        }
    }

    function _read(string memory name) private view returns (Vector memory) {
        string memory json = vm.readFile("tests/vectors/disputes.json");
        bytes memory data = vm.parseJsonBytes(json, string(abi.encodePacked(".", name)));
        return abi.decode(data, (Vector));
    }
}
