// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "../../../contracts/interfaces/IInferenceConsumer.sol";
import {
    IInferenceQueue,
    Options,
    SignedOptions
} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Signature} from "../../../contracts/libraries/Answer.sol";
import {RequestId} from "../../../contracts/libraries/RequestState.sol";

abstract contract TestConsumer is IInferenceConsumer {
    IInferenceQueue internal immutable QUEUE;

    constructor(IInferenceQueue queue) {
        QUEUE = queue;
    }

    receive() external payable virtual {}

    function ask(ModelId model, bytes calldata input, Options calldata options)
        external
        payable
        returns (RequestId)
    {
        return QUEUE.request{value: msg.value}(model, input, options);
    }

    function useSigned(
        ModelId model,
        bytes calldata input,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) external payable returns (RequestId) {
        return QUEUE.infer{value: msg.value}(model, input, options, output, signature);
    }

    function sendAll(address payable to) external {
        to.transfer(address(this).balance);
    }
}

/// @dev Keeps what it was told.
contract RecordingConsumer is TestConsumer {
    RequestId public lastId;
    bytes public lastOutput;
    uint256 public calls;

    constructor(IInferenceQueue queue) TestConsumer(queue) {}

    function onInference(RequestId id, bytes calldata output) external {
        (lastId, lastOutput) = (id, output);
        ++calls;
    }
}

/// @dev Reverts until it is told to stop.
contract RevertingConsumer is TestConsumer {
    error Refused(RequestId id);

    bool public isRefusing = true;
    uint256 public calls;

    constructor(IInferenceQueue queue) TestConsumer(queue) {}

    function onInference(RequestId id, bytes calldata) external {
        require(!isRefusing, Refused(id));
        ++calls;
    }

    function setRefusing(bool refusing) external {
        isRefusing = refusing;
    }
}

contract GasBurningConsumer is TestConsumer {
    constructor(IInferenceQueue queue) TestConsumer(queue) {}

    function onInference(RequestId, bytes calldata) external pure {
        assembly {
            invalid()
        }
    }
}

/// @dev Answers with `size` bytes.
contract ReturnBombConsumer is TestConsumer {
    uint256 internal immutable SIZE;
    bool internal immutable REVERTS;

    constructor(IInferenceQueue queue, uint256 size, bool reverts) TestConsumer(queue) {
        (SIZE, REVERTS) = (size, reverts);
    }

    function onInference(RequestId, bytes calldata) external view {
        (uint256 size, bool reverts) = (SIZE, REVERTS);
        assembly {
            if reverts { revert(0, size) }
            return(0, size)
        }
    }
}

/// @dev Makes the calls that it was armed with when it is next called or paid, and keeps what came of them.
contract ReenteringConsumer is TestConsumer {
    struct Call {
        uint256 value;
        bytes data;
    }

    struct Outcome {
        bool isSuccess;
        bytes data;
    }

    bool public isArmed;
    Call[] internal _calls;
    Outcome[] internal _outcomes;

    constructor(IInferenceQueue queue) payable TestConsumer(queue) {}

    receive() external payable override {
        _act();
    }

    function onInference(RequestId, bytes calldata) external {
        _act();
    }

    function arm(Call[] calldata calls) external payable {
        isArmed = true;
        delete _calls;
        delete _outcomes;
        for (uint256 i; i < calls.length; ++i) {
            _calls.push(calls[i]);
        }
    }

    function outcomes() external view returns (Outcome[] memory) {
        return _outcomes;
    }

    function _act() private {
        if (!isArmed) return;
        isArmed = false;
        for (uint256 i; i < _calls.length; ++i) {
            (bool isSuccess, bytes memory data) =
                address(QUEUE).call{value: _calls[i].value}(_calls[i].data);
            _outcomes.push(Outcome(isSuccess, data));
        }
    }
}

/// @dev Reverts with the gas that it got: code that needs next to none itself.
library GasProbe {
    /// @dev GAS PUSH0 MSTORE PUSH1 32 PUSH0 REVERT: the first opcode costs 2, and reports what is left after it.
    bytes internal constant CODE = hex"5a5f5260205ffd";
    uint256 internal constant OVERHEAD = 2;
}
