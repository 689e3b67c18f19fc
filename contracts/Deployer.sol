// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Blueprint, IDeployer} from "./interfaces/IDeployer.sol";

/// @title Deployer
contract Deployer is IDeployer {
    /// @dev Nonces up to this one are a single byte in the preimage of an address.
    uint256 private constant MAX_COUNT = 0x7f;

    uint256 public immutable CREATED_AT;

    /// @inheritdoc IDeployer
    uint256 public placedCount;
    bytes32[] private _hashes;

    constructor(bytes32[] memory hashes) {
        require(hashes.length <= MAX_COUNT, TooManyContracts(hashes.length, MAX_COUNT));

        CREATED_AT = block.timestamp;
        _hashes = hashes;
    }

    /// @inheritdoc IDeployer
    function place(Blueprint calldata blueprint) external returns (address placed) {
        uint256 index = placedCount;
        bytes32 actual = keccak256(abi.encode(blueprint));
        bytes32 needed = hashOf(index);

        require(actual == needed, WrongInitCode(index, actual, needed));

        // The nonce that CREATE takes is this contract's own, which begins with 1.
        placedCount = index + 1;
        bytes memory initCode = _initCodeOf(blueprint);
        assembly ("memory-safe") {
            placed := create(0, add(initCode, 32), mload(initCode))
        }
        // INVARIANT: theNonceCountsThePlaced. A failed CREATE takes a nonce too, unless all of this call is undone.
        require(placed != address(0), CreationFailed(index, _returned()));

        emit ContractPlaced(index, placed);
    }

    /// @inheritdoc IDeployer
    function addressOf(uint256 index) public view returns (address) {
        _requireListed(index);
        // RLP of a list of two: 20 bytes, and a nonce below 128, which stands for itself.
        bytes memory preimage =
            abi.encodePacked(bytes2(0xd694), address(this), bytes1(uint8(index + 1)));
        return address(uint160(uint256(keccak256(preimage))));
    }

    /// @inheritdoc IDeployer
    function hashOf(uint256 index) public view returns (bytes32) {
        _requireListed(index);
        return _hashes[index];
    }

    function _requireListed(uint256 index) private view {
        require(index < _hashes.length, NoSuchContract(index, _hashes.length));
    }

    function _initCodeOf(Blueprint calldata blueprint) private view returns (bytes memory) {
        uint256[] memory addresses = new uint256[](blueprint.siblings.length);
        for (uint256 i; i < addresses.length; ++i) {
            addresses[i] = uint160(addressOf(blueprint.siblings[i]));
        }
        return bytes.concat(
            blueprint.code, abi.encodePacked(addresses), abi.encodePacked(blueprint.parameters)
        );
    }

    function _returned() private pure returns (bytes memory data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            mstore(data, returndatasize())
            returndatacopy(add(data, 32), 0, returndatasize())
            mstore(0x40, and(add(add(data, 63), returndatasize()), not(31)))
        }
    }
}
