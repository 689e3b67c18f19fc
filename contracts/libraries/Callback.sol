// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceQueue} from "../interfaces/IInferenceQueue.sol";
import {RequestId} from "./RequestState.sol";

/// @dev A call into a contract that may do its worst: revert, burn its gas, answer with megabytes, come back in.
library Callback {
    /// @dev Gas for the call itself (2,600 for a cold account, and memory) and for what the caller does afterwards.
    uint256 internal constant RESERVE = 12_000;
    /// @dev Bytes of a revert's reason that are kept.
    uint256 private constant MAX_REASON = 160;

    /// @return Gas that must be left so that `callbackGas` reach the consumer. EIP-150 keeps back a 64th at a call.
    function gasNeeded(uint256 callbackGas) internal pure returns (uint256) {
        return callbackGas + callbackGas / 63 + 1 + RESERVE;
    }

    /// @param forward All the gas that can be spared, in place of exactly `callbackGas`.
    /// @return delivered Whether the consumer returned.
    /// @return reason The first bytes of what it reverted with.
    function deliver(
        address consumer,
        uint256 callbackGas,
        bool forward,
        RequestId id,
        bytes calldata output
    ) internal returns (bool delivered, bytes memory reason) {
        bytes memory data = abi.encodeCall(IInferenceConsumer.onInference, (id, output));
        // Here and not before: the copy of a large output costs more than any reserve.
        callbackGas = _gasToGive(callbackGas, forward, id);

        uint256 size;
        assembly ("memory-safe") {
            delivered := call(callbackGas, consumer, 0, add(data, 32), mload(data), 0, 0)
            size := returndatasize()
        }
        if (delivered) return (true, "");

        if (size > MAX_REASON) size = MAX_REASON;
        reason = new bytes(size);
        assembly ("memory-safe") {
            returndatacopy(add(reason, 32), 0, size)
        }
    }

    function _gasToGive(uint256 callbackGas, bool forward, RequestId id)
        private
        view
        returns (uint256)
    {
        uint256 left = gasleft();
        uint256 needed = gasNeeded(callbackGas);
        require(left >= needed, IInferenceQueue.NotEnoughGas(id, left, needed));
        return forward ? left - RESERVE : callbackGas;
    }
}
