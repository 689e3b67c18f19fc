// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Reads a payload: tensors' elements, big-endian, one after the other. Offsets are in bytes.
library Payload {
    error BeyondPayload(uint256 offset, uint256 size, uint256 length);

    /// @return The element's bits; `Float32` reads them.
    function float32At(bytes calldata payload, uint256 offset) internal pure returns (uint32) {
        return uint32(_read(payload, offset, 4));
    }

    function int64At(bytes calldata payload, uint256 offset) internal pure returns (int64) {
        return int64(uint64(_read(payload, offset, 8)));
    }

    function int32At(bytes calldata payload, uint256 offset) internal pure returns (int32) {
        return int32(uint32(_read(payload, offset, 4)));
    }

    function boolAt(bytes calldata payload, uint256 offset) internal pure returns (bool) {
        return _read(payload, offset, 1) != 0;
    }

    function _read(bytes calldata payload, uint256 offset, uint256 size)
        private
        pure
        returns (uint256 value)
    {
        require(
            offset <= payload.length && size <= payload.length - offset,
            BeyondPayload(offset, size, payload.length)
        );
        assembly ("memory-safe") {
            value := shr(sub(256, mul(8, size)), calldataload(add(payload.offset, offset)))
        }
    }
}
