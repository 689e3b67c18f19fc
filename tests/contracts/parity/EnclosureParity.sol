// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Exponential} from "../../../contracts/libraries/Exponential.sol";
import {FixedPoint} from "../../../contracts/libraries/FixedPoint.sol";
import {Logarithm} from "../../../contracts/libraries/Logarithm.sol";

/// @dev What the functions are before they are rounded: tests/parity compares how far they are off with the bounds
/// that they state.
contract EnclosureParity {
    function power(int256[] calldata arguments)
        external
        pure
        returns (uint256[] memory values, uint256[] memory errors, int256[] memory scales)
    {
        values = new uint256[](arguments.length);
        errors = new uint256[](arguments.length);
        scales = new int256[](arguments.length);
        for (uint256 i; i < arguments.length; ++i) {
            (values[i], errors[i], scales[i]) = Exponential.power(arguments[i], 0);
        }
    }

    function natural(uint256[] calldata m, int256[] calldata e)
        external
        pure
        returns (int256[] memory values, uint256 error)
    {
        values = new int256[](m.length);
        error = Logarithm.ERROR;
        for (uint256 i; i < m.length; ++i) {
            values[i] = Logarithm.natural(m[i], e[i]);
        }
    }

    function odd(uint256[] calldata z, bool alternating)
        external
        pure
        returns (uint256[] memory values)
    {
        values = new uint256[](z.length);
        for (uint256 i; i < z.length; ++i) {
            values[i] = FixedPoint.odd(z[i], alternating);
        }
    }

    function mul(uint256[] calldata a, uint256[] calldata b)
        external
        pure
        returns (uint256[] memory values)
    {
        values = new uint256[](a.length);
        for (uint256 i; i < a.length; ++i) {
            values[i] = FixedPoint.mul(a[i], b[i]);
        }
    }

    function ratio(uint256[] calldata n, uint256[] calldata d)
        external
        pure
        returns (uint256[] memory values)
    {
        values = new uint256[](n.length);
        for (uint256 i; i < n.length; ++i) {
            values[i] = FixedPoint.ratio(n[i], d[i]);
        }
    }
}
