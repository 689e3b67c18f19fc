// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Many calls in one, each with what it gave and the gas that it took
contract CallAll {
    /// @return done Of each call, whether it did not revert.
    /// @return results What it returned, or what it reverted with.
    function callAll(address[] calldata targets, bytes[] calldata calls)
        external
        returns (bool[] memory done, bytes[] memory results, uint256[] memory gas)
    {
        done = new bool[](calls.length);
        results = new bytes[](calls.length);
        gas = new uint256[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            uint256 before = gasleft();
            (done[i], results[i]) = targets[i].call(calls[i]);
            gas[i] = before - gasleft();
        }
    }
}
