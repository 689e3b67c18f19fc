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
    Request[] internal _open;
    bytes[] internal _outputs;
    Request[] internal _answered;
    IInferenceQueue.Proposal internal _proposal;

    function setUp() public override {
        super.setUp();
        minimal = new MinimalConsumer(queue, model, WINDOW);
        Request memory first = _askMinimal();
        _settle(first, _propose(first));
        for (uint256 i; i < 10; ++i) {
            _open.push(_askMinimal());
            _outputs.push(OUTPUT);
            _answered.push(_askMinimal());
            _proposal = _propose(_answered[i]);
        }
    }

    function test_gas_request() external {
        minimal.ask{value: FEE}(INPUT);
    }

    function test_gas_propose() external {
        vm.pauseGasMetering();
        Request memory request = _open[0];
        vm.resumeGasMetering();
        operator.propose(request, OUTPUT);
    }

    function test_gas_settle() external {
        vm.pauseGasMetering();
        Request memory request = _answered[0];
        IInferenceQueue.Proposal memory proposal = _proposal;
        vm.warp(proposal.settleAt);
        vm.resumeGasMetering();
        queue.settle(request, proposal, OUTPUT);
    }

    function test_gas_expire() external {
        vm.pauseGasMetering();
        Request memory request = _open[0];
        vm.warp(_deadlineOf(request));
        vm.resumeGasMetering();
        queue.expire(request);
    }

    function test_gas_proposeBatchOf10() external {
        vm.pauseGasMetering();
        Request[] memory requests = _open;
        bytes[] memory outputs = _outputs;
        vm.resumeGasMetering();
        operator.proposeBatch(requests, outputs);
    }

    function test_gas_settleBatchOf10() external {
        vm.pauseGasMetering();
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](10);
        for (uint256 i; i < 10; ++i) {
            items[i] = _settlements(_answered[i], _proposal)[0];
        }
        vm.warp(_proposal.settleAt);
        vm.resumeGasMetering();
        queue.settleBatch(items);
    }

    function _askMinimal() private returns (Request memory) {
        vm.recordLogs();
        minimal.ask{value: FEE}(INPUT);
        return _requestIn(vm.getRecordedLogs());
    }
}
