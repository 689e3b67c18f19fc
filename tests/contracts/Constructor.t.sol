// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Fixture} from "./Fixture.sol";

contract DisputesConstructorTest is DisputeFixture {
    uint256 private constant MAX_PERIOD = 365 days;

    function test_constructor_keepsWhatItIsGiven() external view {
        vm.assertEq(court.QUEUE(), address(queue));
        vm.assertTrue(court.REFEREE().code.length != 0);
        vm.assertEq(court.REVEAL_PERIOD(), REVEAL_PERIOD);
        vm.assertEq(court.REACTION_PERIOD(), REACTION_PERIOD);
        vm.assertEq(court.EXTENSION_LIMIT(), EXTENSION_LIMIT);
        vm.assertEq(court.REVEAL_TIP(), REVEAL_TIP);
    }

    function test_constructor_takesTheShortestAndTheLongestPeriods() external {
        _deploy(1, 1, 2);
        _deploy(MAX_PERIOD - 1, 1, MAX_PERIOD);
        _deploy(1, MAX_PERIOD - 1, MAX_PERIOD);
    }

    function test_constructor_revertsWithoutTimeToAnswer() external {
        _refuse(0, 1, 2);
    }

    function test_constructor_revertsWithoutTimeToReact() external {
        _refuse(1, 0, 2);
    }

    /// @dev No demand would be taken in the last second of a window, and a lie in it be final.
    function test_constructor_revertsWhenADemandHasNoTimeBeforeTheHardEnd() external {
        _refuse(1, 1, 1);
        _refuse(REVEAL_PERIOD, REACTION_PERIOD, REVEAL_PERIOD + REACTION_PERIOD - 1);
    }

    function test_constructor_revertsWhenAPeriodIsLongerThanAYear() external {
        _refuse(1, 1, MAX_PERIOD + 1);
        _refuse(MAX_PERIOD + 1, 1, MAX_PERIOD);
        _refuse(1, MAX_PERIOD + 1, MAX_PERIOD);
    }

    /// @dev The sum of the first two would be zero.
    function test_constructor_revertsWhenTheirSumOverflows() external {
        _refuse(1 << 255, 1 << 255, MAX_PERIOD);
    }

    /// @dev Where the base fee is nothing, a demand would be free.
    function test_constructor_revertsWhenTheTipIsZero() external {
        try this.deployWith(0) {
            vm.assertTrue(false, "deployed");
        } catch (bytes memory error) {
            vm.assertEq(error, abi.encodePacked(IDisputes.ZeroRevealTip.selector));
        }
    }

    function test_constructor_takesTheSmallestTip() external {
        vm.assertEq(this.deployWith(1).REVEAL_TIP(), 1);
    }

    function _deploy(uint256 reveal, uint256 reaction, uint256 extension)
        private
        returns (IDisputes)
    {
        return _deploy(reveal, reaction, extension, REVEAL_TIP);
    }

    function _deploy(uint256 reveal, uint256 reaction, uint256 extension, uint256 tip)
        private
        returns (IDisputes)
    {
        bytes memory arguments =
            abi.encode(queue, court.REFEREE(), reveal, reaction, extension, tip);
        return IDisputes(cheats.deployCode("Disputes.sol:Disputes", arguments));
    }

    function _refuse(uint256 reveal, uint256 reaction, uint256 extension) private {
        try this.deploy(reveal, reaction, extension) {
            vm.assertTrue(false, "deployed");
        } catch (bytes memory error) {
            vm.assertEq(
                error,
                abi.encodeWithSelector(IDisputes.WrongPeriods.selector, reveal, reaction, extension)
            );
        }
    }

    function deploy(uint256 reveal, uint256 reaction, uint256 extension) external {
        _deploy(reveal, reaction, extension);
    }

    function deployWith(uint256 tip) external returns (IDisputes) {
        return _deploy(1, 1, 2, tip);
    }
}

contract QueueConstructorTest is Fixture {
    function test_constructor_takesOneWindowOnly() external {
        this.deploy(1, 1);
    }

    /// @dev A lie would be final at once.
    function test_constructor_revertsWhenAWindowMayBeZero() external {
        _refuse(0, MAX_WINDOW);
        _refuse(0, 0);
    }

    function test_constructor_revertsWhenNoWindowIsPossible() external {
        _refuse(2, 1);
    }

    function deploy(uint256 minWindow, uint256 maxWindow) external {
        bytes memory arguments =
            abi.encode(registry, disputes, MIN_BOND, minWindow, maxWindow, WITHDRAWAL_DELAY);
        cheats.deployCode("InferenceQueue.sol:InferenceQueue", arguments);
    }

    function _refuse(uint256 minWindow, uint256 maxWindow) private {
        try this.deploy(minWindow, maxWindow) {
            vm.assertTrue(false, "deployed");
        } catch (bytes memory error) {
            vm.assertEq(
                error,
                abi.encodeWithSelector(
                    IInferenceQueue.WindowOutOfRange.selector, minWindow, 1, maxWindow
                )
            );
        }
    }
}
