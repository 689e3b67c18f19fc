// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IInferenceQueue, Options, SignedOptions} from "./interfaces/IInferenceQueue.sol";
import {ModelId} from "./interfaces/IModelRegistry.sol";
import {Signature} from "./libraries/Answer.sol";
import {RequestId} from "./libraries/RequestState.sol";

/// @title InferenceConsumer
/// @notice Inherit it, call `_requestInference` and override `_onInference`; or act at once on what an operator has
/// signed, by `_useSigned`. One contract, one model.
abstract contract InferenceConsumer is IInferenceConsumer {
    IInferenceQueue public immutable QUEUE;
    ModelId public immutable MODEL;

    constructor(IInferenceQueue queue, ModelId model) {
        QUEUE = queue;
        MODEL = model;
    }

    /// @dev The queue credits refunds to `Options.refundTo`; where that is left zero they arrive here by `withdraw`.
    receive() external payable {}

    /// @inheritdoc IInferenceConsumer
    function onInference(RequestId id, bytes calldata output) external {
        require(msg.sender == address(QUEUE), NotQueue(msg.sender, address(QUEUE)));
        _onInference(id, output);
    }

    /// @dev Asks for one inference and pays `fee` out of this contract.
    /// @param input The payload: the input tensors' elements, big-endian, in the signature's order.
    function _requestInference(bytes memory input, uint256 fee, Options memory options)
        internal
        returns (RequestId)
    {
        return QUEUE.request{value: fee}(MODEL, input, options);
    }

    /// @dev Makes a request and its proposal out of a signed answer, and pays `fee` out of this contract. What follows may
    /// act on `output`, which is attested, not final: see `IInferenceQueue.infer` for how much that is worth.
    ///
    /// The signature is for this contract, whoever calls it: a caller's transaction can be seen and repeated by another
    /// before it is mined. Bind the caller (as `refundTo`, or in the input), or do what is right whoever calls, once.
    function _useSigned(
        bytes memory input,
        uint256 fee,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) internal returns (RequestId) {
        return QUEUE.infer{value: fee}(MODEL, input, options, output, signature);
    }

    /// @dev A final result. Whatever this does, the operator is paid; a revert can be repaired by `retryCallback`.
    function _onInference(RequestId id, bytes calldata output) internal virtual;
}
