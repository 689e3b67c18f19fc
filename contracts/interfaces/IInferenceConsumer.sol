// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RequestId} from "../libraries/RequestState.sol";

/// @title A contract that asks for inferences
interface IInferenceConsumer {
    error NotQueue(address caller, address queue);

    /// @notice Called by the queue, once, when a result is final, with exactly the gas that the request asked for.
    /// @dev Warning: a revert does not undo the settlement. The queue emits `CallbackFailed`, and anyone may call
    /// `retryCallback` later, with more gas if that was what lacked.
    /// @param output The payload: the output tensors' elements, big-endian, in the signature's order.
    function onInference(RequestId id, bytes calldata output) external;
}
