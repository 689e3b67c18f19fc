// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {MinimalConsumer} from "../../contracts/examples/MinimalConsumer.sol";
import {Fixture} from "./Fixture.sol";

/// @notice What each step costs actors who have done it before, without the transaction's own 21,000 and calldata.
/// @dev `forge snapshot --match-contract GasTest --snap .gas-snapshot` writes it. What stands before a step is not
/// metered.
contract GasTest is Fixture {
    MinimalConsumer internal minimal;
    Request[] internal _requests;
    bytes[] internal _outputs;

    function setUp() public override {
        super.setUp();
        minimal = new MinimalConsumer(queue, model, WINDOW);
        Request memory first = _askMinimal();
        _settle(first, _propose(first));
        for (uint256 i; i < 10; ++i) {
            _requests.push(_askMinimal());
            _outputs.push(OUTPUT);
        }
    }

    function test_gas_request() external {
        minimal.ask{value: FEE}(INPUT);
    }

    function test_gas_propose() external {
        vm.pauseGasMetering();
        Request memory request = _requests[0];
        vm.resumeGasMetering();
        operator.propose(request, OUTPUT);
    }

    function test_gas_settle() external {
        vm.pauseGasMetering();
        Request memory request = _requests[0];
        IInferenceQueue.Proposal memory proposal = _propose(request);
        vm.warp(proposal.settleAt);
        vm.resumeGasMetering();
        queue.settle(request, proposal, OUTPUT);
    }

    function test_gas_expire() external {
        vm.pauseGasMetering();
        Request memory request = _requests[0];
        vm.warp(_deadlineOf(request));
        vm.resumeGasMetering();
        queue.expire(request);
    }

    function test_gas_proposeBatchOf10() external {
        vm.pauseGasMetering();
        Request[] memory requests = _requests;
        bytes[] memory outputs = _outputs;
        vm.resumeGasMetering();
        operator.proposeBatch(requests, outputs);
    }

    function test_gas_settleBatchOf10() external {
        vm.pauseGasMetering();
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](10);
        for (uint256 i; i < 10; ++i) {
            items[i] = _settlements(_requests[i], _propose(_requests[i]))[0];
        }
        vm.warp(items[0].proposal.settleAt);
        vm.resumeGasMetering();
        queue.settleBatch(items);
    }

    function _askMinimal() private returns (Request memory) {
        vm.recordLogs();
        minimal.ask{value: FEE}(INPUT);
        return _requestIn(vm.getRecordedLogs());
    }
}
