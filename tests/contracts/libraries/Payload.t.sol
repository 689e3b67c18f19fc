// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Payload} from "../../../contracts/libraries/Payload.sol";
import {Test} from "../Test.sol";

contract PayloadHarness {
    function float32At(bytes calldata payload, uint256 offset) external pure returns (uint32) {
        return Payload.float32At(payload, offset);
    }

    function int64At(bytes calldata payload, uint256 offset) external pure returns (int64) {
        return Payload.int64At(payload, offset);
    }

    function int32At(bytes calldata payload, uint256 offset) external pure returns (int32) {
        return Payload.int32At(payload, offset);
    }

    function boolAt(bytes calldata payload, uint256 offset) external pure returns (bool) {
        return Payload.boolAt(payload, offset);
    }
}

contract PayloadTest is Test {
    PayloadHarness internal harness = new PayloadHarness();

    function testFuzz_float32At_reads(uint32 value, bytes calldata before, bytes calldata then)
        external
        view
    {
        bytes memory payload = abi.encodePacked(before, value, then);
        vm.assertEq(harness.float32At(payload, before.length), value);
    }

    function testFuzz_int64At_reads(int64 value, bytes calldata before, bytes calldata then)
        external
        view
    {
        bytes memory payload = abi.encodePacked(before, value, then);
        vm.assertEq(harness.int64At(payload, before.length), int256(value));
    }

    function testFuzz_int32At_reads(int32 value, bytes calldata before, bytes calldata then)
        external
        view
    {
        bytes memory payload = abi.encodePacked(before, value, then);
        vm.assertEq(harness.int32At(payload, before.length), int256(value));
    }

    function testFuzz_boolAt_reads(bool value, bytes calldata before, bytes calldata then)
        external
        view
    {
        bytes memory payload = abi.encodePacked(before, value, then);
        vm.assertEq(harness.boolAt(payload, before.length), value);
    }

    function testFuzz_float32At_revertsWhenBeyondPayload(bytes calldata payload, uint256 offset)
        external
    {
        _expectBeyond(payload, _beyond(payload, offset, 4), 4);
        harness.float32At(payload, _beyond(payload, offset, 4));
    }

    function testFuzz_int64At_revertsWhenBeyondPayload(bytes calldata payload, uint256 offset)
        external
    {
        _expectBeyond(payload, _beyond(payload, offset, 8), 8);
        harness.int64At(payload, _beyond(payload, offset, 8));
    }

    function testFuzz_int32At_revertsWhenBeyondPayload(bytes calldata payload, uint256 offset)
        external
    {
        _expectBeyond(payload, _beyond(payload, offset, 4), 4);
        harness.int32At(payload, _beyond(payload, offset, 4));
    }

    function testFuzz_boolAt_revertsWhenBeyondPayload(bytes calldata payload, uint256 offset)
        external
    {
        _expectBeyond(payload, _beyond(payload, offset, 1), 1);
        harness.boolAt(payload, _beyond(payload, offset, 1));
    }

    function test_float32At_revertsWhenTheOffsetWouldWrapAround() external {
        bytes memory payload = new bytes(8);
        _expectBeyond(payload, type(uint256).max - 3, 4);
        harness.float32At(payload, type(uint256).max - 3);
    }

    function _beyond(bytes calldata payload, uint256 offset, uint256 size)
        private
        pure
        returns (uint256)
    {
        uint256 first = payload.length < size ? 0 : payload.length - size + 1;
        return _bound(offset, first, type(uint256).max);
    }

    function _expectBeyond(bytes memory payload, uint256 offset, uint256 size) private {
        vm.expectRevert(
            abi.encodeWithSelector(Payload.BeyondPayload.selector, offset, size, payload.length)
        );
    }
}
