// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelTerms, ModelTermsLibrary} from "../../../contracts/libraries/ModelTerms.sol";
import {Test} from "../Test.sol";

contract ModelTermsTest is Test {
    function testFuzz_pack_unpacks(
        address publisher,
        uint40 gweis,
        uint24 inputLength,
        uint24 outputLength,
        bool isExact,
        bool hasFloat32Output
    ) external pure {
        uint256 royalty = uint256(gweis) * 1 gwei;
        ModelTerms terms = ModelTermsLibrary.pack(
            publisher, royalty, inputLength, outputLength, isExact, hasFloat32Output
        );
        vm.assertEq(terms.publisher(), publisher);
        vm.assertEq(terms.royalty(), royalty);
        vm.assertEq(terms.inputLength(), inputLength);
        vm.assertEq(terms.outputLength(), outputLength);
        vm.assertEq(terms.isExact(), isExact);
        vm.assertEq(terms.hasFloat32Output(), hasFloat32Output);
    }

    function testFuzz_exists_whenThereIsAPublisher(address publisher) external pure {
        vm.assume(publisher != address(0));
        vm.assertTrue(ModelTermsLibrary.pack(publisher, 0, 0, 0, false, false).exists());
    }

    function test_exists_notForZero() external pure {
        vm.assertFalse(ModelTerms.wrap(0).exists());
    }

    function test_MAX_ROYALTY_is1099Ether() external pure {
        vm.assertEq(ModelTermsLibrary.MAX_ROYALTY, 1099.511627775 ether);
    }
}
