// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IInferenceQueue, Options} from "../interfaces/IInferenceQueue.sol";
import {ModelId} from "../interfaces/IModelRegistry.sol";
import {Float32} from "../libraries/Float32.sol";
import {Payload} from "../libraries/Payload.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title DiagnosisConsumer
/// @notice Asks a breast-cancer classifier, whose outputs are label int64[1] (0 malignant, 1 benign) and probabilities
/// float32[1,2], and keeps what it said.
contract DiagnosisConsumer is InferenceConsumer {
    uint32 private immutable WINDOW;
    mapping(RequestId id => int256) public benignProbability; // in units of 1e-18

    event Diagnosed(RequestId indexed id, bool isBenign, int256 benignProbability);

    constructor(IInferenceQueue queue, ModelId model, uint32 window)
        InferenceConsumer(queue, model)
    {
        WINDOW = window;
    }

    function ask(bytes calldata sample) external payable returns (RequestId) {
        Options memory options = Options({
            operator: address(0),
            bond: 0.02 ether,
            window: WINDOW,
            timeout: 1 hours,
            callbackGas: 60_000,
            refundTo: msg.sender,
            maxOutputLength: 0,
            entropy: 0
        });
        return _requestInference(sample, msg.value, options);
    }

    function _onInference(RequestId id, bytes calldata output) internal override {
        benignProbability[id] = Float32.toWad(Payload.float32At(output, 12));
        emit Diagnosed(id, Payload.int64At(output, 0) == 1, benignProbability[id]);
    }
}
