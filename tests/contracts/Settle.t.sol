// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {OriginLibrary, Proposal, WindowLibrary} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {GasProbe, RevertingConsumer} from "./actors/Consumers.sol";
import {Fixture} from "./Fixture.sol";

abstract contract SettleFixture is Fixture {
    Request internal _request;
    Proposal internal _proposal;
    RequestId internal _id;

    function setUp() public virtual override {
        super.setUp();
        _take(_ask());
    }

    /// @dev Proposes, and makes it the one that the test is about.
    function _take(Request memory request) internal {
        _request = request;
        _proposal = _propose(request);
        _id = _idOf(request);
    }

    function _expectVoid() internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.ProposalVoid.selector,
                _id,
                _proposal.origin.operator(),
                _proposal.origin.epoch()
            )
        );
    }

    /// @dev A second proposal of the operator, made now and slashed at once.
    function _slashAnother() internal {
        Request memory other = _ask();
        _slash(other, _propose(other));
    }

    function _expectWindowNotOver() internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WindowNotOver.selector, _id, _proposal.window.settleAt()
            )
        );
    }
}

contract SettleTest is SettleFixture {
    function test_settle_movesToSettled() external {
        _settle(_request, _proposal);
        _assertStatus(_request, Status.Settled);
    }

    function test_settle_addsTheFeeToTheStakeAndFreesTheBond() external {
        _settle(_request, _proposal);
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, 0, 0);
    }

    function test_settle_creditsTheRoyalty() external {
        _settle(_request, _proposal);
        vm.assertEq(queue.creditOf(address(publisher)), ROYALTY);
    }

    function test_settle_callsTheConsumer() external {
        _settle(_request, _proposal);
        vm.assertEq(consumer.calls(), 1);
        vm.assertEq(RequestId.unwrap(consumer.lastId()), RequestId.unwrap(_id));
        vm.assertEq(consumer.lastOutput(), OUTPUT);
    }

    function test_settle_callsNobodyWhenNoCallbackGas() external {
        Options memory options = _options();
        options.callbackGas = 0;
        _take(_ask(consumer, FEE, options));
        _settle(_request, _proposal);
        vm.assertEq(consumer.calls(), 0);
        _assertStatus(_request, Status.Settled, false);
    }

    function test_settle_emitsRequestSettled() external {
        vm.warp(_proposal.window.settleAt());
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestSettled(_id, address(operator));
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_takesAnyCaller() external {
        vm.warp(_proposal.window.settleAt());
        vm.prank(stranger);
        queue.settle(_request, _proposal, OUTPUT);
        _assertStatus(_request, Status.Settled);
    }

    function test_settle_creditsTheFeeWhenTheStakeIsFull() external {
        vm.deal(address(this), type(uint96).max);
        operator.stake{value: type(uint96).max - STAKE}();
        _settle(_request, _proposal);
        _assertAccount(address(operator), type(uint96).max, 0, 0);
        vm.assertEq(queue.creditOf(address(operator)), FEE - ROYALTY);
    }

    function test_settle_addsTheFeeToAStakeThatIsFullThen() external {
        vm.deal(address(this), type(uint96).max);
        operator.stake{value: type(uint96).max - STAKE - (FEE - ROYALTY)}();
        _settle(_request, _proposal);
        _assertAccount(address(operator), type(uint96).max, 0, 0);
        vm.assertEq(queue.creditOf(address(operator)), 0);
    }

    function testFuzz_settle_revertsWhenWindowNotOver(uint256 time) external {
        vm.warp(_bound(time, START, _proposal.window.settleAt() - 1));
        _expectWindowNotOver();
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenUnknown() external {
        _request.inputRoot = 0;
        _expectWrongStatus(_request, Status.None, Status.Proposed);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenRequested() external {
        Request memory request = _ask();
        _skip(WINDOW);
        _expectWrongStatus(request, Status.Requested, Status.Proposed);
        queue.settle(request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenSettled() external {
        _settle(_request, _proposal);
        _expectWrongStatus(_request, Status.Settled, Status.Proposed);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenOutputIsAnother() external {
        vm.warp(_proposal.window.settleAt());
        _expectWrongProposal(_request);
        queue.settle(_request, _proposal, OTHER_OUTPUT);
    }

    function test_settle_revertsWhenOperatorIsAnother() external {
        vm.warp(_proposal.window.settleAt());
        _proposal.origin =
            OriginLibrary.pack(address(rival), _proposal.origin.epoch(), OUTPUT.length);
        _expectWrongProposal(_request);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenEpochIsAnother() external {
        vm.warp(_proposal.window.settleAt());
        _proposal.origin = OriginLibrary.pack(_proposal.origin.operator(), 1, OUTPUT.length);
        _expectWrongProposal(_request);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenProposedAtIsAnother() external {
        vm.warp(_proposal.window.settleAt());
        _proposal.window =
            WindowLibrary.pack(_proposal.window.proposedAt() + 1, _proposal.window.settleAt());
        _expectWrongProposal(_request);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenSettleAtIsAnother() external {
        _proposal.window = _proposal.window.movedTo(uint64(START));
        _expectWrongProposal(_request);
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_revertsWhenVoid() external {
        _slashAnother();
        vm.warp(_proposal.window.settleAt());
        _expectVoid();
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_settle_settlesWhatWasFinalBeforeTheSlash() external {
        vm.warp(_proposal.window.settleAt());
        _slashAnother();
        queue.settle(_request, _proposal, OUTPUT);
        _assertStatus(_request, Status.Settled);
    }
}

contract SettleBatchTest is SettleFixture {
    IInferenceQueue.Settlement[] internal _items;

    function setUp() public override {
        super.setUp();
        _add(_request, _proposal);
        for (uint256 i; i < 2; ++i) {
            Request memory request = _ask();
            _add(request, _propose(request));
        }
    }

    function test_settleBatch_settlesAll() external {
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        for (uint256 i; i < 3; ++i) {
            _assertStatus(_items[i].request, Status.Settled);
        }
        _assertAccount(address(operator), STAKE + 3 * (FEE - ROYALTY), 0, 0);
        vm.assertEq(consumer.calls(), 3);
    }

    function test_settleBatch_paysEachOperatorItsOwn() external {
        Request memory request = _ask();
        _add(request, _propose(rival, request));
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertAccount(address(rival), STAKE + FEE - ROYALTY, 0, 0);
    }

    function test_settleBatch_skipsWhatIsSettled() external {
        _settle(_request, _proposal);
        queue.settleBatch(_items);
        _assertAccount(address(operator), STAKE + 3 * (FEE - ROYALTY), 0, 0);
        vm.assertEq(consumer.calls(), 3);
    }

    function test_settleBatch_skipsATwiceNamedRequest() external {
        _items[1] = _items[0];
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertAccount(address(operator), STAKE + 2 * (FEE - ROYALTY), BOND, 0);
    }

    function test_settleBatch_skipsWhatIsVoid() external {
        _slash(_request, _proposal);
        Request memory request = _ask();
        _add(request, _propose(rival, request));
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertStatus(_items[1].request, Status.Proposed);
        _assertStatus(request, Status.Settled);
    }

    function test_settleBatch_skipsWhatWasProposedAnew() external {
        _slash(_request, _proposal);
        _propose(rival, _request);
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertStatus(_request, Status.Proposed);
    }

    function test_settleBatch_skipsAWrongOutput() external {
        _items[0].output = OTHER_OUTPUT;
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertStatus(_request, Status.Proposed);
        _assertStatus(_items[1].request, Status.Settled);
    }

    function test_settleBatch_goesOnWhenAConsumerReverts() external {
        RevertingConsumer refusing = new RevertingConsumer(queue);
        Request memory request = _ask(refusing, FEE, _options());
        _items[0].request = request;
        _items[0].proposal = _propose(request);
        vm.warp(_proposal.window.settleAt());
        queue.settleBatch(_items);
        _assertStatus(request, Status.Settled, true);
        _assertStatus(_items[2].request, Status.Settled);
    }

    function test_settleBatch_revertsWhenWindowNotOver() external {
        vm.warp(_proposal.window.settleAt() - 1);
        _expectWindowNotOver();
        queue.settleBatch(_items);
    }

    function _add(Request memory request, Proposal memory proposal) private {
        _items.push(_settlements(request, proposal)[0]);
    }
}

contract CallbackFailedTest is SettleFixture {
    RevertingConsumer internal _refusing;

    function setUp() public override {
        super.setUp();
        _refusing = new RevertingConsumer(queue);
        _take(_ask(_refusing, FEE, _options()));
    }

    function test_settle_paysTheOperatorWhenTheConsumerReverts() external {
        _settle(_request, _proposal);
        vm.assertEq(queue.accountOf(address(operator)).staked, STAKE + FEE - ROYALTY);
        _assertStatus(_request, Status.Settled, true);
    }

    function test_settle_emitsCallbackFailed() external {
        vm.warp(_proposal.window.settleAt());
        vm.expectEmit(address(queue));
        emit IInferenceQueue.CallbackFailed(_id, address(_refusing), _refusal());
        queue.settle(_request, _proposal, OUTPUT);
    }

    function test_retryCallback_deliversOnce() external {
        _fail();
        _refusing.setRefusing(false);
        queue.retryCallback(_request, _proposal, OUTPUT);
        vm.assertEq(_refusing.calls(), 1);
        _assertStatus(_request, Status.Settled, false);
    }

    function test_retryCallback_emitsCallbackRetried() external {
        _fail();
        _refusing.setRefusing(false);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.CallbackRetried(_id, address(_refusing));
        queue.retryCallback(_request, _proposal, OUTPUT);
    }

    function test_retryCallback_staysOwedWhenItFailsAgain() external {
        _fail();
        queue.retryCallback(_request, _proposal, OUTPUT);
        _assertStatus(_request, Status.Settled, true);
    }

    function test_retryCallback_emitsCallbackFailedWhenItFailsAgain() external {
        _fail();
        vm.expectEmit(address(queue));
        emit IInferenceQueue.CallbackFailed(_id, address(_refusing), _refusal());
        queue.retryCallback(_request, _proposal, OUTPUT);
    }

    function test_retryCallback_paysNobodyAgain() external {
        _fail();
        queue.retryCallback(_request, _proposal, OUTPUT);
        vm.assertEq(queue.accountOf(address(operator)).staked, STAKE + FEE - ROYALTY);
        vm.assertEq(queue.creditOf(address(publisher)), ROYALTY);
    }

    function test_retryCallback_givesMoreGasThanWasAskedFor() external {
        _fail();
        vm.etch(address(_refusing), GasProbe.CODE);
        bytes memory reason = abi.encode((uint256(5_000_000) - 60_000) * 63 / 64);
        vm.recordLogs();
        queue.retryCallback{gas: 5_000_000}(_request, _proposal, OUTPUT);
        bytes memory actual = abi.decode(vm.getRecordedLogs()[0].data, (bytes));
        vm.assertGe(uint256(bytes32(actual)), uint256(bytes32(reason)));
    }

    function test_retryCallback_revertsWhenDelivered() external {
        _fail();
        _refusing.setRefusing(false);
        queue.retryCallback(_request, _proposal, OUTPUT);
        _expectNoCallbackOwed();
        queue.retryCallback(_request, _proposal, OUTPUT);
    }

    function test_retryCallback_revertsWhenNotSettled() external {
        _expectNoCallbackOwed();
        queue.retryCallback(_request, _proposal, OUTPUT);
    }

    function test_retryCallback_revertsWhenOutputIsAnother() external {
        _fail();
        _expectWrongProposal(_request);
        queue.retryCallback(_request, _proposal, OTHER_OUTPUT);
    }

    function test_retryCallback_revertsWhenProposalIsAnother() external {
        _fail();
        _proposal.origin =
            OriginLibrary.pack(address(rival), _proposal.origin.epoch(), OUTPUT.length);
        _expectWrongProposal(_request);
        queue.retryCallback(_request, _proposal, OUTPUT);
    }

    function _fail() private {
        _settle(_request, _proposal);
    }

    function _refusal() private view returns (bytes memory) {
        return abi.encodeWithSelector(RevertingConsumer.Refused.selector, _id);
    }

    function _expectNoCallbackOwed() private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceQueue.NoCallbackOwed.selector, _id));
    }
}
