// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Moves down this list only.
enum DemandStatus {
    None, // never asked for
    Open, // waits for an answer
    Revealed, // answered in time
    Collected // its money is paid out
}

/// @dev A demand's one storage slot: status (8 bits) and the truncated hash of its terms (248).
type DemandState is uint256;

using DemandStateLibrary for DemandState global;

library DemandStateLibrary {
    uint256 private constant STATUS = 0xff;

    function open(bytes32 terms) internal pure returns (DemandState) {
        return DemandState.wrap((uint256(terms) & ~STATUS) | uint256(DemandStatus.Open));
    }

    function to(DemandState state, DemandStatus next) internal pure returns (DemandState) {
        return DemandState.wrap((DemandState.unwrap(state) & ~STATUS) | uint256(next));
    }

    function status(DemandState state) internal pure returns (DemandStatus) {
        return DemandStatus(uint8(DemandState.unwrap(state)));
    }

    function commitsTo(DemandState state, bytes32 terms) internal pure returns (bool) {
        return (DemandState.unwrap(state) ^ uint256(terms)) & ~STATUS == 0;
    }
}
