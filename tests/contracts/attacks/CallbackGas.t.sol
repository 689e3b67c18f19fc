// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {GasProbe} from "../actors/Consumers.sol";
import {CallbackAttackFixture} from "./Callback.t.sol";

/// @dev The gas must be checked after the output was copied to memory, which is paid from what is left; and a retry must
/// give no less than was asked for.
contract CallbackGasTest is CallbackAttackFixture {
    function testFuzz_attack_settlerOfALargeOutput_cannotCheatTheConsumer(uint256 gasLimit)
        external
    {
        bytes memory output = new bytes(128 * 1024);
        vm.etch(address(consumer), GasProbe.CODE);
        vm.deal(address(consumer), FEE);
        ModelId wide = _publishWide(32 * 1024);
        vm.recordLogs();
        vm.prank(address(consumer));
        queue.request{value: FEE}(wide, INPUT, _optionsWithGas(200_000));
        Request memory request = _requestIn(vm.getRecordedLogs());
        Proposal memory proposal = _proposalOf(address(operator), request);
        operator.propose(request, output);
        vm.warp(proposal.window.settleAt());
        gasLimit = _bound(gasLimit, 300_000, 500_000);
        vm.recordLogs();
        try queue.settle{gas: gasLimit}(request, proposal, output) {
            vm.assertEq(_gasReceived(_failureIn(vm.getRecordedLogs())), 200_000);
        } catch {}
    }

    /// @dev The least gas limit with which a retry does not revert is where the consumer is most easily cheated.
    function testFuzz_attack_callerOfRetry_cannotCheatAModestConsumer(uint256 callbackGas)
        external
    {
        callbackGas = _bound(callbackGas, 30, 500_000);
        Request memory request = _askWithProbe(callbackGas);
        Proposal memory proposal = _propose(request);
        _settle(request, proposal);
        (uint256 low, uint256 high) = (5_000, 1_000_000);
        uint256 received;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            vm.recordLogs();
            try queue.retryCallback{gas: middle}(request, proposal, OUTPUT) {
                received = _gasReceived(_failureIn(vm.getRecordedLogs()));
                high = middle;
            } catch {
                low = middle + 1;
            }
        }
        vm.assertGe(received, callbackGas);
    }

    /// @dev It says how much was there and how much must be: the gas asked for, a 64th, and what follows the call.
    function test_attack_settlerWhoStarvesTheCallback_isToldHowMuchItTakes() external {
        Request memory request = _askWithProbe(200_000);
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        try queue.settle{gas: 200_000}(request, proposal, OUTPUT) {
            vm.assertTrue(false, "settled");
        } catch (bytes memory error) {
            _assertNotEnoughGas(error, request, 200_000);
        }
        _assertStatus(request, Status.Proposed);
        _settle(request, proposal);
        try queue.retryCallback{gas: 200_000}(request, proposal, OUTPUT) {
            vm.assertTrue(false, "retried");
        } catch (bytes memory error) {
            _assertNotEnoughGas(error, request, 200_000);
        }
        _assertStatus(request, Status.Settled, true);
    }

    function _assertNotEnoughGas(bytes memory error, Request memory request, uint256 gasLimit)
        private
        view
    {
        uint256 needed = 200_000 + 3_174 + 1 + 12_000;
        bytes32 left;
        assembly ("memory-safe") {
            left := mload(add(error, 68))
        }
        vm.assertLt(uint256(left), gasLimit);
        vm.assertEq(
            error,
            abi.encodeWithSelector(
                IInferenceQueue.NotEnoughGas.selector, _idOf(request), left, needed
            )
        );
    }
}
