// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "../interfaces/IModelRegistry.sol";
import {ModelTerms} from "./ModelTerms.sol";
import {RequestId} from "./RequestState.sol";

/// @dev All that a request is. It lives in the event that created it, and every later call passes it back, so it is
/// packed: the queue would cost 5,000 gas an inference more with a field a word (docs/decisions.md).
/// @param terms The model's, as the registry had them.
/// @param inputHash keccak256 of the input payload.
/// @param consumerAndFee Who asked (160 bits) and the wei in escrow (96), the publisher's royalty included.
/// @param operatorAndBond Who alone may answer, zero for anyone (160), and the wei that they risk (96).
/// @param refundTo Who is credited if the request expires or its operator is slashed.
/// @param timing The deadline in seconds, the first moment at which a proposal is too late (64), the window in seconds
/// (32), the callback's gas (32), and the nonce: zero, unless an equal request was made before (128).
struct Request {
    ModelId model;
    ModelTerms terms;
    bytes32 inputHash;
    uint256 consumerAndFee;
    uint256 operatorAndBond;
    address refundTo;
    uint256 timing;
}

using RequestLibrary for Request global;

library RequestLibrary {
    uint256 private constant SIZE = 7 * 32;

    function pack(address account, uint256 amount) internal pure returns (uint256) {
        return (uint256(uint160(account)) << 96) | uint96(amount);
    }

    function packTiming(uint256 deadline_, uint32 window_, uint32 callbackGas_)
        internal
        pure
        returns (uint256)
    {
        return (uint256(uint64(deadline_)) << 192) | (uint256(window_) << 160)
            | (uint256(callbackGas_) << 128);
    }

    /// @dev Binds chain and queue, so that evidence about a request of one says nothing about another. The assembly
    /// hashes the words as they are, without decoding and encoding them; a word with dirty bits gives an id that no
    /// request has.
    function id(Request calldata self) internal view returns (RequestId id_) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, self, SIZE)
            mstore(0, or(shl(160, chainid()), address()))
            mstore(0x20, keccak256(free, SIZE))
            id_ := keccak256(0, 0x40)
        }
    }

    /// @dev The same outside of the queue.
    function idIn(Request calldata self, address queue) internal view returns (RequestId id_) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, self, SIZE)
            mstore(0, or(shl(160, chainid()), queue))
            mstore(0x20, keccak256(free, SIZE))
            id_ := keccak256(0, 0x40)
        }
    }

    /// @dev The same for a request that is being made.
    function idInMemory(Request memory self) internal view returns (RequestId id_) {
        assembly ("memory-safe") {
            mstore(0, or(shl(160, chainid()), address()))
            mstore(0x20, keccak256(self, SIZE))
            id_ := keccak256(0, 0x40)
        }
    }

    function consumer(Request calldata self) internal pure returns (address) {
        return address(uint160(self.consumerAndFee >> 96));
    }

    function fee(Request calldata self) internal pure returns (uint96) {
        return uint96(self.consumerAndFee);
    }

    function operator(Request calldata self) internal pure returns (address) {
        return address(uint160(self.operatorAndBond >> 96));
    }

    function bond(Request calldata self) internal pure returns (uint96) {
        return uint96(self.operatorAndBond);
    }

    function deadline(Request calldata self) internal pure returns (uint64) {
        return uint64(self.timing >> 192);
    }

    function window(Request calldata self) internal pure returns (uint32) {
        return uint32(self.timing >> 160);
    }

    function callbackGas(Request calldata self) internal pure returns (uint32) {
        return uint32(self.timing >> 128);
    }
}
