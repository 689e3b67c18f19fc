// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Merkle} from "../../contracts/libraries/Merkle.sol";
import {Trees} from "./toy/Trees.sol";

/// @dev The root of a payload's tree, level by level: what `Merkle.payloadRoot` must give.
function rootOf(bytes memory payload) pure returns (bytes32) {
    uint256 leaves = payload.length == 0 ? 1 : (payload.length + 127) / 128;
    bytes memory padded = abi.encodePacked(payload, new bytes(128 * leaves - payload.length));
    return Trees.root(Trees.hashesOf(padded), Merkle.EMPTY_LEAF);
}
