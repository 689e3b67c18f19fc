// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Claim, IReferee} from "../../../contracts/interfaces/IReferee.sol";

/// @title RefereeParity
/// @notice Many proofs in one call.
contract RefereeParity {
    /// @return answers What the referee returned, or reverted with.
    /// @return gas What each call took, without what the transaction would.
    function judgeAll(address referee, Claim[] calldata claims, bytes[] calldata proofs)
        external
        view
        returns (bytes[] memory answers, uint256[] memory gas)
    {
        answers = new bytes[](proofs.length);
        gas = new uint256[](proofs.length);
        for (uint256 i; i < proofs.length; ++i) {
            bytes memory call_ = abi.encodeCall(IReferee.judge, (claims[i], proofs[i]));
            uint256 before = gasleft();
            (, answers[i]) = referee.staticcall(call_);
            gas[i] = before - gasleft();
        }
    }
}
