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
        Options memory options = Options({
            operator: address(0),
            bond: 0.02 ether,
            window: WINDOW,
            timeout: 1 hours,
            callbackGas: 50_000,
            refundTo: msg.sender,
            maxOutputLength: 0,
            entropy: 0
        });
        return _requestInference(input, msg.value, options);
    }

    function _onInference(RequestId id, bytes calldata output) internal override {}
}
