// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The hash of a request: chain, queue, fields and input.
type RequestId is bytes32;

/// @dev Moves down this list only; a slash alone leads back, from Proposed to Requested.
enum Status {
    None, // never asked for
    Requested, // the fee is escrowed, anyone (or the chosen operator) may propose
    Proposed, // an output is posted and a bond locked; final once the window is over
    Settled, // the operator is paid and the callback was tried
    Expired // nobody answered in time, the fee is refunded
}

/// @dev A request's one storage slot: status (8 bits), whether a callback is still owed (8), and once proposed the
/// truncated hash of the proposal and its output (240: a collision, which only cheats the cheater, costs 2^120).
type RequestState is uint256;

using RequestStateLibrary for RequestState global;

library RequestStateLibrary {
    uint256 private constant CALLBACK_OWED = 1 << 8;
    uint256 private constant COMMITMENT = ~uint256(0xffff);

    function requested() internal pure returns (RequestState) {
        return RequestState.wrap(uint256(Status.Requested));
    }

    function expired() internal pure returns (RequestState) {
        return RequestState.wrap(uint256(Status.Expired));
    }

    function proposed(bytes32 commitment) internal pure returns (RequestState) {
        return RequestState.wrap((uint256(commitment) & COMMITMENT) | uint256(Status.Proposed));
    }

    function settled(bytes32 commitment, bool callbackOwed) internal pure returns (RequestState) {
        return RequestState.wrap(
            (uint256(commitment) & COMMITMENT) | uint256(Status.Settled)
                | (callbackOwed ? CALLBACK_OWED : 0)
        );
    }

    function status(RequestState state) internal pure returns (Status) {
        return Status(uint8(RequestState.unwrap(state)));
    }

    function isCallbackOwed(RequestState state) internal pure returns (bool) {
        return RequestState.unwrap(state) & CALLBACK_OWED != 0;
    }

    function commitsTo(RequestState state, bytes32 commitment) internal pure returns (bool) {
        return (RequestState.unwrap(state) ^ uint256(commitment)) & COMMITMENT == 0;
    }
}
