// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Disputes} from "../../contracts/Disputes.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {Test} from "./Test.sol";

contract DisputesConstructorTest is Test {
    function test_constructor_revertsWhenTheTipIsZero() external {
        vm.expectRevert(IDisputes.ZeroRevealTip.selector);
        new Disputes(address(1), address(2), 1, 1, 2, 0);
    }

    function test_constructor_takesTheSmallestTip() external {
        vm.assertEq(new Disputes(address(1), address(2), 1, 1, 2, 1).REVEAL_TIP(), 1);
    }
}
