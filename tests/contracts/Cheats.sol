// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Cheatcodes that `Vm` does not name.
interface Cheats {
    function chainId(uint256 id) external;
    function expectPartialRevert(bytes4 selector) external;
    function fee(uint256 baseFee) external;
    function prevrandao(uint256 number) external;
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function deployCode(string calldata artifact, bytes calldata arguments)
        external
        returns (address);
    function getBlockNumber() external view returns (uint256);
    function getBlockTimestamp() external view returns (uint256);
    function getNonce(address account) external view returns (uint64);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function mockCall(address callee, bytes calldata data, bytes calldata answer) external;
    function clearMockedCalls() external;
}
