// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {OriginLibrary, Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {SettleFixture} from "./Settle.t.sol";

contract MoveWindowTest is SettleFixture {
    function testFuzz_moveWindow_makesItFinalThen(uint256 elapsed, uint256 settleAt) external {
        _skip(_bound(elapsed, 0, WINDOW - 1));
        settleAt = _bound(settleAt, _time() + 1, START + 365 days);
        _move(settleAt);
        vm.warp(settleAt - 1);
        vm.assertEq(queue.requireProposed(_request, _proposal, OUTPUT), 1);
        vm.warp(settleAt);
        queue.requireFinal(_request, _proposal, OUTPUT);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_moveWindow_returnsWhatItEmits() external {
        Proposal memory expected = _proposal;
        expected.window = expected.window.movedTo(uint64(_time() + 5));
        vm.expectEmit(address(queue));
        emit IInferenceQueue.WindowMoved(_id, address(operator), expected);
        vm.prank(disputes);
        Proposal memory moved =
            queue.moveWindow(_request, _proposal, rootOf(OUTPUT), expected.window.settleAt());
        vm.assertEq(abi.encode(moved), abi.encode(expected));
    }

    function test_moveWindow_leavesTheOldProposalWithoutMeaning() external {
        Proposal memory old = _proposal;
        _move(_time() + 2 * WINDOW);
        vm.warp(old.window.settleAt());
        _expectWrongProposal(_request);
        queue.settle(_request, old, OUTPUT);
        queue.settleBatch(_settlements(_request, old));
        _assertStatus(_request, Status.Proposed);
    }

    function test_moveWindow_keepsTheBondLocked() external {
        _move(_time() + 2 * WINDOW);
        _assertAccount(address(operator), STAKE, BOND, 0);
    }

    function testFuzz_moveWindow_revertsWhenNotDisputes(address caller) external {
        vm.assume(caller != disputes);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.NotDisputes.selector, caller, disputes)
        );
        vm.prank(caller);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), _time() + 1);
    }

    function test_moveWindow_revertsWhenFinal() external {
        vm.warp(_proposal.window.settleAt());
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WindowOver.selector, _id, _proposal.window.settleAt()
            )
        );
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), _time() + 1);
    }

    function test_moveWindow_revertsWhenNotLater() external {
        _expectNotLater(_time());
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), _time());
    }

    function test_moveWindow_revertsWhenTheEndDoesNotFit() external {
        _expectNotLater(0);
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), 1 << 64);
    }

    function test_moveWindow_revertsWhenSettled() external {
        _settle(_request, _proposal);
        _expectWrongStatus(_request, Status.Settled, Status.Proposed);
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), _time() + 1);
    }

    function test_moveWindow_revertsWhenProposalIsAnother() external {
        _proposal.origin = OriginLibrary.pack(_proposal.origin.operator(), 1, OUTPUT.length);
        _expectWrongProposal(_request);
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OUTPUT), _time() + 1);
    }

    function test_moveWindow_revertsWhenOutputIsAnother() external {
        _expectWrongProposal(_request);
        vm.prank(disputes);
        queue.moveWindow(_request, _proposal, rootOf(OTHER_OUTPUT), _time() + 1);
    }

    /* WHAT A SLASH VOIDS WHILE WINDOWS MOVE */

    function test_moveWindow_finalBeforeTheSlashStaysFinal() external {
        _move(_time() + 100);
        vm.warp(_proposal.window.settleAt());
        _slashAnother();
        queue.settle(_request, _proposal, OUTPUT);
        _assertStatus(_request, Status.Settled);
    }

    /// @dev It would have been final before the slash, had it not been suspended.
    function test_moveWindow_suspendedIsVoidWhenItsOperatorIsSlashedForAnother() external {
        uint256 end = _proposal.window.settleAt();
        _move(uint64(type(int64).max));
        vm.warp(end + 10);
        _slashAnother();
        _move(_time() + 1);
        _skip(1);
        _expectVoid();
        queue.settle(_request, _proposal, OUTPUT);
        queue.reopen(_request, _proposal, rootOf(OUTPUT));
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    function test_moveWindow_voidStaysVoidAtWhateverEnd() external {
        _slashAnother();
        _move(_time() + 1);
        _skip(1);
        _expectVoid();
        queue.requireFinal(_request, _proposal, OUTPUT);
    }

    function test_moveWindow_voidIsNotReopenedWhileSuspended() external {
        uint256 end = _proposal.window.settleAt();
        _slashAnother();
        _move(uint64(type(int64).max));
        vm.warp(end);
        _expectWindowNotOver();
        queue.reopen(_request, _proposal, rootOf(OUTPUT));
        _assertAccount(address(operator), STAKE - BOND, BOND, 1);
    }

    function test_moveWindow_voidAndSuspendedCanBeSlashed() external {
        uint256 end = _proposal.window.settleAt();
        _slashAnother();
        _move(uint64(type(int64).max));
        vm.warp(end + 365 days);
        _slash(_request, _proposal);
        _assertAccount(address(operator), STAKE - 2 * BOND, 0, 1);
    }

    function testFuzz_moveWindow_slashAtAnyTimeVoidsExactlyWhatWasNotFinal(
        uint256 moveAt,
        uint256 settleAt,
        uint256 slashAt
    ) external {
        vm.warp(_bound(moveAt, START, START + WINDOW - 1));
        _move(_bound(settleAt, _time() + 1, START + 3 * WINDOW));
        vm.warp(_bound(slashAt, _time(), START + 4 * WINDOW));
        bool isFinal = _time() >= _proposal.window.settleAt();
        _slashAnother();
        if (!isFinal && _time() < _proposal.window.settleAt()) _move(_time() + 1);
        _skip(4 * WINDOW);
        if (!isFinal) _expectVoid();
        queue.settle(_request, _proposal, OUTPUT);
    }

    function _move(uint256 settleAt) private {
        vm.prank(disputes);
        _proposal = queue.moveWindow(_request, _proposal, rootOf(OUTPUT), settleAt);
    }

    function _expectNotLater(uint256 settleAt) private {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.WindowNotLater.selector, _id, settleAt)
        );
    }
}
