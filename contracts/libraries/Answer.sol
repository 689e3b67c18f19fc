// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RequestId} from "./RequestState.sol";

/// @notice Of secp256k1, as in EIP-2098: the parity is the highest bit of `vs`.
struct Signature {
    bytes32 r;
    bytes32 vs;
}

/// @dev What an operator signs, by EIP-712. The request's id binds the chain, the queue, consumer, fee, bond, window and
/// deadline; by the epoch a slash ends whatever was signed before it, used or not.
library Answer {
    bytes32 private constant TYPE =
        keccak256("Answer(bytes32 requestId,bytes32 outputRoot,uint32 outputLength,uint32 epoch)");
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    /// @notice The separator of `queue` on the chain as its id is now.
    function domainOf(address queue) internal view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("Exactum"), keccak256("1"), block.chainid, queue)
        );
    }

    /// @return signer Zero where the signature is none.
    /// @dev Of an answer there is a second signature, with the other s, wherever that s has no highest bit. Nothing
    /// depends on it: an id is used once, by whichever comes first.
    function signerOf(
        bytes32 domain,
        RequestId id,
        bytes32 outputRoot,
        uint256 outputLength,
        uint256 epoch,
        Signature calldata signature
    ) internal view returns (address signer) {
        bytes32 type_ = TYPE;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, type_)
            mstore(add(free, 0x20), id)
            mstore(add(free, 0x40), outputRoot)
            mstore(add(free, 0x60), outputLength)
            mstore(add(free, 0x80), epoch)
            let content := keccak256(free, 0xa0)
            mstore(free, shl(240, 0x1901))
            mstore(add(free, 2), domain)
            mstore(add(free, 0x22), content)
            mstore(free, keccak256(free, 0x42))
            let vs := calldataload(add(signature, 0x20))
            mstore(add(free, 0x20), add(27, shr(255, vs)))
            mstore(add(free, 0x40), calldataload(signature))
            mstore(add(free, 0x60), shr(1, shl(1, vs)))
            mstore(0, 0)
            // The precompile returns nothing for a signature that is none.
            pop(staticcall(gas(), 1, free, 0x80, 0, 0x20))
            signer := mload(0)
        }
    }
}
