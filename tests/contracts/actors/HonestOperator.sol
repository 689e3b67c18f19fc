// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../../contracts/interfaces/IOperatorStaking.sol";
import {Request} from "../../../contracts/libraries/Request.sol";

/// @dev Stakes, answers, takes what it earned.
contract HonestOperator {
    address internal immutable QUEUE;

    constructor(IInferenceQueue queue) {
        QUEUE = address(queue);
    }

    receive() external payable virtual {}

    function stake() external payable {
        IOperatorStaking(QUEUE).stake{value: msg.value}();
    }

    function unstake(uint256 amount) external {
        IOperatorStaking(QUEUE).unstake(amount);
    }

    function setSigner(address signer, uint96 maxLocked) external {
        IOperatorStaking(QUEUE).setSigner(signer, maxLocked);
    }

    function propose(Request calldata request, bytes calldata output) external {
        IInferenceQueue(QUEUE).propose(request, output);
    }

    function proposeBatch(Request[] calldata requests, bytes[] calldata outputs) external {
        IInferenceQueue(QUEUE).proposeBatch(requests, outputs);
    }
}

/// @dev Keeps its shop open, but takes no ether.
contract RefusingOperator is HonestOperator {
    error NoEther();

    constructor(IInferenceQueue queue) HonestOperator(queue) {}

    receive() external payable override {
        revert NoEther();
    }
}
