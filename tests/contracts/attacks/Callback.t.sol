// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {
    GasBurningConsumer,
    GasProbe,
    ReturnBombConsumer,
    RevertingConsumer,
    TestConsumer
} from "../actors/Consumers.sol";
import {Fixture} from "../Fixture.sol";
import {Vm} from "../Test.sol";

abstract contract CallbackAttackFixture is Fixture {
    /// @dev Gas of a settlement besides the consumer's own.
    uint256 internal constant SETTLER_GAS = 60_000;

    function _askWithProbe(uint256 callbackGas) internal returns (Request memory) {
        vm.etch(address(consumer), GasProbe.CODE);
        vm.deal(address(consumer), FEE);
        vm.recordLogs();
        vm.prank(address(consumer));
        queue.request{value: FEE}(model, INPUT, _optionsWithGas(callbackGas));
        return _requestIn(vm.getRecordedLogs());
    }

    /// @return What the consumer reverted with; empty where settling itself reverted.
    function _reasonOf(Request memory request, uint256 gasLimit) internal returns (bytes memory) {
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        vm.recordLogs();
        try queue.settle{gas: gasLimit}(request, proposal, OUTPUT) {
            return _failureIn(vm.getRecordedLogs());
        } catch {
            _assertStatus(request, Status.Proposed);
            return "";
        }
    }

    function _gasReceivedOnRetry(uint256 callbackGas, uint256 gasLimit) internal returns (uint256) {
        Request memory request = _askWithProbe(callbackGas);
        Proposal memory proposal = _propose(request);
        _settle(request, proposal);
        vm.recordLogs();
        try queue.retryCallback{gas: gasLimit}(request, proposal, OUTPUT) {
            return _gasReceived(_failureIn(vm.getRecordedLogs()));
        } catch {
            return 0;
        }
    }

    function _failureIn(Vm.Log[] memory logs) internal pure returns (bytes memory) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IInferenceQueue.CallbackFailed.selector) {
                return abi.decode(logs[i].data, (bytes));
            }
        }
        revert("no CallbackFailed");
    }

    function _gasReceived(bytes memory reason) internal pure returns (uint256) {
        return reason.length == 0 ? 0 : abi.decode(reason, (uint256)) + GasProbe.OVERHEAD;
    }
}

/// @dev What a consumer may do to whoever settles, and a settler to the consumer.
contract CallbackAttackTest is CallbackAttackFixture {
    function test_attack_revertingConsumer_doesNotBlockThePay() external {
        _survives(new RevertingConsumer(queue));
    }

    function test_attack_gasBurningConsumer_costsTheSettlerWhatWasAskedFor() external {
        vm.assertLe(_survives(new GasBurningConsumer(queue)), CALLBACK_GAS + SETTLER_GAS);
    }

    function test_attack_returnBomb_costsTheSettlerNoCopy() external {
        TestConsumer bomb = new ReturnBombConsumer(queue, 100_000, false);
        Request memory request = _ask(bomb, FEE, _options());
        vm.assertLe(_settleGas(request), CALLBACK_GAS + SETTLER_GAS);
        _assertStatus(request, Status.Settled, false);
    }

    function test_attack_revertBomb_costsTheSettlerNoCopy() external {
        vm.assertLe(
            _survives(new ReturnBombConsumer(queue, 100_000, true)), CALLBACK_GAS + SETTLER_GAS
        );
    }

    function test_attack_revertBomb_leavesAShortReason() external {
        TestConsumer bomb = new ReturnBombConsumer(queue, 100_000, true);
        Request memory request = _ask(bomb, FEE, _options());
        vm.assertEq(_reasonOf(request, gasleft()).length, 160);
    }

    function test_attack_returnBomb_onRetryCostsTheCallerNoCopy() external {
        TestConsumer bomb = new ReturnBombConsumer(queue, 100_000, true);
        Request memory request = _ask(bomb, FEE, _options());
        Proposal memory proposal = _propose(request);
        _settle(request, proposal);
        uint256 before = gasleft();
        queue.retryCallback(request, proposal, OUTPUT);
        vm.assertLe(before - gasleft(), 150_000);
    }

    function test_attack_consumerThatIsNoContract_settles() external {
        vm.deal(stranger, FEE);
        vm.recordLogs();
        vm.prank(stranger);
        queue.request{value: FEE}(model, INPUT, _options());
        Request memory request = _requestIn(vm.getRecordedLogs());
        _settle(request, _propose(request));
        _assertStatus(request, Status.Settled, false);
    }

    /// @dev Whatever gas the settler gives: nothing happens, or the consumer got all that it asked for.
    function testFuzz_attack_settlerWithTooLittleGas_cannotCheatTheConsumer(
        uint256 callbackGas,
        uint256 gasLimit
    ) external {
        callbackGas = _bound(callbackGas, 100, 2_000_000);
        gasLimit = _bound(gasLimit, 50_000, callbackGas + callbackGas / 32 + 120_000);
        Request memory request = _askWithProbe(callbackGas);
        uint256 received = _gasReceived(_reasonOf(request, gasLimit));
        vm.assertTrue(received == 0 || received == callbackGas);
    }

    /// @dev The bound is tight: some limit near it must have been enough, or the test above proves nothing.
    function testFuzz_attack_settlerWithEnoughGas_reachesTheConsumer(uint256 callbackGas) external {
        callbackGas = _bound(callbackGas, 100, 2_000_000);
        Request memory request = _askWithProbe(callbackGas);
        bytes memory reason = _reasonOf(request, callbackGas + callbackGas / 63 + SETTLER_GAS);
        vm.assertEq(_gasReceived(reason), callbackGas);
    }

    function testFuzz_attack_callerOfRetryWithTooLittleGas_cannotCheatTheConsumer(
        uint256 callbackGas,
        uint256 gasLimit
    ) external {
        callbackGas = _bound(callbackGas, 20_000, 2_000_000);
        gasLimit = _bound(gasLimit, 30_000, callbackGas + callbackGas / 32 + 120_000);
        uint256 received = _gasReceivedOnRetry(callbackGas, gasLimit);
        vm.assertTrue(received == 0 || received >= callbackGas);
    }

    /* STEPS */

    function _survives(TestConsumer hostile) private returns (uint256 gasUsed) {
        Request memory request = _ask(hostile, FEE, _options());
        gasUsed = _settleGas(request);
        _assertStatus(request, Status.Settled, true);
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, 0, 0);
        vm.assertEq(queue.creditOf(address(publisher)), ROYALTY);
    }

    function _settleGas(Request memory request) private returns (uint256) {
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        uint256 before = gasleft();
        queue.settle(request, proposal, OUTPUT);
        return before - gasleft();
    }
}
