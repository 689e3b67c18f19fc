// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {rootOf} from "../RootOf.sol";
import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../../contracts/interfaces/IOperatorStaking.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {ReenteringConsumer} from "../actors/Consumers.sol";
import {Fixture} from "../Fixture.sol";

/// @dev A consumer comes back in by every door, about the request that it is called for, while it is called.
abstract contract ReentrancyFixture is Fixture {
    ReenteringConsumer internal reentering;
    Request internal _request;
    Proposal internal _proposal;
    uint256 internal _paidIn;

    function setUp() public virtual override {
        super.setUp();
        reentering = new ReenteringConsumer(queue);
        _request = _ask(reentering, FEE, _optionsWithGas(5_000_000));
        _proposal = _propose(_request);
        vm.deal(address(reentering), 1 ether);
        _paidIn = address(queue).balance;
    }

    /// @dev Enters by `data` when called, and not again; returns what came of it.
    function _enter(uint256 value, bytes memory data)
        internal
        returns (ReenteringConsumer.Outcome memory)
    {
        ReenteringConsumer.Call[] memory calls = new ReenteringConsumer.Call[](1);
        calls[0] = ReenteringConsumer.Call(value, data);
        reentering.arm(calls);
        _trigger();
        vm.assertEq(reentering.outcomes().length, 1);
        return reentering.outcomes()[0];
    }

    function _trigger() internal virtual;

    function _assertRefused(bytes memory data, bytes memory error) internal {
        ReenteringConsumer.Outcome memory outcome = _enter(0, data);
        vm.assertFalse(outcome.isSuccess);
        vm.assertEq(outcome.data, error);
    }

    function _assertHarmless(bytes memory data) internal {
        vm.assertTrue(_enter(0, data).isSuccess);
    }

    function _requests() internal view returns (Request[] memory requests, bytes[] memory outputs) {
        requests = new Request[](1);
        requests[0] = _request;
        outputs = new bytes[](1);
        outputs[0] = OUTPUT;
    }
}

contract CallbackReentrancyTest is ReentrancyFixture {
    function test_attack_onInference_reentersSettle() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.settle, (_request, _proposal, OUTPUT)),
            _wrongStatus(_request, Status.Settled, Status.Proposed)
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersSettleBatch() external {
        _assertHarmless(
            abi.encodeCall(IInferenceQueue.settleBatch, (_settlements(_request, _proposal)))
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersRetryCallback() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.retryCallback, (_request, _proposal, OUTPUT)),
            abi.encodeWithSelector(IInferenceQueue.NoCallbackOwed.selector, _idOf(_request))
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersExpire() external {
        _skip(TIMEOUT);
        _assertRefused(
            abi.encodeCall(IInferenceQueue.expire, (_request)),
            _wrongStatus(_request, Status.Settled, Status.Requested)
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersPropose() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.propose, (_request, OUTPUT)),
            _wrongStatus(_request, Status.Settled, Status.Requested)
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersProposeBatch() external {
        (Request[] memory requests, bytes[] memory outputs) = _requests();
        _assertHarmless(abi.encodeCall(IInferenceQueue.proposeBatch, (requests, outputs)));
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersReopen() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.reopen, (_request, _proposal, rootOf(OUTPUT))),
            _wrongStatus(_request, Status.Settled, Status.Proposed)
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersSlash() external {
        _assertRefused(
            abi.encodeCall(
                IInferenceQueue.slash, (_request, _proposal, rootOf(OUTPUT), address(reentering))
            ),
            abi.encodeWithSelector(
                IInferenceQueue.NotDisputes.selector, address(reentering), disputes
            )
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersRequest() external {
        bytes memory call = abi.encodeCall(IInferenceQueue.request, (model, INPUT, _options()));
        vm.assertTrue(_enter(FEE, call).isSuccess);
        _paidIn += FEE;
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersStake() external {
        vm.assertTrue(_enter(7, abi.encodeCall(IOperatorStaking.stake, ())).isSuccess);
        _paidIn += 7;
        _assertAccount(address(reentering), 7, 0, 0);
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersUnstake() external {
        _assertRefused(
            abi.encodeCall(IOperatorStaking.unstake, (1)),
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, address(reentering), 0, 1
            )
        );
        _assertPaidOnce();
    }

    function test_attack_onInference_reentersWithdraw() external {
        _assertRefused(
            abi.encodeCall(IOperatorStaking.withdraw, (address(reentering))),
            abi.encodeWithSelector(IOperatorStaking.NothingToWithdraw.selector, address(reentering))
        );
        _assertPaidOnce();
    }

    /// @dev The consumer settles the rest of the batch that it is called from.
    function test_attack_onInference_settlesTheRestOfItsBatch() external {
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](2);
        items[0] = _settlements(_request, _proposal)[0];
        Request memory second = _ask();
        items[1] = _settlements(second, _propose(second))[0];
        ReenteringConsumer.Call[] memory calls = new ReenteringConsumer.Call[](1);
        calls[0].data = abi.encodeCall(IInferenceQueue.settleBatch, (items));
        reentering.arm(calls);
        _warpToFinal(items[1].proposal);
        queue.settleBatch(items);
        _assertAccount(address(operator), STAKE + 2 * (FEE - ROYALTY), 0, 0);
        vm.assertEq(consumer.calls(), 1);
    }

    function _trigger() internal override {
        _settle(_request, _proposal);
    }

    function _assertPaidOnce() private view {
        _assertStatus(_request, Status.Settled, false);
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, 0, 0);
        vm.assertEq(queue.creditOf(address(publisher)), ROYALTY);
        vm.assertEq(address(queue).balance, _paidIn);
    }
}

/// @dev The same from `receive`, while a refund of an expired request is paid out.
contract WithdrawReentrancyTest is ReentrancyFixture {
    Request internal _expired;

    function setUp() public override {
        super.setUp();
        _expired = _ask(reentering, FEE, _options());
        _expire(_expired);
    }

    function test_attack_receive_reentersWithdraw() external {
        _assertRefused(
            abi.encodeCall(IOperatorStaking.withdraw, (address(reentering))),
            abi.encodeWithSelector(IOperatorStaking.NothingToWithdraw.selector, address(reentering))
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersExpire() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.expire, (_expired)),
            _wrongStatus(_expired, Status.Expired, Status.Requested)
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersStake() external {
        vm.assertTrue(_enter(FEE, abi.encodeCall(IOperatorStaking.stake, ())).isSuccess);
        _assertRefundedOnce(FEE);
    }

    function test_attack_receive_reentersUnstake() external {
        _assertRefused(
            abi.encodeCall(IOperatorStaking.unstake, (1)),
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, address(reentering), 0, 1
            )
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersRequest() external {
        bytes memory call = abi.encodeCall(IInferenceQueue.request, (model, INPUT, _options()));
        vm.assertTrue(_enter(FEE, call).isSuccess);
        _assertRefundedOnce(FEE);
    }

    /// @dev Settling from within calls `onInference` of the very contract that is being paid.
    function test_attack_receive_reentersSettle() external {
        _assertHarmless(abi.encodeCall(IInferenceQueue.settle, (_request, _proposal, OUTPUT)));
        _assertRefundedOnce(0);
        _assertStatus(_request, Status.Settled);
    }

    function test_attack_receive_reentersSettleBatch() external {
        _assertHarmless(
            abi.encodeCall(IInferenceQueue.settleBatch, (_settlements(_request, _proposal)))
        );
        _assertRefundedOnce(0);
        _assertStatus(_request, Status.Settled);
    }

    function test_attack_receive_reentersRetryCallback() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.retryCallback, (_request, _proposal, OUTPUT)),
            abi.encodeWithSelector(IInferenceQueue.NoCallbackOwed.selector, _idOf(_request))
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersPropose() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.propose, (_expired, OUTPUT)),
            _wrongStatus(_expired, Status.Expired, Status.Requested)
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersProposeBatch() external {
        (Request[] memory requests, bytes[] memory outputs) = _requests();
        requests[0] = _expired;
        _assertHarmless(abi.encodeCall(IInferenceQueue.proposeBatch, (requests, outputs)));
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersReopen() external {
        _assertRefused(
            abi.encodeCall(IInferenceQueue.reopen, (_expired, _proposal, rootOf(OUTPUT))),
            _wrongStatus(_expired, Status.Expired, Status.Proposed)
        );
        _assertRefundedOnce(0);
    }

    function test_attack_receive_reentersSlash() external {
        _assertRefused(
            abi.encodeCall(
                IInferenceQueue.slash, (_request, _proposal, rootOf(OUTPUT), address(reentering))
            ),
            abi.encodeWithSelector(
                IInferenceQueue.NotDisputes.selector, address(reentering), disputes
            )
        );
        _assertRefundedOnce(0);
    }

    function _trigger() internal override {
        queue.withdraw(address(reentering));
    }

    function _assertRefundedOnce(uint256 spent) private view {
        vm.assertEq(address(reentering).balance, 1 ether + FEE - spent);
        vm.assertEq(queue.creditOf(address(reentering)), 0);
        vm.assertEq(address(queue).balance, _paidIn + spent);
    }
}
