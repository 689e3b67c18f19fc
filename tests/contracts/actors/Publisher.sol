// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IModelRegistry, ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";

contract Publisher {
    IModelRegistry internal immutable REGISTRY;

    constructor(IModelRegistry registry) {
        REGISTRY = registry;
    }

    receive() external payable virtual {}

    function publish(IModelRegistry.Model calldata model, string calldata uri)
        external
        returns (ModelId)
    {
        return REGISTRY.publish(model, uri);
    }
}

/// @dev Wants royalties, and reverts when they come.
contract RefusingPublisher is Publisher {
    error NoEther();

    constructor(IModelRegistry registry) Publisher(registry) {}

    receive() external payable override {
        revert NoEther();
    }
}
