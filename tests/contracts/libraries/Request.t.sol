// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Request, RequestLibrary} from "../../../contracts/libraries/Request.sol";
import {RequestId} from "../../../contracts/libraries/RequestState.sol";
import {Cheats} from "../Cheats.sol";
import {Test} from "../Test.sol";

contract RequestHarness {
    uint256 private immutable SCOPE = RequestLibrary.scopeOf(address(this));

    function id(Request calldata request) external view returns (RequestId) {
        return request.id(SCOPE);
    }

    function idInMemory(Request memory request) external view returns (RequestId) {
        return request.idInMemory(SCOPE);
    }

    /// @dev What memory holds afterwards: the assembly must not have moved the free pointer or the zero slot.
    function idKeepsMemory(Request calldata request) external view returns (uint256, uint256) {
        bytes memory mark = "mark";
        request.id(SCOPE);
        uint256 free;
        uint256 zero;
        assembly ("memory-safe") {
            free := mload(0x40)
            zero := mload(0x60)
        }
        require(keccak256(mark) == keccak256("mark"));
        return (free, zero);
    }

    function accounts(Request calldata request)
        external
        pure
        returns (address, uint96, address, uint96, address)
    {
        return (
            request.consumer(),
            request.fee(),
            request.operator(),
            request.bond(),
            request.refundTo()
        );
    }

    function lengths(Request calldata request) external pure returns (uint256, uint256) {
        return (request.inputLength(), request.maxOutputLength());
    }

    function times(Request calldata request) external pure returns (uint64, uint32, uint32) {
        return (request.deadline(), request.window(), request.callbackGas());
    }
}

contract RequestIdTest is Test {
    RequestHarness internal harness = new RequestHarness();

    function testFuzz_id_isTheHashOfChainQueueAndFields(Request memory request) external view {
        vm.assertEq(RequestId.unwrap(harness.id(request)), _reference(request));
    }

    function testFuzz_idInMemory_agrees(Request memory request) external view {
        vm.assertEq(RequestId.unwrap(harness.idInMemory(request)), _reference(request));
    }

    function testFuzz_id_bindsTheChain(Request memory request, uint64 chain) external {
        vm.assume(chain != 0 && chain != block.chainid);
        Cheats(address(vm)).chainId(chain);
        vm.assertNotEq(RequestId.unwrap(new RequestHarness().id(request)), _reference(request));
    }

    /// @dev What is in escrow on a chain that takes another id stays reachable.
    function testFuzz_id_isKeptWhereTheChainsIdChanges(Request memory request, uint64 chain)
        external
    {
        vm.assume(chain != 0);
        bytes32 before = RequestId.unwrap(harness.id(request));
        Cheats(address(vm)).chainId(chain);
        vm.assertEq(RequestId.unwrap(harness.id(request)), before);
    }

    function testFuzz_id_bindsTheQueue(Request memory request) external {
        bytes32 here = RequestId.unwrap(harness.id(request));
        vm.assertNotEq(RequestId.unwrap(new RequestHarness().id(request)), here);
    }

    function testFuzz_id_bindsEveryBit(Request memory request, uint256 bit) external view {
        bytes32 before = RequestId.unwrap(harness.id(request));
        bit = _bound(bit, 0, 7 * 256 - 1);
        assembly ("memory-safe") {
            let word := add(request, mul(32, div(bit, 256)))
            mstore(word, xor(mload(word), shl(mod(bit, 256), 1)))
        }
        vm.assertNotEq(RequestId.unwrap(harness.id(request)), before);
    }

    function testFuzz_id_leavesMemoryAsItWas(Request memory request) external view {
        (uint256 free, uint256 zero) = harness.idKeepsMemory(request);
        vm.assertEq(free, 0x80 + 64);
        vm.assertEq(zero, 0);
    }

    function _reference(Request memory request) private view returns (bytes32) {
        bytes32 queue = bytes32((block.chainid << 160) | uint256(uint160(address(harness))));
        return keccak256(abi.encode(queue, keccak256(abi.encode(request))));
    }
}

contract RequestPackTest is Test {
    RequestHarness internal harness = new RequestHarness();

    function testFuzz_pack_unpacks(
        Request memory request,
        address[2] memory accounts,
        uint96[2] memory amounts
    ) external view {
        request.consumerAndFee = RequestLibrary.pack(accounts[0], amounts[0]);
        request.operatorAndBond = RequestLibrary.pack(accounts[1], amounts[1]);
        (address consumer, uint96 fee, address operator, uint96 bond,) = harness.accounts(request);
        vm.assertEq(consumer, accounts[0]);
        vm.assertEq(fee, amounts[0]);
        vm.assertEq(operator, accounts[1]);
        vm.assertEq(bond, amounts[1]);
    }

    function testFuzz_packLengths_unpacks(
        Request memory request,
        address refundTo,
        uint32 input,
        uint32 output
    ) external view {
        request.refundToAndLengths = RequestLibrary.packLengths(refundTo, input, output);
        (,,,, address account) = harness.accounts(request);
        (uint256 inputLength, uint256 maxOutputLength) = harness.lengths(request);
        vm.assertEq(account, refundTo);
        vm.assertEq(inputLength, input);
        vm.assertEq(maxOutputLength, output);
        vm.assertEq(uint32(request.refundToAndLengths >> 64), 0);
    }

    function testFuzz_packTiming_unpacks(
        Request memory request,
        uint64 deadline,
        uint32 window,
        uint32 callbackGas,
        uint64[2] memory rest
    ) external view {
        request.timing = RequestLibrary.packTiming(deadline, window, callbackGas, rest[0], rest[1]);
        (uint64 deadline_, uint32 window_, uint32 callbackGas_) = harness.times(request);
        vm.assertEq(deadline_, deadline);
        vm.assertEq(window_, window);
        vm.assertEq(callbackGas_, callbackGas);
        vm.assertEq(uint64(request.timing >> 64), rest[0]);
        vm.assertEq(uint64(request.timing), rest[1]);
    }
}
