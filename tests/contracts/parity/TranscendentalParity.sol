// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ErrorFunction} from "../../../contracts/libraries/ErrorFunction.sol";
import {Exponential} from "../../../contracts/libraries/Exponential.sol";
import {Maps} from "./Maps.sol";

/// @dev What tests/parity compares with `oracle/exact/ops`.
contract TranscendentalParity is Maps {
    function exp(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Exponential.exp);
    }

    function sigmoid(uint32[] calldata x)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, Exponential.sigmoid);
    }

    function tanh(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Exponential.tanh);
    }

    function erf(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, ErrorFunction.erf);
    }
}
