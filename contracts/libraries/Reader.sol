// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";

/// @dev 32-byte words in the calldata, read once from the front to the end. Offsets are of the calldata.
struct Reader {
    uint256 start;
    uint256 at;
    uint256 end;
}

using ReaderLibrary for Reader global;

library ReaderLibrary {
    function readerOf(bytes calldata data) internal pure returns (Reader memory self) {
        uint256 start;
        assembly ("memory-safe") {
            start := data.offset
        }
        self.start = start;
        self.at = start;
        self.end = start + data.length;
    }

    /// @param part What is read, for the error.
    /// @return word
    function next(Reader memory self, string memory part) internal pure returns (uint256 word) {
        uint256 at = take(self, 1, part);
        assembly ("memory-safe") {
            word := calldataload(at)
        }
    }

    /// @param words Below 2^240.
    /// @return at Offset of the first of the words that are passed over.
    function take(Reader memory self, uint256 words, string memory part)
        internal
        pure
        returns (uint256 at)
    {
        at = self.at;
        skipTo(self, at + 32 * words, part);
    }

    /// @dev For what was read by others from `self.at` on.
    function skipTo(Reader memory self, uint256 at, string memory part) internal pure {
        require(at <= self.end, IReferee.WrongProof(part, self.at - self.start));
        self.at = at;
    }

    /// @dev For what was read last and is wrong.
    function refuse(Reader memory self, string memory part) internal pure {
        revert IReferee.WrongProof(part, self.at - self.start);
    }

    /// @dev Nothing may follow: a fact has one proof.
    function finish(Reader memory self) internal pure {
        require(self.at == self.end, IReferee.WrongProof("end", self.at - self.start));
    }
}
