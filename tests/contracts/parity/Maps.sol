// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev A function of float32 over arrays of them, and what the elements took in gas.
abstract contract Maps {
    function _map(uint32[] calldata x, function(uint32) internal pure returns (uint32) f)
        internal
        view
        returns (uint32[] memory out, uint256[] memory gas)
    {
        out = new uint32[](x.length);
        gas = new uint256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            uint32 argument = x[i];
            uint256 before = gasleft();
            uint32 value = f(argument);
            gas[i] = before - gasleft();
            out[i] = value;
        }
    }

    function _map(
        uint32[] calldata x,
        uint32[] calldata y,
        function(uint32, uint32) internal pure returns (uint32) f
    ) internal view returns (uint32[] memory out, uint256[] memory gas) {
        out = new uint32[](x.length);
        gas = new uint256[](x.length);
        for (uint256 i; i < x.length; ++i) {
            (uint32 first, uint32 second) = (x[i], y[i]);
            uint256 before = gasleft();
            uint32 value = f(first, second);
            gas[i] = before - gasleft();
            out[i] = value;
        }
    }
}
