// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IInferenceQueue} from "../interfaces/IInferenceQueue.sol";
import {ModelId} from "../interfaces/IModelRegistry.sol";
import {Float32} from "../libraries/Float32.sol";
import {Payload} from "../libraries/Payload.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title DiagnosisConsumer
/// @notice Asks a classifier with the outputs (label int64[1], probabilities float32[1,2]) and keeps what it said.
contract DiagnosisConsumer is InferenceConsumer {
    struct Diagnosis {
        int64 label;
        int64 confidence; // in units of 1e-18
    }

    mapping(RequestId id => Diagnosis) public diagnoses;

    constructor(IInferenceQueue queue, ModelId model) InferenceConsumer(queue, model) {}

    function ask(bytes calldata sample) external payable returns (RequestId) {
        return _request(
            sample,
            msg.value,
            IInferenceQueue.Options(address(0), 0.01 ether, 60, 1 hours, 60_000, msg.sender)
        );
    }

    function _onInference(RequestId id, bytes calldata output) internal override {
        int64 label = Payload.int64At(output, 0);
        uint32 probability = Payload.float32At(output, label == 0 ? 8 : 12);
        diagnoses[id] = Diagnosis(label, int64(Float32.toWad(probability)));
    }
}
