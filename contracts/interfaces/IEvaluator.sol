// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Runs whole programs under the law
/// @notice A view: who calls it has the answer in the same transaction, and nobody to trust. The gas that a run takes
/// depends on the model and a little on the input; one that is odd (infinities, numbers far apart) may take several
/// times the usual.
interface IEvaluator {
    /// @dev Bind it first (`IModelCode`).
    error NotBound(bytes32 programRoot);
    error WrongInputLength(uint256 length, uint256 needed);

    /// @param input The payload: the inputs' elements, big-endian, in the model's order.
    /// @return output The outputs', the same bytes that every worker gives.
    function infer(bytes32 programRoot, bytes calldata input)
        external
        view
        returns (bytes memory output);
}
