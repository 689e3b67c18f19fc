// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "../interfaces/IModelRegistry.sol";
import {ModelTerms} from "./ModelTerms.sol";
import {RequestId} from "./RequestState.sol";

/// @dev All that a request is. It lives in the event that created it, and every later call passes it back, so it is
/// packed: the queue would cost 5,000 gas an inference more with a field a word (docs/decisions.md).
/// @param terms The model's, as the registry had them.
/// @param inputRoot Of the tree over the input payload (`Merkle.payloadRoot`), whose length is in `refundToAndLengths`.
/// @param consumerAndFee Who asked (160 bits) and the wei in escrow (96), the publisher's royalty included.
/// @param operatorAndBond Who alone may answer, zero for anyone (160), and the wei that they risk (96).
/// @param refundToAndLengths Who is credited if the request expires or its operator is slashed (160); 32 zero bits; bytes
/// of the input (32), and the most of an output (32).
/// @param timing The deadline in seconds, the first moment at which a proposal is too late (64), the window in seconds
/// (32), the callback's gas (32), the nonce (64), and the entropy (64). The nonce is the caller's where its highest
/// bit is set; else it is zero, unless an equal request was made before.
struct Request {
    ModelId model;
    ModelTerms terms;
    bytes32 inputRoot;
    uint256 consumerAndFee;
    uint256 operatorAndBond;
    uint256 refundToAndLengths;
    uint256 timing;
}

using RequestLibrary for Request global;

library RequestLibrary {
    /// @dev In a nonce: its caller chose it. No twin has it, so nobody can take a twin's id beforehand.
    uint64 internal constant CALLERS = 1 << 63;

    uint256 private constant SIZE = 7 * 32;

    function pack(address account, uint256 amount) internal pure returns (uint256) {
        return (uint256(uint160(account)) << 96) | uint96(amount);
    }

    function packLengths(address refundTo_, uint256 inputLength_, uint256 maxOutputLength_)
        internal
        pure
        returns (uint256)
    {
        return (uint256(uint160(refundTo_)) << 96) | (inputLength_ << 32) | maxOutputLength_;
    }

    function packTiming(
        uint256 deadline_,
        uint32 window_,
        uint32 callbackGas_,
        uint64 nonce_,
        uint64 entropy_
    ) internal pure returns (uint256) {
        return (uint256(uint64(deadline_)) << 192) | (uint256(window_) << 160)
            | (uint256(callbackGas_) << 128) | (uint256(nonce_) << 64) | entropy_;
    }

    /// @dev Binds chain and queue, so that evidence about a request of one says nothing about another. The assembly
    /// hashes the words as they are, without decoding and encoding them; a word with dirty bits gives an id that no
    /// request has.
    /// @param scope `scopeOf` the queue.
    function id(Request calldata self, uint256 scope) internal pure returns (RequestId id_) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, self, SIZE)
            mstore(0, scope)
            mstore(0x20, keccak256(free, SIZE))
            id_ := keccak256(0, 0x40)
        }
    }

    /// @dev The same for a request that is being made.
    function idInMemory(Request memory self, uint256 scope) internal pure returns (RequestId id_) {
        assembly ("memory-safe") {
            mstore(0, scope)
            mstore(0x20, keccak256(self, SIZE))
            id_ := keccak256(0, 0x40)
        }
    }

    /// @notice The chain's id now, and the queue's address. Kept from the deployment on: were it read again later, a
    /// chain that changes its id would strand what is in escrow.
    function scopeOf(address queue) internal view returns (uint256) {
        return (block.chainid << 160) | uint160(queue);
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

    function refundTo(Request calldata self) internal pure returns (address) {
        return address(uint160(self.refundToAndLengths >> 96));
    }

    /// @return Bytes of the input payload.
    function inputLength(Request calldata self) internal pure returns (uint256) {
        return uint32(self.refundToAndLengths >> 32);
    }

    /// @return Bytes: the most that an output payload may have, or what it must have unless the model generates.
    function maxOutputLength(Request calldata self) internal pure returns (uint256) {
        return uint32(self.refundToAndLengths);
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
