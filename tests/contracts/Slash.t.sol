// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../contracts/interfaces/IOperatorStaking.sol";
import {OriginLibrary, Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {SettleFixture} from "./Settle.t.sol";

contract SlashTest is SettleFixture {
    function test_slash_takesTheBond() external {
        _slash(_request, _proposal);
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    function test_slash_opensTheRequestAgain() external {
        _slash(_request, _proposal);
        _assertStatus(_request, Status.Requested);
    }

    function test_slash_expiresTheRequestWhenItsDeadlinePassed() external {
        _late();
        _slash(_request, _proposal);
        _assertStatus(_request, Status.Expired);
        vm.assertEq(queue.creditOf(address(consumer)), FEE + BOND * 30 / 100);
    }

    function test_slash_emitsRequestExpiredWhenItsDeadlinePassed() external {
        _late();
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestExpired(_id, address(consumer), FEE);
        _slash(_request, _proposal);
    }

    function test_slash_creditsTheChallenger() external {
        _slash(_request, _proposal);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
    }

    function test_slash_creditsTheRequester() external {
        _slash(_request, _proposal);
        vm.assertEq(queue.creditOf(address(consumer)), BOND * 30 / 100);
    }

    function test_slash_creditsRefundToWhenNamed() external {
        Options memory options = _options();
        options.refundTo = stranger;
        _take(_ask(consumer, FEE, options));
        _slash(_request, _proposal);
        vm.assertEq(queue.creditOf(stranger), BOND * 30 / 100);
    }

    function test_slash_burnsTheRest() external {
        _slash(_request, _proposal);
        vm.assertEq(BURN_ADDRESS.balance, BOND * 40 / 100);
    }

    function testFuzz_slash_splitsEveryWei(uint96 bond) external {
        bond = uint96(_bound(bond, MIN_BOND, type(uint96).max / 2));
        vm.deal(address(this), bond);
        operator.stake{value: bond}();
        Options memory options = _options();
        options.bond = bond;
        vm.deal(address(this), FEE);
        _take(_ask(consumer, FEE, options));
        _slash(_request, _proposal);
        uint256 paid = queue.creditOf(challenger) + queue.creditOf(address(consumer));
        vm.assertEq(paid + BURN_ADDRESS.balance, bond);
        vm.assertGe(BURN_ADDRESS.balance * 100, uint256(bond) * 40);
    }

    function test_slash_freesNoOtherBond() external {
        _propose(_ask());
        _slash(_request, _proposal);
        _assertAccount(address(operator), STAKE - BOND, BOND, 1);
    }

    function test_slash_emitsRequestReopened() external {
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestReopened(_id, address(operator));
        _slash(_request, _proposal);
    }

    function test_slash_emitsOperatorSlashed() external {
        vm.expectEmit(address(queue));
        emit IOperatorStaking.OperatorSlashed(
            address(operator), challenger, BOND, BOND * 30 / 100, BOND * 40 / 100, 1
        );
        _slash(_request, _proposal);
    }

    function test_slash_takesTheLastSecondOfTheWindow() external {
        vm.warp(_proposal.window.settleAt() - 1);
        _slash(_request, _proposal);
        _assertStatus(_request, Status.Requested);
    }

    function testFuzz_slash_revertsWhenNotDisputes(address caller) external {
        vm.assume(caller != disputes);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.NotDisputes.selector, caller, disputes)
        );
        vm.prank(caller);
        queue.slash(_request, _proposal, rootOf(OUTPUT), challenger);
    }

    function test_slash_revertsWhenWindowOver() external {
        vm.warp(_proposal.window.settleAt());
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WindowOver.selector, _id, _proposal.window.settleAt()
            )
        );
        _slash(_request, _proposal);
    }

    function test_slash_takesTheBondOfAVoidProposal() external {
        _slashAnother();
        _slash(_request, _proposal);
        _assertAccount(address(operator), STAKE - 2 * BOND, 0, 1);
    }

    function test_slash_voidsNothingMoreWhenItsProposalWasVoid() external {
        _slashAnother();
        Request memory later = _ask();
        Proposal memory standing = _propose(later);
        _slash(_request, _proposal);
        _settle(later, standing);
    }

    function test_slash_revertsWhenRepeated() external {
        _slash(_request, _proposal);
        _expectWrongStatus(_request, Status.Requested, Status.Proposed);
        _slash(_request, _proposal);
    }

    function test_slash_revertsWhenSettled() external {
        _settle(_request, _proposal);
        _expectWrongStatus(_request, Status.Settled, Status.Proposed);
        _slash(_request, _proposal);
    }

    function test_slash_revertsWhenProposalIsAnother() external {
        _proposal.origin =
            OriginLibrary.pack(address(rival), _proposal.origin.epoch(), OUTPUT.length);
        _expectWrongProposal(_request);
        _slash(_request, _proposal);
    }

    function test_slash_revertsWhenOutputIsAnother() external {
        _expectWrongProposal(_request);
        vm.prank(disputes);
        queue.slash(_request, _proposal, rootOf(OTHER_OUTPUT), challenger);
    }

    /// @dev Proposed in time, slashed after the deadline.
    function _late() private {
        Request memory request = _ask();
        vm.warp(_deadlineOf(request) - 1);
        _take(request);
        _skip(1);
    }
}

contract ReopenTest is SettleFixture {
    function test_reopen_movesToRequested() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _reopen();
        _assertStatus(_request, Status.Requested);
    }

    function test_reopen_freesTheBond() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _reopen();
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    function test_reopen_revertsWhenWindowNotOver() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt() - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WindowNotOver.selector, _id, _proposal.window.settleAt()
            )
        );
        _reopen();
    }

    function test_reopen_letsAnotherAnswer() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _reopen();
        Proposal memory proposal = _propose(rival, _request);
        _settle(_request, proposal);
        _assertAccount(address(rival), STAKE + FEE - ROYALTY, 0, 0);
    }

    function test_reopen_expiresWhenTheDeadlinePassed() external {
        _slashAnother();
        _skip(TIMEOUT);
        _reopen();
        _assertStatus(_request, Status.Expired);
        vm.assertEq(queue.creditOf(address(consumer)), FEE + BOND * 30 / 100);
    }

    function test_reopen_emitsRequestReopened() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestReopened(_id, address(operator));
        _reopen();
    }

    function test_reopen_emitsRequestExpiredWhenTheDeadlinePassed() external {
        _slashAnother();
        _skip(TIMEOUT);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestExpired(_id, address(consumer), FEE);
        _reopen();
    }

    function test_reopen_revertsWhenTheProposalStands() external {
        _expectNotVoid();
        _reopen();
    }

    function test_reopen_revertsWhenTheProposalWasFinalBeforeTheSlash() external {
        vm.warp(_proposal.window.settleAt());
        _slashAnother();
        _expectNotVoid();
        _reopen();
    }

    function test_reopen_revertsWhenReopened() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _reopen();
        _expectWrongStatus(_request, Status.Requested, Status.Proposed);
        _reopen();
    }

    function test_reopen_revertsWhenProposalIsAnother() external {
        _slashAnother();
        _proposal.origin =
            OriginLibrary.pack(address(rival), _proposal.origin.epoch(), OUTPUT.length);
        _expectWrongProposal(_request);
        _reopen();
    }

    function test_reopen_revertsWhenOutputIsAnother() external {
        _slashAnother();
        _expectWrongProposal(_request);
        queue.reopen(_request, _proposal, rootOf(OTHER_OUTPUT));
    }

    function _reopen() private {
        queue.reopen(_request, _proposal, rootOf(OUTPUT));
    }

    function _expectNotVoid() private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.ProposalNotVoid.selector, _id, address(operator), 0
            )
        );
    }
}
