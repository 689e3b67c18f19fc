// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Logarithm} from "../../../contracts/libraries/Logarithm.sol";
import {Power} from "../../../contracts/libraries/Power.sol";
import {Trigonometry} from "../../../contracts/libraries/Trigonometry.sol";
import {Maps} from "./Maps.sol";

/// @dev What tests/parity compares with `oracle/exact/ops`.
contract FunctionsParity is Maps {
    function log(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Logarithm.log);
    }

    function log1p(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Logarithm.log1p);
    }

    function sin(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Trigonometry.sin);
    }

    function cos(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Trigonometry.cos);
    }

    function atan(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Trigonometry.atan);
    }

    function pow(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Power.pow);
    }
}
