// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Cheatcodes that `Vm` does not name.
interface Cheats {
    function chainId(uint256 id) external;
    function deployCode(string calldata artifact, bytes calldata arguments)
        external
        returns (address);
    function getBlockTimestamp() external view returns (uint256);
}
