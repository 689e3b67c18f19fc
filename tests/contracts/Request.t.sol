// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {Fixture} from "./Fixture.sol";

contract RequestTest is Fixture {
    function test_request_movesToRequested() external {
        _assertStatus(_ask(), Status.Requested);
    }

    function test_request_escrowsTheFee() external {
        uint256 before = address(queue).balance;
        _ask();
        vm.assertEq(address(queue).balance, before + FEE);
    }

    function test_request_returnsIdOf() external {
        RequestId id = consumer.ask{value: FEE}(model, INPUT, _options());
        vm.assertEq(RequestId.unwrap(id), RequestId.unwrap(_idOf(_asked(_options(), FEE))));
    }

    function test_request_emitsRequestCreated() external {
        Options memory options = Options(
            address(operator), BOND + 1, WINDOW + 2, TIMEOUT + 3, CALLBACK_GAS + 4, stranger, 0, 5
        );
        Request memory request = _asked(options, FEE);
        RequestId id = _idOf(request);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestCreated(id, model, request, INPUT);
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    function test_request_emitsTheConsumerAsRefundToWhenNoneIsNamed() external {
        vm.assertEq(_refundToOf(_ask()), address(consumer));
    }

    function testFuzz_request_takesWhatIsInRange(uint256 fee, Options memory options) external {
        fee = _bound(fee, ROYALTY, type(uint96).max - 10 * uint256(STAKE));
        options.bond = uint96(_bound(options.bond, MIN_BOND, type(uint96).max));
        options.window = uint32(_bound(options.window, MIN_WINDOW, MAX_WINDOW));
        options.timeout = uint32(_bound(options.timeout, 1, MAX_TIMEOUT));
        options.callbackGas = uint32(_bound(options.callbackGas, 0, MAX_CALLBACK_GAS));
        options.maxOutputLength = options.maxOutputLength % 2 == 0 ? 0 : uint32(OUTPUT.length);
        vm.deal(address(this), fee);
        _assertStatus(_ask(consumer, fee, options), Status.Requested);
    }

    function test_request_takesTheLeastOfEachOption() external {
        Options memory options = Options(address(0), MIN_BOND, MIN_WINDOW, 1, 0, address(0), 0, 0);
        _assertStatus(_ask(consumer, FEE, options), Status.Requested);
    }

    function test_request_takesTheMostOfEachOption() external {
        (uint32 timeout, uint32 gas_) = (uint32(MAX_TIMEOUT), uint32(MAX_CALLBACK_GAS));
        Options memory options = Options(
            address(0), type(uint96).max, MAX_WINDOW, timeout, gas_, address(0), 0, type(uint64).max
        );
        _assertStatus(_ask(consumer, FEE, options), Status.Requested);
    }

    function test_request_takesTheRoyaltyAlone() external {
        _assertStatus(_ask(consumer, ROYALTY, _options()), Status.Requested);
    }

    function test_request_takesTheLargestFee() external {
        vm.deal(address(this), type(uint96).max);
        Request memory request = _ask(consumer, type(uint96).max, _options());
        vm.assertEq(uint96(request.consumerAndFee), type(uint96).max);
    }

    function test_request_givesTwinsOtherIds() external {
        Request memory first = _ask();
        Request memory second = _ask();
        Request memory third = _ask();
        vm.assertEq(_nonceOf(first), 0);
        vm.assertEq(_nonceOf(second), 1);
        vm.assertEq(_nonceOf(third), 2);
        _assertStatus(third, Status.Requested);
    }

    function test_request_givesALaterTwinItsOwnEvenWhenTheFirstIsOver() external {
        Request memory first = _ask();
        _propose(first);
        Request memory second = _ask();
        vm.assertNotEq(RequestId.unwrap(_idOf(first)), RequestId.unwrap(_idOf(second)));
        _assertStatus(first, Status.Proposed);
    }

    function test_request_needsNoNonceInAnotherSecond() external {
        _ask();
        _skip(1);
        vm.assertEq(_nonceOf(_ask()), 0);
    }

    function test_request_revertsWhenUnknownModel() external {
        ModelId unknown = ModelId.wrap(keccak256("unknown"));
        vm.expectRevert(abi.encodeWithSelector(IInferenceQueue.UnknownModel.selector, unknown));
        consumer.ask{value: FEE}(unknown, INPUT, _options());
    }

    function testFuzz_request_revertsWhenWrongInputLength(uint256 length) external {
        length = _bound(length, 0, 100);
        if (length == INPUT.length) ++length;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WrongInputLength.selector, model, length, INPUT.length
            )
        );
        consumer.ask{value: FEE}(model, new bytes(length), _options());
    }

    function test_request_revertsWhenFeeBelowRoyalty() external {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.FeeBelowRoyalty.selector, ROYALTY - 1, ROYALTY)
        );
        consumer.ask{value: ROYALTY - 1}(model, INPUT, _options());
    }

    function test_request_revertsWhenFeeTooLarge() external {
        uint256 fee = uint256(type(uint96).max) + 1;
        vm.deal(address(this), fee);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.FeeTooLarge.selector, fee, type(uint96).max)
        );
        consumer.ask{value: fee}(model, INPUT, _options());
    }

    function test_request_revertsWhenBondTooSmall() external {
        Options memory options = _options();
        options.bond = MIN_BOND - 1;
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.BondTooSmall.selector, MIN_BOND - 1, MIN_BOND)
        );
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    function test_request_revertsWhenWindowTooShort() external {
        _expectWindowOutOfRange(MIN_WINDOW - 1);
    }

    function test_request_revertsWhenWindowTooLong() external {
        _expectWindowOutOfRange(MAX_WINDOW + 1);
    }

    function test_request_revertsWhenTimeoutIsZero() external {
        _expectTimeoutOutOfRange(0);
    }

    function test_request_revertsWhenTimeoutTooLong() external {
        _expectTimeoutOutOfRange(uint32(MAX_TIMEOUT) + 1);
    }

    function test_request_revertsWhenCallbackGasTooHigh() external {
        Options memory options = _options();
        options.callbackGas = uint32(MAX_CALLBACK_GAS) + 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.CallbackGasTooHigh.selector, MAX_CALLBACK_GAS + 1, MAX_CALLBACK_GAS
            )
        );
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    function _expectWindowOutOfRange(uint32 window) private {
        Options memory options = _options();
        options.window = window;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WindowOutOfRange.selector, window, MIN_WINDOW, MAX_WINDOW
            )
        );
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    function _nonceOf(Request memory request) private pure returns (uint64) {
        return uint64(request.timing >> 64);
    }

    function _expectTimeoutOutOfRange(uint32 timeout) private {
        Options memory options = _options();
        options.timeout = timeout;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.TimeoutOutOfRange.selector, timeout, 1, MAX_TIMEOUT
            )
        );
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    /// @dev The packing, word by word, as the interface tells it.
    function _asked(Options memory options, uint96 fee) private view returns (Request memory) {
        return Request({
            model: model,
            terms: registry.termsOf(model),
            inputRoot: rootOf(INPUT),
            consumerAndFee: uint256(bytes32(abi.encodePacked(address(consumer), fee))),
            operatorAndBond: uint256(bytes32(abi.encodePacked(options.operator, options.bond))),
            refundToAndLengths: uint256(
                bytes32(
                    abi.encodePacked(
                        options.refundTo == address(0) ? address(consumer) : options.refundTo,
                        uint32(0),
                        uint32(INPUT.length),
                        uint32(OUTPUT.length)
                    )
                )
            ),
            timing: uint256(
                bytes32(
                    abi.encodePacked(
                        uint64(START) + options.timeout,
                        options.window,
                        options.callbackGas,
                        uint64(0),
                        options.entropy == 0 ? uint64(PREVRANDAO) : options.entropy
                    )
                )
            )
        });
    }
}

contract ExpireTest is Fixture {
    function test_expire_movesToExpired() external {
        Request memory request = _ask();
        _expire(request);
        _assertStatus(request, Status.Expired);
    }

    function test_expire_creditsTheConsumer() external {
        _expire(_ask());
        vm.assertEq(queue.creditOf(address(consumer)), FEE);
    }

    function test_expire_creditsRefundToWhenNamed() external {
        Options memory options = _options();
        options.refundTo = stranger;
        _expire(_ask(consumer, FEE, options));
        vm.assertEq(queue.creditOf(stranger), FEE);
        vm.assertEq(queue.creditOf(address(consumer)), 0);
    }

    function test_expire_takesAFreeRequest() external {
        Request memory request = _ask(consumer, mixedModel, 0, _options());
        _expire(request);
        _assertStatus(request, Status.Expired);
    }

    function test_expire_emitsRequestExpired() external {
        Request memory request = _ask();
        RequestId id = _idOf(request);
        vm.warp(_deadlineOf(request));
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestExpired(id, address(consumer), FEE);
        queue.expire(request);
    }

    function testFuzz_expire_revertsWhenDeadlineNotPassed(uint256 time) external {
        time = _bound(time, START, START + TIMEOUT - 1);
        Request memory request = _ask();
        RequestId id = _idOf(request);
        vm.warp(time);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.DeadlineNotPassed.selector, id, START + TIMEOUT)
        );
        queue.expire(request);
    }

    function test_expire_revertsWhenUnknown() external {
        Request memory request = _ask();
        request.refundToAndLengths ^= 1 << 96;
        _skip(TIMEOUT);
        _expectWrongStatus(request, Status.None, Status.Requested);
        queue.expire(request);
    }

    function test_expire_revertsWhenProposed() external {
        Request memory request = _ask();
        _propose(request);
        _skip(TIMEOUT);
        _expectWrongStatus(request, Status.Proposed, Status.Requested);
        queue.expire(request);
    }

    function test_expire_revertsWhenSettled() external {
        Request memory request = _ask();
        _settle(request, _propose(request));
        _skip(TIMEOUT);
        _expectWrongStatus(request, Status.Settled, Status.Requested);
        queue.expire(request);
    }

    function test_expire_revertsWhenExpired() external {
        Request memory request = _ask();
        _expire(request);
        _expectWrongStatus(request, Status.Expired, Status.Requested);
        queue.expire(request);
    }
}
