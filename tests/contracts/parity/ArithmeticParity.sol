// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Arithmetic} from "../../../contracts/libraries/Arithmetic.sol";
import {Float32} from "../../../contracts/libraries/Float32.sol";
import {Rounding} from "../../../contracts/libraries/Rounding.sol";
import {Maps} from "./Maps.sol";

/// @dev What tests/parity compares with `oracle/exact/ops/elementwise.py`.
contract ArithmeticParity is Maps {
    function add(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.add);
    }

    function sub(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.sub);
    }

    function mul(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.mul);
    }

    function div(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.div);
    }

    function mod(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.mod);
    }

    function maximum(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.maximum);
    }

    function minimum(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, Arithmetic.minimum);
    }

    function less(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, _less);
    }

    function equal(uint32[] calldata x, uint32[] calldata y)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, y, _equal);
    }

    function sqrt(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Arithmetic.sqrt);
    }

    function neg(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Arithmetic.neg);
    }

    function abs(uint32[] calldata x) external view returns (uint32[] memory, uint256[] memory) {
        return _map(x, Arithmetic.abs);
    }

    function canonical(uint32[] calldata x)
        external
        view
        returns (uint32[] memory, uint256[] memory)
    {
        return _map(x, Float32.canonical);
    }

    function fromInteger(int256[] calldata x) external pure returns (uint32[] memory out) {
        out = new uint32[](x.length);
        for (uint256 i; i < x.length; ++i) {
            out[i] = Arithmetic.fromInteger(x[i]);
        }
    }

    function toInteger(uint32[] calldata x, int256 lowest, int256 highest)
        external
        pure
        returns (int256[] memory out)
    {
        out = new int256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            out[i] = Arithmetic.toInteger(x[i], lowest, highest);
        }
    }

    function roundToInteger(uint32[] calldata x) external pure returns (int256[] memory out) {
        out = new int256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            out[i] = Arithmetic.roundToInteger(x[i]);
        }
    }

    function round(
        bool[] calldata negative,
        uint256[] calldata high,
        uint256[] calldata low,
        int256[] calldata exponent
    ) external pure returns (uint32[] memory out) {
        out = new uint32[](low.length);
        for (uint256 i; i < low.length; ++i) {
            out[i] = high[i] == 0
                ? Rounding.round(negative[i], low[i], exponent[i])
                : Rounding.roundWide(negative[i], high[i], low[i], exponent[i]);
        }
    }

    function bitLength(uint256[] calldata x) external pure returns (uint256[] memory out) {
        out = new uint256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            out[i] = Rounding.bitLength(x[i]);
        }
    }

    function _less(uint32 x, uint32 y) private pure returns (uint32) {
        return Arithmetic.less(x, y) ? 1 : 0;
    }

    function _equal(uint32 x, uint32 y) private pure returns (uint32) {
        return Arithmetic.equal(x, y) ? 1 : 0;
    }
}
