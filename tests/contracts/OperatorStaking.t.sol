// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../contracts/interfaces/IOperatorStaking.sol";
import {Proposal, WindowLibrary} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {HonestOperator, RefusingOperator} from "./actors/HonestOperator.sol";
import {Fixture} from "./Fixture.sol";

contract StakeTest is Fixture {
    function test_stake_addsUp() external {
        operator.stake{value: 3}();
        _assertAccount(address(operator), STAKE + 3, 0, 0);
    }

    function test_stake_emitsStakeAdded() external {
        vm.expectEmit(address(queue));
        emit IOperatorStaking.StakeAdded(address(operator), 3, STAKE + 3);
        operator.stake{value: 3}();
    }

    function test_stake_takesTheLargestStake() external {
        vm.deal(address(this), type(uint96).max);
        operator.stake{value: type(uint96).max - STAKE}();
        _assertAccount(address(operator), type(uint96).max, 0, 0);
    }

    function test_stake_revertsWhenZeroAmount() external {
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.ZeroAmount.selector));
        operator.stake();
    }

    function test_stake_revertsWhenStakeTooLarge() external {
        vm.deal(address(this), type(uint96).max);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.StakeTooLarge.selector,
                uint256(type(uint96).max) + 1,
                type(uint96).max
            )
        );
        operator.stake{value: type(uint96).max - STAKE + 1}();
    }
}

contract UnstakeTest is Fixture {
    function test_unstake_takesFromTheStakeAtOnce() external {
        operator.unstake(0.4 ether);
        _assertAccount(address(operator), 0.6 ether, 0, 0);
        vm.assertEq(queue.freeStakeOf(address(operator)), 0.6 ether);
    }

    function test_unstake_startsTheDelay() external {
        operator.unstake(0.4 ether);
        _assertUnstaking(0.4 ether, START + WITHDRAWAL_DELAY);
    }

    function test_unstake_startsTheDelayAnewForBoth() external {
        operator.unstake(0.4 ether);
        _skip(1 days);
        operator.unstake(0.1 ether);
        _assertUnstaking(0.5 ether, START + 1 days + WITHDRAWAL_DELAY);
    }

    function test_unstake_takesAllThatIsFree() external {
        _propose(_ask());
        operator.unstake(STAKE - BOND);
        _assertAccount(address(operator), BOND, BOND, 0);
    }

    function test_unstake_emitsUnstakeStarted() external {
        vm.expectEmit(address(queue));
        emit IOperatorStaking.UnstakeStarted(address(operator), 0.4 ether, START + WITHDRAWAL_DELAY);
        operator.unstake(0.4 ether);
    }

    function test_unstake_revertsWhenZeroAmount() external {
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.ZeroAmount.selector));
        operator.unstake(0);
    }

    function testFuzz_unstake_revertsWhenItTouchesABond(uint256 amount) external {
        _propose(_ask());
        amount = _bound(amount, STAKE - BOND + 1, type(uint256).max);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, address(operator), STAKE - BOND, amount
            )
        );
        operator.unstake(amount);
    }

    function test_unstake_revertsWhenNothingIsStaked() external {
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorStaking.InsufficientStake.selector, stranger, 0, 1)
        );
        vm.prank(stranger);
        queue.unstake(1);
    }

    function _assertUnstaking(uint256 amount, uint256 availableAt) private view {
        IOperatorStaking.Unstaking memory unstaking = queue.unstakingOf(address(operator));
        vm.assertEq(unstaking.amount, amount);
        vm.assertEq(unstaking.availableAt, availableAt);
    }
}

contract WithdrawTest is Fixture {
    function test_withdraw_paysACredit() external {
        _expire(_ask());
        vm.assertEq(queue.withdraw(address(consumer)), FEE);
        vm.assertEq(address(consumer).balance, FEE);
        vm.assertEq(queue.creditOf(address(consumer)), 0);
    }

    function test_withdraw_paysUnstakedWeiAfterTheDelay() external {
        operator.unstake(0.4 ether);
        _skip(WITHDRAWAL_DELAY);
        vm.assertEq(queue.withdraw(address(operator)), 0.4 ether);
        vm.assertEq(address(operator).balance, 0.4 ether);
        vm.assertEq(queue.unstakingOf(address(operator)).amount, 0);
    }

    function test_withdraw_paysBothAtOnce() external {
        _creditOperator();
        operator.unstake(0.4 ether);
        _skip(WITHDRAWAL_DELAY);
        vm.assertEq(queue.withdraw(address(operator)), FEE + 0.4 ether);
    }

    function test_withdraw_leavesUnstakedWeiBeforeTheDelay() external {
        _creditOperator();
        operator.unstake(0.4 ether);
        _skip(WITHDRAWAL_DELAY - 1);
        vm.assertEq(queue.withdraw(address(operator)), FEE);
        vm.assertEq(queue.unstakingOf(address(operator)).amount, 0.4 ether);
    }

    function test_withdraw_paysOnlyTheAccountWhenAnotherAsks() external {
        _expire(_ask());
        vm.prank(stranger);
        queue.withdraw(address(consumer));
        vm.assertEq(stranger.balance, 0);
        vm.assertEq(address(consumer).balance, FEE);
    }

    function test_withdraw_emitsWithdrawn() external {
        _expire(_ask());
        vm.expectEmit(address(queue));
        emit IOperatorStaking.Withdrawn(address(consumer), FEE);
        queue.withdraw(address(consumer));
    }

    function test_withdraw_revertsWhenNothingIsOwed() external {
        _expectNothing(stranger);
        queue.withdraw(stranger);
    }

    function test_withdraw_revertsWhenTheDelayIsNotOver() external {
        operator.unstake(0.4 ether);
        _skip(WITHDRAWAL_DELAY - 1);
        _expectNothing(address(operator));
        queue.withdraw(address(operator));
    }

    function test_withdraw_revertsWhenRepeated() external {
        _expire(_ask());
        queue.withdraw(address(consumer));
        _expectNothing(address(consumer));
        queue.withdraw(address(consumer));
    }

    function test_withdraw_revertsWhenTheAccountRefusesEther() external {
        HonestOperator refusing = _refusing();
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.WithdrawalFailed.selector, address(refusing), STAKE
            )
        );
        queue.withdraw(address(refusing));
    }

    function _refusing() private returns (HonestOperator refusing) {
        refusing = new RefusingOperator(queue);
        refusing.stake{value: STAKE}();
        refusing.unstake(STAKE);
        _skip(WITHDRAWAL_DELAY);
    }

    function _creditOperator() private {
        Request memory request = _ask(consumer, FEE, _refundingTo(address(operator)));
        _expire(request);
    }

    function _refundingTo(address who) private pure returns (Options memory options) {
        options = _options();
        options.refundTo = who;
    }

    function _expectNothing(address who) private {
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.NothingToWithdraw.selector, who));
    }
}

contract SlashedAtTest is Fixture {
    function test_slashedAt_isZeroWhileTheEpochLasts() external view {
        vm.assertEq(queue.slashedAt(address(operator), 0), 0);
    }

    function test_slashedAt_isTheTimeOfTheSlash() external {
        Request memory request = _ask();
        _propose(request);
        _skip(7);
        _slash(request, _earlier(request));
        vm.assertEq(queue.slashedAt(address(operator), 0), START + 7);
        vm.assertEq(queue.slashedAt(address(operator), 1), 0);
    }

    function _earlier(Request memory request) private view returns (Proposal memory proposal) {
        proposal = _proposalOf(address(operator), request);
        proposal.window =
            WindowLibrary.pack(proposal.window.proposedAt() - 7, proposal.window.settleAt() - 7);
    }
}

contract WithdrawalDelayTest is Fixture {
    function test_WITHDRAWAL_DELAY_isWhatItWasDeployedWith() external view {
        vm.assertEq(queue.WITHDRAWAL_DELAY(), WITHDRAWAL_DELAY);
    }
}
