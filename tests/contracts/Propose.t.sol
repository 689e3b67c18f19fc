// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../contracts/interfaces/IOperatorStaking.sol";
import {OriginLibrary, Proposal, WindowLibrary} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {Fixture} from "./Fixture.sol";

contract ProposeTest is Fixture {
    function test_propose_movesToProposed() external {
        Request memory request = _ask();
        _propose(request);
        _assertStatus(request, Status.Proposed);
    }

    function test_propose_locksBond() external {
        _propose(_ask());
        _assertAccount(address(operator), STAKE, BOND, 0);
    }

    function test_propose_emitsResultProposed() external {
        Request memory request = _ask();
        RequestId id = _idOf(request);
        uint64 time = uint64(START);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.ResultProposed(
            id,
            address(operator),
            Proposal(
                OriginLibrary.pack(address(operator), 0, OUTPUT.length),
                WindowLibrary.pack(time, time + WINDOW)
            ),
            OUTPUT
        );
        operator.propose(request, OUTPUT);
    }

    function test_propose_carriesTheEpoch() external {
        Request memory request = _ask();
        _slash(request, _propose(request));
        Proposal memory proposal = _propose(request);
        vm.assertEq(proposal.origin.epoch(), 1);
        queue.requireProposed(request, proposal, OUTPUT);
    }

    function test_propose_takesTheLastSecond() external {
        Request memory request = _ask();
        vm.warp(_deadlineOf(request) - 1);
        _propose(request);
        _assertStatus(request, Status.Proposed);
    }

    function test_propose_takesTheChosenOperator() external {
        Request memory request = _ask(consumer, FEE, _optionsFor(address(operator)));
        _propose(request);
        _assertStatus(request, Status.Proposed);
    }

    function test_propose_locksTheLastWei() external {
        _propose(_ask(consumer, FEE, _optionsWithBond(STAKE)));
        vm.assertEq(queue.freeStakeOf(address(operator)), 0);
    }

    function test_propose_takesEveryCanonicalFloat() external {
        Request memory request = _ask();
        operator.propose(request, OTHER_OUTPUT);
        _assertStatus(request, Status.Proposed);
    }

    function test_propose_takesAnyBytesWhenNotAllFloat32() external {
        Request memory request = _ask(consumer, mixedModel, FEE, _options());
        operator.propose(request, hex"80000000800000008000000080000000");
        _assertStatus(request, Status.Proposed);
    }

    function test_propose_revertsWhenUnknown() external {
        Request memory request = _ask();
        request.inputRoot = 0;
        _expectWrongStatus(request, Status.None, Status.Requested);
        operator.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenProposed() external {
        Request memory request = _ask();
        _propose(request);
        _expectWrongStatus(request, Status.Proposed, Status.Requested);
        rival.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenSettled() external {
        Request memory request = _ask();
        _settle(request, _propose(request));
        _expectWrongStatus(request, Status.Settled, Status.Requested);
        operator.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenExpired() external {
        Request memory request = _ask();
        _expire(request);
        _expectWrongStatus(request, Status.Expired, Status.Requested);
        operator.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenDeadlinePassed() external {
        Request memory request = _ask();
        RequestId id = _idOf(request);
        vm.warp(START + TIMEOUT);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.DeadlinePassed.selector, id, START + TIMEOUT)
        );
        operator.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenNotChosenOperator() external {
        Request memory request = _ask(consumer, FEE, _optionsFor(address(operator)));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.NotChosenOperator.selector,
                _idOf(request),
                address(rival),
                address(operator)
            )
        );
        rival.propose(request, OUTPUT);
    }

    function testFuzz_propose_revertsWhenWrongLength(uint256 length) external {
        length = _bound(length, 0, 100);
        if (length == OUTPUT.length) ++length;
        Request memory request = _ask();
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WrongOutputLength.selector, _idOf(request), length, OUTPUT.length
            )
        );
        operator.propose(request, new bytes(length));
    }

    function testFuzz_propose_revertsWhenNegativeZero(uint256 lane) external {
        _refusesBits(lane, 0x80000000);
    }

    function testFuzz_propose_revertsWhenNaNHasAPayload(uint256 lane, uint32 payload, bool sign)
        external
    {
        uint32 bits = 0x7f800000 | uint32(_bound(payload, 1, 0x7fffff));
        if (sign) bits |= 0x80000000;
        else if (bits == 0x7fc00000) ++bits;
        _refusesBits(lane, bits);
    }

    function test_propose_revertsWhenLastPartialWordIsNotCanonical() external {
        Request memory request = _ask(consumer, _publishWide(11), FEE, _options());
        bytes memory output = new bytes(44);
        output[40] = 0x80;
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.NonCanonicalOutput.selector, _idOf(request), 40)
        );
        operator.propose(request, output);
    }

    function test_propose_revertsWhenNoFreeStake() external {
        Request memory request = _ask(consumer, FEE, _optionsWithBond(STAKE + 1));
        _expectInsufficientStake(STAKE, STAKE + 1);
        operator.propose(request, OUTPUT);
    }

    function test_propose_revertsWhenStakeIsLocked() external {
        _propose(_ask(consumer, FEE, _optionsWithBond(STAKE)));
        Request memory request = _ask();
        _expectInsufficientStake(0, BOND);
        operator.propose(request, OUTPUT);
    }

    function _optionsWithBond(uint96 bond) private pure returns (Options memory options) {
        options = _options();
        options.bond = bond;
    }

    function _expectInsufficientStake(uint256 free, uint256 needed) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, address(operator), free, needed
            )
        );
    }

    function _refusesBits(uint256 lane, uint32 bits) private {
        lane = _bound(lane, 0, 7);
        Request memory request = _ask();
        bytes memory output = abi.encodePacked(uint256(bits) << (224 - 32 * lane));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.NonCanonicalOutput.selector, _idOf(request), 4 * lane
            )
        );
        operator.propose(request, output);
    }
}

contract ProposeBatchTest is Fixture {
    Request[] internal _requests;
    bytes[] internal _outputs;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < 3; ++i) {
            _requests.push(_ask());
            _outputs.push(OUTPUT);
        }
    }

    function test_proposeBatch_proposesAll() external {
        operator.proposeBatch(_requests, _outputs);
        for (uint256 i; i < 3; ++i) {
            _assertStatus(_requests[i], Status.Proposed);
        }
        _assertAccount(address(operator), STAKE, 3 * BOND, 0);
    }

    function test_proposeBatch_emitsOneEventEach() external {
        Proposal memory proposal = _proposalOf(address(operator), _requests[0]);
        for (uint256 i; i < 3; ++i) {
            RequestId id = _idOf(_requests[i]);
            vm.expectEmit(address(queue));
            emit IInferenceQueue.ResultProposed(id, address(operator), proposal, OUTPUT);
        }
        operator.proposeBatch(_requests, _outputs);
    }

    function test_proposeBatch_commitsEachToItsOwnOutput() external {
        Proposal memory proposal = _proposalOf(address(operator), _requests[0]);
        _outputs[1] = OTHER_OUTPUT;
        operator.proposeBatch(_requests, _outputs);
        queue.requireProposed(_requests[0], proposal, OUTPUT);
        queue.requireProposed(_requests[1], proposal, OTHER_OUTPUT);
    }

    function test_proposeBatch_doesNothingWhenEmpty() external {
        operator.proposeBatch(new Request[](0), new bytes[](0));
        _assertAccount(address(operator), STAKE, 0, 0);
    }

    function test_proposeBatch_skipsWhatIsAnswered() external {
        _propose(rival, _requests[1]);
        operator.proposeBatch(_requests, _outputs);
        _assertAccount(address(operator), STAKE, 2 * BOND, 0);
        _assertStatus(_requests[2], Status.Proposed);
    }

    function test_proposeBatch_skipsATwiceNamedRequest() external {
        _requests[2] = _requests[0];
        operator.proposeBatch(_requests, _outputs);
        _assertAccount(address(operator), STAKE, 2 * BOND, 0);
    }

    function test_proposeBatch_skipsWhatIsPastItsDeadline() external {
        _skip(TIMEOUT);
        _requests[1] = _ask();
        operator.proposeBatch(_requests, _outputs);
        _assertStatus(_requests[0], Status.Requested);
        _assertStatus(_requests[1], Status.Proposed);
    }

    function test_proposeBatch_skipsWhatIsExpired() external {
        _expire(_requests[0]);
        _requests[2] = _ask();
        operator.proposeBatch(_requests, _outputs);
        _assertStatus(_requests[0], Status.Expired);
        _assertStatus(_requests[2], Status.Proposed);
    }

    function test_proposeBatch_revertsWhenLengthsDiffer() external {
        _outputs.pop();
        vm.expectRevert(abi.encodeWithSelector(IInferenceQueue.LengthMismatch.selector, 3, 2));
        operator.proposeBatch(_requests, _outputs);
    }

    function test_proposeBatch_revertsWhenOneOutputIsWrong() external {
        _outputs[2] = hex"00";
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WrongOutputLength.selector, _idOf(_requests[2]), 1, 32
            )
        );
        operator.proposeBatch(_requests, _outputs);
    }

    function test_proposeBatch_revertsWhenOneHasAnotherChosenOperator() external {
        _requests[1] = _ask(consumer, FEE, _optionsFor(address(rival)));
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.NotChosenOperator.selector,
                _idOf(_requests[1]),
                address(operator),
                address(rival)
            )
        );
        operator.proposeBatch(_requests, _outputs);
    }

    function test_proposeBatch_revertsWhenStakeEnds() external {
        operator.unstake(STAKE - 2 * BOND);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, address(operator), 0, BOND
            )
        );
        operator.proposeBatch(_requests, _outputs);
    }
}
