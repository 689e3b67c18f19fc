// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Quick} from "../../../contracts/evaluation/Quick.sol";
import {QuickFunctions} from "../../../contracts/evaluation/QuickFunctions.sol";

/// @dev What tests/parity compares with the plain libraries and kernels.
contract QuickParity {
    function add(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Quick.add);
    }

    function sub(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Quick.sub);
    }

    function mul(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Quick.mul);
    }

    function div(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Quick.div);
    }

    function sqrt(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Quick.sqrt);
    }

    function exp(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, QuickFunctions.exp);
    }

    function log(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, QuickFunctions.log);
    }

    function sigmoid(uint32[] calldata x)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, QuickFunctions.sigmoid);
    }

    function tanh(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, QuickFunctions.tanh);
    }

    function erf(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, QuickFunctions.erf);
    }

    function round(int256[] calldata sums, int256[] calldata exponents)
        external
        view
        returns (uint256[] memory out, uint256[] memory gas)
    {
        out = new uint256[](sums.length);
        gas = new uint256[](sums.length);
        for (uint256 i; i < sums.length; ++i) {
            (int256 sum, int256 exponent) = (sums[i], exponents[i]);
            uint256 before = gasleft();
            uint256 value = Quick.round(sum, exponent);
            gas[i] = before - gasleft();
            out[i] = value;
        }
    }

    function _map(uint32[] calldata x, function(uint256) internal pure returns (uint256) f)
        internal
        view
        returns (uint32[] memory out, uint256[] memory gas)
    {
        out = new uint32[](x.length);
        gas = new uint256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            uint256 argument = x[i];
            uint256 before = gasleft();
            uint256 value = f(argument);
            gas[i] = before - gasleft();
            assembly ("memory-safe") {
                // All of the word: `out[i] = uint32(value)` would cut off what should not be there.
                mstore(add(add(out, 32), shl(5, i)), value)
            }
        }
    }

    function _map(
        uint32[] calldata x,
        uint32[] calldata y,
        function(uint256, uint256) internal pure returns (uint256) f
    ) internal view returns (uint32[] memory out, uint256[] memory gas) {
        out = new uint32[](x.length);
        gas = new uint256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            (uint256 first, uint256 second) = (x[i], y[i]);
            uint256 before = gasleft();
            uint256 value = f(first, second);
            gas[i] = before - gasleft();
            assembly ("memory-safe") {
                // All of the word: `out[i] = uint32(value)` would cut off what should not be there.
                mstore(add(add(out, 32), shl(5, i)), value)
            }
        }
    }
}
