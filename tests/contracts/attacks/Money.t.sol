// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "../RootOf.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {IOperatorStaking} from "../../../contracts/interfaces/IOperatorStaking.sol";
import {ModelTermsLibrary} from "../../../contracts/libraries/ModelTerms.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {HonestOperator, RefusingOperator} from "../actors/HonestOperator.sol";
import {RefusingPublisher} from "../actors/Publisher.sol";
import {Fixture} from "../Fixture.sol";

/// @dev Slashes, epochs, stakes, and accounts that refuse or force ether.
contract MoneyAttackTest is Fixture {
    function testFuzz_attack_selfSlash_losesAtLeastFortyPercent(uint96 bond) external {
        bond = uint96(_bound(bond, MIN_BOND, 1000 ether));
        vm.deal(address(this), uint256(bond) + FEE);
        operator.stake{value: bond}();
        Options memory options = _options();
        options.bond = bond;
        options.refundTo = challenger;
        Request memory request = _ask(consumer, FEE, options);
        _slash(request, _propose(request));
        _expire(request);
        uint256 before = uint256(bond) + STAKE + FEE;
        uint256 left = queue.accountOf(address(operator)).staked + queue.creditOf(challenger);
        vm.assertGe((before - left) * 100, uint256(bond) * 40);
    }

    function test_attack_slashedOperatorsOtherProposals_areVoid() external {
        Request memory other = _ask();
        Proposal memory pending = _propose(other);
        _slashOne();
        vm.warp(pending.window.settleAt());
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.ProposalVoid.selector, _idOf(other), address(operator), 0
            )
        );
        queue.settle(other, pending, OUTPUT);
    }

    /// @dev Its bond was freed by the slash; settling must not free another's in its place.
    function test_attack_settlingWhatWasFinalBeforeTheSlash_freesNoBondTwice() external {
        Request memory old = _ask();
        Proposal memory final_ = _propose(old);
        vm.warp(final_.window.settleAt());
        _slashOne();
        _propose(_ask());
        queue.settle(old, final_, OUTPUT);
        _assertAccount(address(operator), STAKE - BOND + FEE - ROYALTY, BOND, 1);
    }

    function test_attack_settlingWhatWasFinalBeforeTheSlash_paysOnce() external {
        Request memory old = _ask();
        Proposal memory final_ = _propose(old);
        vm.warp(final_.window.settleAt());
        _slashOne();
        queue.settle(old, final_, OUTPUT);
        _expectWrongStatus(old, Status.Settled, Status.Proposed);
        queue.settle(old, final_, OUTPUT);
    }

    /// @dev A slash, a new stake and a new answer do not bring the voided answer back.
    function test_attack_restakingAfterASlash_revivesNothing() external {
        Request memory old = _ask();
        Proposal memory voided = _propose(old);
        _slashOne();
        operator.stake{value: STAKE}();
        _propose(_ask());
        vm.warp(voided.window.settleAt());
        queue.reopen(old, voided, rootOf(OUTPUT));
        _assertStatus(old, Status.Requested);
    }

    function test_attack_secondSlash_revivesNothing() external {
        Request memory old = _ask();
        Proposal memory voided = _propose(old);
        _slashOne();
        vm.warp(voided.window.settleAt());
        _slashOne();
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.ProposalVoid.selector, _idOf(old), address(operator), 0
            )
        );
        queue.settle(old, voided, OUTPUT);
    }

    function test_attack_samesAnswerProposedAgainAfterASlash_isAnotherProposal() external {
        Request memory request = _ask();
        Proposal memory old = _propose(request);
        _slash(request, old);
        _propose(request);
        vm.warp(old.window.settleAt());
        _expectWrongProposal(request);
        queue.settle(request, old, OUTPUT);
    }

    function testFuzz_attack_slashAtAnyTime_voidsExactlyWhatWasNotFinal(uint256 elapsed) external {
        Request memory request = _ask();
        Proposal memory proposal = _propose(request);
        _skip(_bound(elapsed, 0, 2 * WINDOW));
        bool isFinal = _time() >= proposal.window.settleAt();
        _slashOne();
        _skip(2 * WINDOW);
        try queue.settle(request, proposal, OUTPUT) {
            vm.assertTrue(isFinal);
        } catch {
            vm.assertFalse(isFinal);
        }
    }

    function test_attack_unstakingBeforeTheSlash_cannotTouchTheBond() external {
        Request memory request = _ask();
        Proposal memory proposal = _propose(request);
        operator.unstake(STAKE - BOND);
        _slash(request, proposal);
        _assertAccount(address(operator), 0, 0, 1);
        vm.assertEq(BURN_ADDRESS.balance, BOND * 40 / 100);
    }

    function test_attack_operatorThatRefusesEther_blocksOnlyItself() external {
        HonestOperator refusing = new RefusingOperator(queue);
        refusing.stake{value: STAKE}();
        Request memory request = _ask();
        _settle(request, _propose(refusing, request));
        refusing.unstake(STAKE);
        _skip(WITHDRAWAL_DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.WithdrawalFailed.selector, address(refusing), STAKE
            )
        );
        queue.withdraw(address(refusing));
        operator.unstake(STAKE);
        _skip(WITHDRAWAL_DELAY);
        vm.assertEq(queue.withdraw(address(operator)), STAKE);
    }

    function test_attack_operatorThatRefusesEther_canBeSlashed() external {
        HonestOperator refusing = new RefusingOperator(queue);
        refusing.stake{value: STAKE}();
        Request memory request = _ask();
        _slash(request, _propose(refusing, request));
        _assertAccount(address(refusing), STAKE - BOND, 0, 1);
    }

    function test_attack_publisherThatRefusesEther_blocksOnlyItself() external {
        RefusingPublisher refusing = new RefusingPublisher(registry);
        ModelId id = refusing.publish(_model(), "");
        Request memory request = _ask(consumer, id, FEE, _options());
        _settle(request, _propose(request));
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.WithdrawalFailed.selector, address(refusing), ROYALTY
            )
        );
        queue.withdraw(address(refusing));
    }

    function test_attack_forcedEther_isNobodys() external {
        Request memory request = _ask();
        _forceEther(5 ether);
        _settle(request, _propose(request));
        operator.unstake(STAKE + FEE - ROYALTY);
        rival.unstake(STAKE);
        _skip(WITHDRAWAL_DELAY);
        queue.withdraw(address(operator));
        queue.withdraw(address(rival));
        queue.withdraw(address(publisher));
        vm.assertEq(address(queue).balance, 5 ether);
    }

    function test_attack_plainEther_isRefused() external {
        (bool isSuccess,) = address(queue).call{value: 1}("");
        vm.assertFalse(isSuccess);
    }

    function test_attack_feeThatIsAllRoyalty_leavesTheOperatorItsBond() external {
        Request memory request = _ask(consumer, ROYALTY, _options());
        _settle(request, _propose(request));
        _assertAccount(address(operator), STAKE, 0, 0);
        vm.assertEq(queue.creditOf(address(publisher)), ROYALTY);
    }

    function test_attack_hugeRoyalty_isPaidInFull() external {
        IModelRegistry.Model memory dear = _model();
        dear.royalty = ModelTermsLibrary.MAX_ROYALTY;
        ModelId id = publisher.publish(dear, "");
        Request memory request = _ask(consumer, id, dear.royalty + 1, _options());
        _settle(request, _propose(request));
        vm.assertEq(queue.creditOf(address(publisher)), dear.royalty);
        _assertAccount(address(operator), STAKE + 1, 0, 0);
    }

    function test_attack_largestFeeIntoAFullStake_overflowsNothing() external {
        vm.deal(address(this), 2 * uint256(type(uint96).max));
        operator.stake{value: type(uint96).max - STAKE}();
        Request memory request = _ask(consumer, type(uint96).max, _options());
        _settle(request, _propose(request));
        vm.assertEq(queue.creditOf(address(operator)), type(uint96).max - ROYALTY);
        _assertAccount(address(operator), type(uint96).max, 0, 0);
    }

    /// @dev PUSH20 queue SELFDESTRUCT: ether that no `receive` is asked about.
    function _forceEther(uint256 amount) private {
        bytes memory code = abi.encodePacked(hex"73", address(queue), hex"ff");
        assembly ("memory-safe") {
            pop(create(amount, add(code, 32), mload(code)))
        }
    }

    function _slashOne() private {
        Request memory request = _ask();
        _slash(request, _propose(request));
    }
}
