// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A contract to come. Contracts of one deployer may name each other here before any of them has an address.
/// @param code Its creation code, without the constructor's arguments.
/// @param siblings The constructor's first arguments: indices of contracts of the same deployer, whose addresses the
/// constructor is given, whether they are there yet or not.
/// @param parameters The constructor's other arguments, an ABI word each.
struct Blueprint {
    bytes code;
    uint256[] siblings;
    uint256[] parameters;
}

/// @title Creates a fixed list of contracts, each once and in order
/// @notice The list is fixed in the constructor by the blueprints' hashes. A deployer that lies at an address of CREATE2
/// creates with its own nonce, so the list alone says where each contract comes to lie: on every chain at the same
/// address, whoever sends.
///
/// @dev Anyone may send any of the list, and it makes no difference who: nothing but the next blueprint is accepted, and
/// a creation that fails leaves no trace. It holds no money and nobody has a right in it.
///
/// Assumptions that break safety: the chain derives the addresses of CREATE and CREATE2 as Ethereum does.
interface IDeployer {
    event ContractPlaced(uint256 indexed index, address indexed placed);

    error TooManyContracts(uint256 count, uint256 maximum);
    error NoSuchContract(uint256 index, uint256 count);
    /// @dev The init code that this blueprint makes is not the one that comes next.
    error WrongInitCode(uint256 index, bytes32 actual, bytes32 needed);
    /// @param reason What the constructor reverted with; empty where the gas was not enough.
    error CreationFailed(uint256 index, bytes reason);

    /// @notice Creates the next contract of the list. Anyone may call.
    /// @dev Reverts with `NoSuchContract` once all are there.
    function place(Blueprint calldata blueprint) external returns (address placed);

    /// @notice Where a contract of the list lies, or comes to lie.
    function addressOf(uint256 index) external view returns (address);

    /// @notice keccak256(abi.encode(blueprint)) of a contract of the list.
    function hashOf(uint256 index) external view returns (bytes32);

    /// @notice How many contracts of the list are there; this is the index of the next one.
    function placedCount() external view returns (uint256);

    /// @notice Seconds: when the deployer was created, and none of its contracts was there.
    function CREATED_AT() external view returns (uint256);
}
