// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Who stands behind a proposal: the operator (160 bits), its epoch then (32), 31 zero bits, whether the operator's
/// signer signed it (1), and the bytes of the output (32).
type Origin is uint256;

/// @dev Two moments in seconds: when the proposal came (64 bits), and the first at which its output is final (64), which
/// is 2^63 - 1 while a dispute suspends it; then 128 zero bits.
type Window is uint256;

/// @dev All of a proposal but its output's root. Packed, since every later call passes it back: a word of its own for
/// each of the five would cost 800 gas an inference more.
struct Proposal {
    Origin origin;
    Window window;
}

using OriginLibrary for Origin global;
using WindowLibrary for Window global;

library OriginLibrary {
    uint256 private constant SIGNERS = 1 << 32;

    /// @param outputLength_ Below 2^32.
    function pack(address operator_, uint32 epoch_, uint256 outputLength_)
        internal
        pure
        returns (Origin)
    {
        return Origin.wrap(
            (uint256(uint160(operator_)) << 96) | (uint256(epoch_) << 64) | outputLength_
        );
    }

    /// @return The same, of an answer that the operator's signer signed.
    function bySigner(Origin origin) internal pure returns (Origin) {
        return Origin.wrap(Origin.unwrap(origin) | SIGNERS);
    }

    /// @return Whether the operator's signer signed it, and may show its trace.
    function isBySigner(Origin origin) internal pure returns (bool) {
        return Origin.unwrap(origin) & SIGNERS != 0;
    }

    function operator(Origin origin) internal pure returns (address) {
        return address(uint160(Origin.unwrap(origin) >> 96));
    }

    /// @return The operator's epoch when it proposed; a slash since voids the proposal unless it was final.
    function epoch(Origin origin) internal pure returns (uint32) {
        return uint32(Origin.unwrap(origin) >> 64);
    }

    /// @return Bytes. A root binds no length: zeros at the end do not change it.
    function outputLength(Origin origin) internal pure returns (uint256) {
        return uint32(Origin.unwrap(origin));
    }
}

library WindowLibrary {
    /// @dev Later than any time, and than any answer.
    uint64 internal constant SUSPENDED = uint64(type(int64).max);

    function pack(uint64 proposedAt_, uint64 settleAt_) internal pure returns (Window) {
        return Window.wrap((uint256(proposedAt_) << 192) | (uint256(settleAt_) << 128));
    }

    function proposedAt(Window window) internal pure returns (uint64) {
        return uint64(Window.unwrap(window) >> 192);
    }

    function settleAt(Window window) internal pure returns (uint64) {
        return uint64(Window.unwrap(window) >> 128);
    }

    function movedTo(Window window, uint64 settleAt_) internal pure returns (Window) {
        return pack(proposedAt(window), settleAt_);
    }
}
