// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "../../../contracts/interfaces/IInferenceConsumer.sol";
import {Callback} from "../../../contracts/libraries/Callback.sol";
import {RequestId} from "../../../contracts/libraries/RequestState.sol";
import {GasProbe} from "../actors/Consumers.sol";
import {Test} from "../Test.sol";

contract CallbackHarness {
    function deliver(address consumer, uint256 callbackGas, RequestId id, bytes calldata output)
        external
        returns (bool, bytes memory)
    {
        return Callback.deliver(consumer, callbackGas, false, id, output);
    }
}

contract CallbackTest is Test {
    RequestId internal constant ID = RequestId.wrap(keccak256("id"));

    CallbackHarness internal harness = new CallbackHarness();
    address internal target = address(0xc0de);

    function testFuzz_deliver_passesIdAndOutput(bytes32 id, bytes calldata output) external {
        vm.etch(target, hex"00");
        vm.expectCall(
            target, abi.encodeCall(IInferenceConsumer.onInference, (RequestId.wrap(id), output)), 1
        );
        harness.deliver(target, 100_000, RequestId.wrap(id), output);
    }

    function test_deliver_isTrueWhenTheConsumerReturns() external {
        vm.etch(target, hex"00");
        _assertDelivered(true, "");
    }

    function test_deliver_isTrueWhenNobodyIsThere() external {
        _assertDelivered(true, "");
    }

    function test_deliver_isFalseWhenTheConsumerBurnsItsGas() external {
        vm.etch(target, hex"fe");
        _assertDelivered(false, "");
    }

    function testFuzz_deliver_givesExactlyTheGas(uint256 callbackGas) external {
        callbackGas = _bound(callbackGas, 100, 10_000_000);
        vm.etch(target, GasProbe.CODE);
        (, bytes memory reason) = harness.deliver(target, callbackGas, ID, "");
        vm.assertEq(abi.decode(reason, (uint256)), callbackGas - GasProbe.OVERHEAD);
    }

    /// @dev CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY CALLDATASIZE PUSH0 REVERT: reverts with what it was sent.
    function testFuzz_deliver_keepsTheFirstBytesOfTheReason(bytes calldata output) external {
        vm.etch(target, hex"365f5f37365ffd");
        bytes memory call = abi.encodeCall(IInferenceConsumer.onInference, (ID, output));
        (bool isDelivered, bytes memory reason) = harness.deliver(target, 100_000, ID, output);
        vm.assertFalse(isDelivered);
        vm.assertEq(reason.length, call.length < 160 ? call.length : 160);
        for (uint256 i; i < reason.length; ++i) {
            vm.assertEq(uint256(uint8(reason[i])), uint8(call[i]));
        }
    }

    function testFuzz_gasNeeded_leavesTheGasAfterEip150(uint32 callbackGas) external pure {
        uint256 left = Callback.gasNeeded(callbackGas) - Callback.RESERVE;
        vm.assertGe(left - left / 64, callbackGas);
    }

    function _assertDelivered(bool expected, bytes memory because) private {
        (bool isDelivered, bytes memory reason) = harness.deliver(target, 100_000, ID, "output");
        vm.assertEq(isDelivered, expected);
        vm.assertEq(reason, because);
    }
}
