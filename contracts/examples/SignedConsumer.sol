// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IInferenceQueue, SignedOptions} from "../interfaces/IInferenceQueue.sol";
import {ModelId} from "../interfaces/IModelRegistry.sol";
import {Signature} from "../libraries/Answer.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title SignedConsumer
/// @notice The least that acts on a signed answer at once: keeps its first word. `./dev bench gas` measures it.
contract SignedConsumer is InferenceConsumer {
    bytes32 public lastWord;

    constructor(IInferenceQueue queue, ModelId model) InferenceConsumer(queue, model) {}

    function act(
        bytes calldata input,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) external payable {
        _useSigned(input, msg.value, options, output, signature);
        lastWord = bytes32(output);
    }

    function _onInference(RequestId, bytes calldata output) internal override {
        lastWord = bytes32(output);
    }
}
