// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    IInferenceQueue,
    Options,
    SignedOptions
} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../../contracts/interfaces/IOperatorStaking.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Signature} from "../../../contracts/libraries/Answer.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../../contracts/libraries/RequestState.sol";
import {RecordingConsumer, ReenteringConsumer} from "../actors/Consumers.sol";
import {Queue} from "../Fixture.sol";
import {rootOf} from "../RootOf.sol";
import {SignedFixture} from "../SignedFixture.sol";

/// @dev An answer that was signed for one use, tried elsewhere.
contract ReplayTest is SignedFixture {
    function test_attack_replayOnAnotherChain() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        cheats.chainId(block.chainid + 1);
        _moveToAnotherQueue();
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_replayOnAnotherQueue() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        _moveToAnotherQueue();
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_replayByAnotherConsumer() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        RecordingConsumer thief = new RecordingConsumer(queue);
        _expectWrongSigner();
        this.infer{value: FEE}(thief, model, options, OUTPUT, signature);
    }

    function test_attack_replayWithAnotherInputFeeOrOption() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        _expectWrongSigner();
        this.infer{value: FEE + 1}(consumer, model, options, OUTPUT, signature);
        ++options.bond;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        ++options.window;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        ++options.deadline;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        ++options.callbackGas;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        options.refundTo = stranger;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        ++options.nonce;
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, _signedOptions(), OTHER_OUTPUT, signature);
    }

    function test_attack_replayAfterUse() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        (Request memory request, Proposal memory proposal) = _infer(options);
        _expectWrongStatus(request, Status.Proposed, Status.None);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        _expectWrongStatus(request, Status.Proposed, Status.Requested);
        queue.proposeSigned(request, author, OUTPUT, signature);
        _settle(request, proposal);
        options.deadline += 2 hours;
        vm.expectRevert();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        _expectWrongStatus(request, Status.Settled, Status.Requested);
        queue.proposeSigned(request, author, OUTPUT, signature);
    }

    /// @dev The highest bit of a nonce is set for the caller: with it or without, it is one request.
    function test_attack_replayWithTheNoncesHighestBit() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        (Request memory request,) = _infer(options);
        options.nonce |= CALLERS;
        _expectWrongStatus(request, Status.Proposed, Status.None);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_replayAfterTheDeadline() external {
        SignedOptions memory options = _signedOptions();
        (Request memory request, Proposal memory proposal) = _infer(options);
        Signature memory signature = _signed("author", request, OUTPUT);
        _slash(request, proposal);
        vm.warp(options.deadline);
        cheats.expectPartialRevert(IInferenceQueue.DeadlinePassed.selector);
        queue.proposeSigned(request, author, OUTPUT, signature);
        cheats.expectPartialRevert(IInferenceQueue.DeadlineOutOfRange.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_replayAfterASlash() external {
        SignedOptions memory options = _signedOptions();
        Signature memory unused = _signed(options);
        SignedOptions memory other = _signedOptions();
        other.nonce = 2;
        (Request memory request, Proposal memory proposal) = _infer(other);
        Signature memory used = _signed("author", request, OUTPUT);
        _slash(request, proposal);
        _expectWrongSigner();
        this.infer{value: FEE}(consumer, model, options, OUTPUT, unused);
        _expectWrongSigner();
        queue.proposeSigned(request, author, OUTPUT, used);
    }

    function test_attack_replayAfterUnstaking() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        vm.prank(author);
        queue.unstake(STAKE - BOND + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.InsufficientStake.selector, author, BOND - 1, BOND
            )
        );
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    /// @dev The id holds no block: the chain may undo what it likes, and the answer is used once all the same.
    function test_attack_reorganisationBetweenSigningAndPosting() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        uint256 fork = vm.snapshotState();
        RequestId first = _infer(consumer, options, OUTPUT, signature);
        vm.revertToState(fork);
        _skip(12);
        vm.roll(cheats.getBlockNumber() + 3);
        cheats.prevrandao(1);
        RequestId second = _infer(consumer, options, OUTPUT, signature);
        vm.assertEq(RequestId.unwrap(first), RequestId.unwrap(second));
    }

    function _moveToAnotherQueue() private {
        queue = _deployQueue();
        consumer = new RecordingConsumer(queue);
        vm.deal(author, STAKE);
        vm.prank(author);
        queue.stake{value: STAKE}();
    }

    function _expectWrongSigner() private {
        cheats.expectPartialRevert(IOperatorStaking.WrongSigner.selector);
    }
}

contract SignatureTest is SignedFixture {
    function test_attack_malleableSignature_isUsedOnceOrNever() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory signature = _signed(options);
        uint256 s = ORDER - (uint256(signature.vs) & (type(uint256).max >> 1));
        Signature memory other = Signature(
            signature.r, bytes32((~uint256(signature.vs) & (1 << 255)) | (s & (1 << 255) - 1))
        );
        _infer(consumer, options, OUTPUT, signature);
        _expectWrongStatus(request, Status.Proposed, Status.None);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, other);
    }

    function test_attack_zeroSignature() external {
        SignedOptions memory options = _signedOptions();
        cheats.expectPartialRevert(IInferenceQueue.NoSignature.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, Signature(0, 0));
    }

    /// @dev Zero is whom ecrecover names where there is no signature.
    function test_attack_operatorZero() external {
        vm.deal(address(0), STAKE);
        vm.prank(address(0));
        queue.stake{value: STAKE}();
        SignedOptions memory options = _signedOptionsFor(address(0));
        cheats.expectPartialRevert(IInferenceQueue.NoSignature.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, Signature(0, 0));
    }

    /// @dev And zero is the signer of whoever named none.
    function testFuzz_attack_anySignature_isNobodys(bytes32 r, bytes32 vs) external {
        vm.expectRevert();
        this.infer{value: FEE}(
            consumer, model, _signedOptionsFor(address(rival)), OUTPUT, Signature(r, vs)
        );
    }

    function testFuzz_attack_shortSignature(uint256 cut) external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        // A signature is static, so it lies inside the call: what is cut is the end of the output.
        bytes memory data =
            abi.encodeCall(IInferenceQueue.infer, (model, INPUT, options, OUTPUT, signature));
        uint256 length = data.length - _bound(cut, 1, data.length - 4);
        assembly ("memory-safe") {
            mstore(data, length)
        }
        vm.deal(address(consumer), FEE);
        vm.prank(address(consumer));
        (bool isSuccess,) = address(queue).call{value: FEE}(data);
        vm.assertFalse(isSuccess);
    }

    function test_attack_signatureOfAnotherEpoch() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory early = _sign("author", _digest(queue, _idOf(request), OUTPUT, 1));
        cheats.expectPartialRevert(IOperatorStaking.WrongSigner.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, early);
    }

    function test_attack_rotatedSigner_isNobody() external {
        SignedOptions memory options = _signedOptionsFor(address(operator));
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory signature = _signed("signer", request, OUTPUT);
        operator.setSigner(stranger, STAKE);
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorStaking.WrongSigner.selector, operator, signer)
        );
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_signerOfAnotherOperator_isNobody() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory signature = _signed("signer", request, OUTPUT);
        cheats.expectPartialRevert(IOperatorStaking.WrongSigner.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }
}

/// @dev Whoever has an operator's hot key signs what they like.
contract StolenKeyTest is SignedFixture {
    uint96 private constant LIMIT = 3 * BOND;

    function setUp() public override {
        super.setUp();
        operator.setSigner(signer, LIMIT);
    }

    function test_attack_stolenKey_locksNoMoreThanItsLimit() external {
        for (uint64 i; i < 3; ++i) {
            _steal(i);
        }
        (SignedOptions memory options, Signature memory signature) = _stolen(3);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOperatorStaking.SignerLimitReached.selector, operator, LIMIT + BOND, LIMIT
            )
        );
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_stolenKey_isBoundByWhatIsLockedOtherwise() external {
        _propose(_ask());
        _steal(0);
        _steal(1);
        (SignedOptions memory options, Signature memory signature) = _stolen(2);
        cheats.expectPartialRevert(IOperatorStaking.SignerLimitReached.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    /// @dev Each lie frees its bond when it is slashed, but then the key is nobody's.
    function test_attack_stolenKey_losesNoMoreThanItsLimitOverAll() external {
        Request[] memory lies = new Request[](3);
        Proposal[] memory proposals = new Proposal[](3);
        for (uint64 i; i < 3; ++i) {
            (lies[i], proposals[i]) = _steal(i);
        }
        for (uint256 i; i < 3; ++i) {
            _slash(lies[i], proposals[i]);
        }
        _assertAccount(address(operator), STAKE - LIMIT, 0, 1);
        (SignedOptions memory options, Signature memory signature) = _stolen(4);
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorStaking.WrongSigner.selector, operator, signer)
        );
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    /// @dev A limit below what is locked stops a signer, and touches nothing else.
    function test_attack_stolenKey_isStoppedByALowerLimit() external {
        (Request memory request, Proposal memory proposal) = _steal(0);
        operator.setSigner(signer, 0);
        (SignedOptions memory options, Signature memory signature) = _stolen(1);
        cheats.expectPartialRevert(IOperatorStaking.SignerLimitReached.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        _settle(request, proposal);
    }

    function _stolen(uint64 nonce)
        private
        view
        returns (SignedOptions memory options, Signature memory signature)
    {
        options = _signedOptionsFor(address(operator));
        options.nonce = nonce;
        Request memory request = _signedRequest(address(consumer), FEE, options);
        signature = _signed("signer", request, OUTPUT);
    }

    function _steal(uint64 nonce)
        private
        returns (Request memory request, Proposal memory proposal)
    {
        (SignedOptions memory options, Signature memory signature) = _stolen(nonce);
        request = _signedRequest(address(consumer), FEE, options);
        proposal = _proposalOf(address(operator), request);
        proposal.origin = proposal.origin.bySigner();
        _infer(consumer, options, OUTPUT, signature);
    }
}

/// @dev A root is also the root of the payload and zeros behind it: the length must be asked for wherever one is given.
contract LengthTest is SignedFixture {
    bytes private _more = bytes.concat(ENDS_IN_ZERO, bytes4(0));
    bytes private _less = hex"410000004100000041000000410000004100000041000000410000003f80";

    bytes private constant ENDS_IN_ZERO =
        hex"410000004100000041000000410000004100000041000000410000003f800000";

    function test_attack_zerosAtTheEnd_shareTheRoot() external view {
        vm.assertEq(rootOf(_more), rootOf(ENDS_IN_ZERO));
        vm.assertEq(rootOf(_less), rootOf(ENDS_IN_ZERO));
    }

    function test_attack_zerosAddedOrCut_atPropose() external {
        Request memory request = _ask();
        _expectWrongLength(request, _more);
        operator.propose(request, _more);
        _expectWrongLength(request, _less);
        operator.propose(request, _less);
    }

    function test_attack_zerosAddedOrCut_atInferAndProposeSigned() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory signature = _signed("author", request, ENDS_IN_ZERO);
        _expectWrongLength(request, _more);
        this.infer{value: FEE}(consumer, model, options, _more, signature);
        Request memory open = _ask();
        _expectWrongLength(open, _less);
        queue.proposeSigned(open, author, _less, signature);
    }

    function test_attack_zerosAddedOrCut_atSettle() external {
        (Request memory request, Proposal memory proposal) = _proposed();
        _warpToFinal(proposal);
        _expectWrongLength(request, _more);
        queue.settle(request, proposal, _more);
        _expectWrongLength(request, _less);
        queue.settle(request, proposal, _less);
    }

    function test_attack_zerosAddedOrCut_atSettleBatch() external {
        (Request memory request, Proposal memory proposal) = _proposed();
        _warpToFinal(proposal);
        IInferenceQueue.Settlement[] memory items = _settlements(request, proposal);
        items[0].output = _more;
        queue.settleBatch(items);
        items[0].output = _less;
        queue.settleBatch(items);
        _assertStatus(request, Status.Proposed);
        vm.assertEq(consumer.calls(), 0);
    }

    function test_attack_zerosAddedOrCut_atRequireProposedAndFinal() external {
        (Request memory request, Proposal memory proposal) = _proposed();
        _expectWrongLength(request, _more);
        queue.requireProposed(request, proposal, _more);
        _warpToFinal(proposal);
        _expectWrongLength(request, _less);
        queue.requireFinal(request, proposal, _less);
        queue.requireFinal(request, proposal, ENDS_IN_ZERO);
    }

    function test_attack_zerosAddedOrCut_atRetryCallback() external {
        Options memory options = _optionsWithGas(1);
        Request memory request = _ask(consumer, FEE, options);
        Proposal memory proposal = _proposalOf(address(operator), request);
        operator.propose(request, ENDS_IN_ZERO);
        _warpToFinal(proposal);
        queue.settle(request, proposal, ENDS_IN_ZERO);
        _assertStatus(request, Status.Settled, true);
        _expectWrongLength(request, _more);
        queue.retryCallback(request, proposal, _more);
        queue.retryCallback(request, proposal, ENDS_IN_ZERO);
        vm.assertEq(consumer.lastOutput(), ENDS_IN_ZERO);
    }

    /// @dev A proposal that lies about the length is another.
    function testFuzz_attack_proposalWithAnotherLength_isUnknown(uint32 length) external {
        vm.assume(length != OUTPUT.length);
        (Request memory request, Proposal memory proposal) = _proposed();
        _warpToFinal(proposal);
        uint256 lie = (_unwrapped(proposal) & ~uint256(type(uint32).max)) | length;
        bytes memory data =
            abi.encodeCall(IInferenceQueue.settle, (request, proposal, new bytes(length % 4096)));
        assembly ("memory-safe") {
            // selector, then the request's seven words
            mstore(add(data, add(36, 224)), lie)
        }
        (bool isSuccess,) = address(queue).call(data);
        vm.assertFalse(isSuccess);
    }

    /// @dev And so is one that has another root for the same bytes.
    function test_attack_signedLength_isBound() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Signature memory signature = _signed("author", request, _more);
        cheats.expectPartialRevert(IOperatorStaking.WrongSigner.selector);
        this.infer{value: FEE}(consumer, model, options, ENDS_IN_ZERO, signature);
    }

    function _proposed() private returns (Request memory request, Proposal memory proposal) {
        request = _ask();
        proposal = _proposalOf(address(operator), request);
        operator.propose(request, ENDS_IN_ZERO);
    }

    function _unwrapped(Proposal memory proposal) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(proposal)
        }
    }

    function _expectWrongLength(Request memory request, bytes memory output) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.WrongOutputLength.selector,
                _idOf(request),
                output.length,
                OUTPUT.length
            )
        );
    }
}

/// @dev Uses a signed answer while it is being made.
contract ConstructedConsumer {
    constructor(
        IInferenceQueue queue,
        ModelId model,
        bytes memory input,
        SignedOptions memory options,
        bytes memory output,
        Signature memory signature
    ) payable {
        queue.infer{value: msg.value}(model, input, options, output, signature);
    }
}

/// @dev Runs another's code as its own.
contract ProxyConsumer {
    address private immutable CODE;

    constructor(address code) payable {
        CODE = code;
    }

    fallback() external payable {
        address code = CODE;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), code, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}

/// @dev Who calls, and from where.
contract CallerTest is SignedFixture {
    /// @dev Whoever sees the consumer's transaction can make it their own. It is the consumer's all the same: the answer
    /// is for it, and so are the refund and the one use.
    function test_attack_copiedCallOfTheConsumer_isTheConsumersAllTheSame() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        vm.deal(stranger, FEE);
        vm.prank(stranger);
        consumer.useSigned{value: FEE}(model, INPUT, options, OUTPUT, signature);
        Request memory request = _signedRequest(address(consumer), FEE, options);
        _assertStatus(request, Status.Proposed);
        _expectWrongStatus(request, Status.Proposed, Status.None);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_attack_inferFromAConstructor() external {
        address who = cheats.computeCreateAddress(address(this), cheats.getNonce(address(this)));
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(who, FEE, options);
        Signature memory signature = _signed("author", request, OUTPUT);
        new ConstructedConsumer{value: FEE}(queue, model, INPUT, options, OUTPUT, signature);
        _assertStatus(request, Status.Proposed);
        // Nobody was called: there was no callback to ask for.
        _settle(request, _proposalOf(author, request));
    }

    /// @dev The proxy is the consumer, whatever code it runs.
    function test_attack_inferFromAProxy() external {
        RecordingConsumer proxy =
            RecordingConsumer(payable(address(new ProxyConsumer(address(consumer)))));
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        cheats.expectPartialRevert(IOperatorStaking.WrongSigner.selector);
        this.infer{value: FEE}(proxy, model, options, OUTPUT, signature);
        Request memory request = _signedRequest(address(proxy), FEE, options);
        _infer(proxy, options, OUTPUT, _signed("author", request, OUTPUT));
        _assertStatus(request, Status.Proposed);
    }

    function test_attack_inferWithReentrancy() external {
        ReenteringConsumer reentering = new ReenteringConsumer{value: 2 * FEE}(queue);
        SignedOptions memory options = _signedOptions();
        options.callbackGas = 1_000_000;
        Request memory request = _signedRequest(address(reentering), FEE, options);
        Signature memory signature = _signed("author", request, OUTPUT);
        ReenteringConsumer.Call[] memory calls = new ReenteringConsumer.Call[](2);
        calls[0] = ReenteringConsumer.Call(
            FEE, abi.encodeCall(IInferenceQueue.infer, (model, INPUT, options, OUTPUT, signature))
        );
        calls[1] = ReenteringConsumer.Call(
            0, abi.encodeCall(IInferenceQueue.proposeSigned, (request, author, OUTPUT, signature))
        );
        reentering.arm(calls);
        Proposal memory proposal = _proposalOf(author, request);
        reentering.useSigned{value: FEE}(model, INPUT, options, OUTPUT, signature);
        _settle(request, proposal);
        ReenteringConsumer.Outcome[] memory outcomes = reentering.outcomes();
        vm.assertEq(outcomes.length, 2);
        vm.assertFalse(outcomes[0].isSuccess);
        vm.assertFalse(outcomes[1].isSuccess);
        _assertAccount(author, STAKE + FEE - ROYALTY, 0, 0);
    }

    /// @dev Without room in the stake there is no answer, and nothing is taken.
    function test_attack_freeStakeDrainedByValidSignatures() external {
        SignedOptions memory options = _signedOptions();
        uint256 most = STAKE / BOND;
        for (uint64 i; i < most; ++i) {
            options.nonce = i;
            _infer(options);
        }
        _assertAccount(author, STAKE, STAKE, 0);
        options.nonce = uint64(most);
        Signature memory signature = _signed(options);
        uint256 before = address(this).balance;
        vm.expectRevert(
            abi.encodeWithSelector(IOperatorStaking.InsufficientStake.selector, author, 0, BOND)
        );
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        vm.assertEq(address(this).balance, before);
    }

    /// @dev A request of the same second and words as one with a caller's nonce: never the same id.
    function test_attack_twinsIdOccupied() external {
        Request memory first = _ask();
        Options memory twin = _options();
        SignedOptions memory options = SignedOptions({
            operator: author,
            bond: twin.bond,
            window: twin.window,
            deadline: uint64(_time() + 10 minutes),
            callbackGas: twin.callbackGas,
            refundTo: twin.refundTo,
            maxOutputLength: 0,
            nonce: 1
        });
        // The block's entropy is none, so that only the nonce can tell the two apart.
        cheats.prevrandao(0);
        twin.operator = author;
        twin.timeout = 10 minutes;
        RequestId signed = _infer(consumer, options, OUTPUT, _signed(options));
        _ask(consumer, FEE, twin);
        Request memory second = _ask(consumer, FEE, twin);
        vm.assertEq(uint64(second.timing >> 64), 1);
        vm.assertNotEq(RequestId.unwrap(_idOf(second)), RequestId.unwrap(signed));
        _assertStatus(second, Status.Requested);
        _assertStatus(first, Status.Requested);
    }
}
