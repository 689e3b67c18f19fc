// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {QuickFunctions} from "./QuickFunctions.sol";
import {Words} from "./Words.sol";

/// @title Family 03 on many numbers
/// @notice `Evaluator` asks it once a node, because the functions would not fit into its own code.
///
/// @dev What it is given is a word with the op and then a word a number (`Words`), and what it returns a word a number:
/// the words need not be encoded as an array on either side.
contract Transcendentals {
    uint256 private constant EXP = 0x0300;
    uint256 private constant LOG = 0x0301;
    uint256 private constant SIGMOID = 0x0302;
    uint256 private constant TANH = 0x0303;

    fallback() external {
        uint256 op;
        uint256 at;
        uint256 end;
        // What is given lies where memory begins to be free, and each word becomes its own result.
        assembly ("memory-safe") {
            at := mload(0x40)
            let size := sub(calldatasize(), 0x20)
            end := add(at, size)
            mstore(0x40, end)
            op := calldataload(0)
            calldatacopy(at, 0x20, size)
        }
        uint256 start = at;
        unchecked {
            for (; at < end; at += 32) {
                Words.set(at, _applied(op, Words.at(at)));
            }
        }
        assembly ("memory-safe") {
            return(start, sub(end, start))
        }
    }

    function _applied(uint256 op, uint256 x) private pure returns (uint256) {
        if (op == EXP) return QuickFunctions.exp(x);
        if (op == SIGMOID) return QuickFunctions.sigmoid(x);
        if (op == TANH) return QuickFunctions.tanh(x);
        if (op == LOG) return QuickFunctions.log(x);
        return QuickFunctions.erf(x);
    }
}
