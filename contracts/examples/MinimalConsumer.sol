// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IInferenceQueue, Options} from "../interfaces/IInferenceQueue.sol";
import {ModelId} from "../interfaces/IModelRegistry.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title MinimalConsumer
/// @notice The least that a consumer is: asks any model, does nothing with the answer. `./dev bench gas` measures it.
contract MinimalConsumer is InferenceConsumer {
    uint32 private immutable WINDOW;

    constructor(IInferenceQueue queue, ModelId model, uint32 window)
        InferenceConsumer(queue, model)
    {
        WINDOW = window;
    }

    function ask(bytes calldata input) external payable returns (RequestId) {
        return _request(
            input, msg.value, Options(address(0), 0.02 ether, WINDOW, 1 hours, 50_000, msg.sender)
        );
    }

    function _onInference(RequestId id, bytes calldata output) internal override {}
}
