// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Bytes that stand in contract code, behind a STOP, so that nobody can run them.
library Code {
    /// @dev Of bytes in one contract: EIP-170's 24,576 less the STOP.
    uint256 internal constant MOST = 24_575;

    /// @dev Creation code of 11 bytes that returns what follows it, and the STOP.
    uint256 private constant CREATION = 0x6200000080600b3d393df300;

    error NotWritten(uint256 length);

    /// @param from Offset in memory; the 12 bytes before it are written to, and given back as they were.
    function write(uint256 from, uint256 length) internal returns (address place) {
        assembly ("memory-safe") {
            let before := sub(from, 32)
            let kept := mload(before)
            mstore(before, or(CREATION, shl(64, add(length, 1))))
            place := create(0, sub(from, 12), add(length, 12))
            mstore(before, kept)
        }
        require(place != address(0), NotWritten(length));
    }

    /// @return length Of the bytes in a contract that `write` made.
    function lengthOf(address place) internal view returns (uint256 length) {
        assembly ("memory-safe") {
            length := sub(extcodesize(place), 1)
        }
    }
}
