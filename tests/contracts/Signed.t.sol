// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    IInferenceQueue,
    Options,
    SignedOptions
} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {IOperatorStaking} from "../../contracts/interfaces/IOperatorStaking.sol";
import {Signature} from "../../contracts/libraries/Answer.sol";
import {ModelTerms} from "../../contracts/libraries/ModelTerms.sol";
import {OriginLibrary, Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {rootOf} from "./RootOf.sol";
import {SignedFixture} from "./SignedFixture.sol";

contract InferTest is SignedFixture {
    function test_infer_movesFromNoneToProposed() external {
        (Request memory request,) = _infer(_signedOptions());
        _assertStatus(request, Status.Proposed);
    }

    function test_infer_returnsIdOf() external {
        SignedOptions memory options = _signedOptions();
        Request memory request = _signedRequest(address(consumer), FEE, options);
        RequestId id = _infer(consumer, options, OUTPUT, _signed(options));
        vm.assertEq(RequestId.unwrap(id), RequestId.unwrap(_idOf(request)));
    }

    function test_infer_emitsRequestCreatedAndResultProposed() external {
        SignedOptions memory options = _signedOptions();
        options.refundTo = stranger;
        options.callbackGas = 7;
        Request memory request = _signedRequest(address(consumer), FEE, options);
        Proposal memory proposal = _proposalOf(author, request);
        RequestId id = _idOf(request);
        Signature memory signature = _signed(options);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.RequestCreated(id, model, request, INPUT);
        vm.expectEmit(address(queue));
        emit IInferenceQueue.ResultProposed(id, author, proposal, OUTPUT);
        _infer(consumer, options, OUTPUT, signature);
    }

    function test_infer_escrowsTheFeeAndLocksTheBond() external {
        uint256 before = address(queue).balance;
        _infer(_signedOptions());
        vm.assertEq(address(queue).balance, before + FEE);
        _assertAccount(author, STAKE, BOND, 0);
    }

    function test_infer_settlesAsAnyProposal() external {
        SignedOptions memory options = _signedOptions();
        options.callbackGas = CALLBACK_GAS;
        (Request memory request, Proposal memory proposal) = _infer(options);
        _settle(request, proposal);
        _assertStatus(request, Status.Settled);
        _assertAccount(author, STAKE + FEE - ROYALTY, 0, 0);
        vm.assertEq(consumer.lastOutput(), OUTPUT);
    }

    function test_infer_isSlashedAsAnyProposal() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        _slash(request, proposal);
        _assertStatus(request, Status.Requested);
        _assertAccount(author, STAKE - BOND, 0, 1);
    }

    function test_infer_expiresAfterASlash() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        _slash(request, proposal);
        _expire(request);
        vm.assertEq(
            queue.creditOf(address(consumer)), FEE + BOND - BOND * 30 / 100 - BOND * 40 / 100
        );
    }

    function test_infer_takesWhatTheSignerSigned() external {
        SignedOptions memory options = _signedOptionsFor(address(operator));
        Request memory request = _signedRequest(address(consumer), FEE, options);
        _infer(consumer, options, OUTPUT, _signed("signer", request, OUTPUT));
        _assertAccount(address(operator), STAKE, BOND, 0);
    }

    function test_infer_tellsRequestsApartByTheNonce() external {
        SignedOptions memory options = _signedOptions();
        _infer(options);
        ++options.nonce;
        _infer(options);
        _assertAccount(author, STAKE, 2 * BOND, 0);
    }

    function test_infer_takesTheLastSecondOfTheDeadlineAndTheFirst() external {
        SignedOptions memory options = _signedOptions();
        options.deadline = uint64(_time() + 1 hours);
        _infer(options);
        vm.warp(options.deadline - 1);
        ++options.nonce;
        _infer(options);
    }

    function test_infer_revertsWhenTheDeadlineHasPassed() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        vm.warp(options.deadline);
        _expectDeadlineOutOfRange(options.deadline);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_infer_revertsWhenTheDeadlineIsFar() external {
        SignedOptions memory options = _signedOptions();
        options.deadline = uint64(_time() + 1 hours + 1);
        Signature memory signature = _signed(options);
        _expectDeadlineOutOfRange(options.deadline);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_infer_revertsWhenVanilla() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        cheats.expectPartialRevert(IInferenceQueue.NotProvable.selector);
        this.infer{value: FEE}(consumer, mixedModel, options, OUTPUT, signature);
    }

    function test_infer_revertsWhenTheOptionsAreOutOfRange() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        options.bond = MIN_BOND - 1;
        cheats.expectPartialRevert(IInferenceQueue.BondTooSmall.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        options.window = MIN_WINDOW - 1;
        cheats.expectPartialRevert(IInferenceQueue.WindowOutOfRange.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        options.callbackGas = uint32(MAX_CALLBACK_GAS + 1);
        cheats.expectPartialRevert(IInferenceQueue.CallbackGasTooHigh.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        options = _signedOptions();
        options.maxOutputLength = uint32(OUTPUT.length - 1);
        cheats.expectPartialRevert(IInferenceQueue.WrongMaxOutputLength.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
        cheats.expectPartialRevert(IInferenceQueue.FeeBelowRoyalty.selector);
        this.infer{value: ROYALTY - 1}(consumer, model, _signedOptions(), OUTPUT, signature);
    }

    function test_infer_revertsWhenTheOutputHasAnotherForm() external {
        SignedOptions memory options = _signedOptions();
        Signature memory signature = _signed(options);
        cheats.expectPartialRevert(IInferenceQueue.WrongOutputLength.selector);
        this.infer{value: FEE}(consumer, model, options, bytes.concat(OUTPUT, bytes1(0)), signature);
        bytes memory odd = OUTPUT;
        (odd[0], odd[1]) = (0x80, 0);
        cheats.expectPartialRevert(IInferenceQueue.NonCanonicalOutput.selector);
        this.infer{value: FEE}(consumer, model, options, odd, signature);
    }

    function _expectDeadlineOutOfRange(uint256 deadline) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.DeadlineOutOfRange.selector,
                deadline,
                _time() + 1,
                _time() + 1 hours
            )
        );
    }
}

contract ProposeSignedTest is SignedFixture {
    function test_proposeSigned_isRelayedByAnybody() external {
        Request memory request = _ask();
        Signature memory signature = _signedFor(author, "author", request);
        vm.prank(stranger);
        queue.proposeSigned(request, author, OUTPUT, signature);
        _assertStatus(request, Status.Proposed);
        _assertAccount(author, STAKE, BOND, 0);
    }

    function test_proposeSigned_emitsResultProposed() external {
        Request memory request = _ask();
        Signature memory signature = _signedFor(address(operator), "signer", request);
        Proposal memory proposal = _proposalOf(address(operator), request);
        proposal.origin = proposal.origin.bySigner();
        vm.expectEmit(address(queue));
        emit IInferenceQueue.ResultProposed(_idOf(request), address(operator), proposal, OUTPUT);
        queue.proposeSigned(request, address(operator), OUTPUT, signature);
    }

    function test_proposeSigned_answersAgainWhatASlashOpened() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        _slash(request, proposal);
        queue.proposeSigned(request, author, OUTPUT, _signedFor(author, "author", request));
        _assertStatus(request, Status.Proposed);
    }

    function test_proposeSigned_revertsWhenAnotherWasChosen() external {
        Request memory request = _ask(consumer, FEE, _optionsFor(address(rival)));
        Signature memory signature = _signedFor(author, "author", request);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.NotChosenOperator.selector, _idOf(request), author, rival
            )
        );
        queue.proposeSigned(request, author, OUTPUT, signature);
    }

    function test_proposeSigned_revertsWhenVanilla() external {
        Request memory request = _ask(consumer, mixedModel, FEE, _options());
        Signature memory signature = _signedFor(author, "author", request);
        cheats.expectPartialRevert(IInferenceQueue.NotProvable.selector);
        queue.proposeSigned(request, author, OUTPUT, signature);
    }

    function test_proposeSigned_revertsWhenLate() external {
        Request memory request = _ask();
        Signature memory signature = _signedFor(author, "author", request);
        vm.warp(_deadlineOf(request));
        cheats.expectPartialRevert(IInferenceQueue.DeadlinePassed.selector);
        queue.proposeSigned(request, author, OUTPUT, signature);
    }

    function test_proposeSigned_revertsWhenAnswered() external {
        Request memory request = _ask();
        Signature memory signature = _signedFor(author, "author", request);
        _propose(request);
        _expectWrongStatus(request, Status.Proposed, Status.Requested);
        queue.proposeSigned(request, author, OUTPUT, signature);
    }

    function _signedFor(address who, string memory name, Request memory request)
        private
        view
        returns (Signature memory)
    {
        uint32 epoch = queue.accountOf(who).epoch;
        return _sign(name, _digest(queue, _idOf(request), OUTPUT, epoch));
    }
}

contract SettleByRootTest is SignedFixture {
    function test_settleByRoot_paysTheOperator() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        _warpToFinal(proposal);
        queue.settleByRoot(request, proposal, rootOf(OUTPUT));
        _assertStatus(request, Status.Settled);
        _assertAccount(author, STAKE + FEE - ROYALTY, 0, 0);
        queue.requireFinal(request, proposal, OUTPUT);
    }

    function test_settleByRoot_revertsWhenACallbackWasAskedFor() external {
        Request memory request = _ask();
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceQueue.CallbackNeedsOutput.selector, _idOf(request), CALLBACK_GAS
            )
        );
        queue.settleByRoot(request, proposal, rootOf(OUTPUT));
    }

    function test_settleByRoot_revertsWhenTheRootIsAnother() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        _warpToFinal(proposal);
        _expectWrongProposal(request);
        queue.settleByRoot(request, proposal, rootOf(OTHER_OUTPUT));
    }

    function test_settleByRoot_revertsWhenTheWindowIsNotOver() external {
        (Request memory request, Proposal memory proposal) = _infer(_signedOptions());
        vm.warp(proposal.window.settleAt() - 1);
        cheats.expectPartialRevert(IInferenceQueue.WindowNotOver.selector);
        queue.settleByRoot(request, proposal, rootOf(OUTPUT));
    }

    function test_settleByRoot_revertsWhenVoid() external {
        SignedOptions memory options = _signedOptions();
        (Request memory request, Proposal memory proposal) = _infer(options);
        ++options.nonce;
        (Request memory lie, Proposal memory lying) = _infer(options);
        _slash(lie, lying);
        _warpToFinal(proposal);
        cheats.expectPartialRevert(IInferenceQueue.ProposalVoid.selector);
        queue.settleByRoot(request, proposal, rootOf(OUTPUT));
    }

    function test_settleBatchByRoot_passesOverWhatIsSettledOrVoid() external {
        SignedOptions memory options = _signedOptions();
        IInferenceQueue.RootSettlement[] memory items = new IInferenceQueue.RootSettlement[](3);
        for (uint256 i; i < 3; ++i) {
            options.nonce = uint64(i);
            (Request memory request, Proposal memory proposal) = _infer(options);
            items[i] = IInferenceQueue.RootSettlement(request, proposal, rootOf(OUTPUT));
        }
        _warpToFinal(items[2].proposal);
        queue.settleByRoot(items[1].request, items[1].proposal, rootOf(OUTPUT));
        items[2].outputRoot = rootOf(OTHER_OUTPUT);
        queue.settleBatchByRoot(items);
        _assertStatus(items[0].request, Status.Settled);
        _assertStatus(items[2].request, Status.Proposed);
        _assertAccount(author, STAKE + 2 * (FEE - ROYALTY), BOND, 0);
    }

    function test_settleBatchByRoot_revertsWhenACallbackWasAskedFor() external {
        Request memory request = _ask();
        Proposal memory proposal = _propose(request);
        _warpToFinal(proposal);
        IInferenceQueue.RootSettlement[] memory items = new IInferenceQueue.RootSettlement[](1);
        items[0] = IInferenceQueue.RootSettlement(request, proposal, rootOf(OUTPUT));
        cheats.expectPartialRevert(IInferenceQueue.CallbackNeedsOutput.selector);
        queue.settleBatchByRoot(items);
    }
}

contract SetSignerTest is SignedFixture {
    function test_setSigner_isSeen() external view {
        IOperatorStaking.Signer memory found = queue.signerOf(address(operator));
        vm.assertEq(found.signer, signer);
        vm.assertEq(found.maxLocked, STAKE);
    }

    function test_setSigner_emitsSignerSet() external {
        vm.expectEmit(address(queue));
        emit IOperatorStaking.SignerSet(address(operator), 0, stranger, 5);
        operator.setSigner(stranger, 5);
    }

    function test_setSigner_lastsForTheEpoch() external {
        Request memory request = _ask();
        _slash(request, _propose(request));
        vm.assertEq(queue.signerOf(address(operator)).signer, address(0));
        operator.setSigner(signer, 5);
        vm.assertEq(queue.signerOf(address(operator)).signer, signer);
    }
}

/// @dev Models that generate, which no registry takes yet: the terms are written into its storage.
contract GeneratingTest is SignedFixture {
    uint256 private constant GENERATES = 4;
    uint256 private constant SAMPLED = 8;
    bytes private constant SHORT = hex"4100000041000000";

    function test_request_takesNoLongerInputThanTheMost() external {
        _addFlags(GENERATES);
        consumer.ask{value: FEE}(model, SHORT, _options());
        consumer.ask{value: FEE}(model, "", _options());
        bytes memory long = bytes.concat(INPUT, bytes1(0));
        cheats.expectPartialRevert(IInferenceQueue.WrongInputLength.selector);
        consumer.ask{value: FEE}(model, long, _options());
    }

    function test_propose_takesNoLongerOutputThanWasAskedFor() external {
        _addFlags(GENERATES);
        Options memory options = _options();
        options.maxOutputLength = uint32(SHORT.length);
        Request memory request = _ask(consumer, FEE, options);
        vm.assertEq(uint32(request.refundToAndLengths), SHORT.length);
        cheats.expectPartialRevert(IInferenceQueue.WrongOutputLength.selector);
        operator.propose(request, OUTPUT);
        operator.propose(request, SHORT);
        _assertStatus(request, Status.Proposed);
    }

    function test_settle_asksForTheLengthThatWasProposed() external {
        _addFlags(GENERATES);
        Request memory request = _ask();
        operator.propose(request, SHORT);
        Proposal memory proposal = _proposalOf(address(operator), request);
        proposal.origin = OriginLibrary.pack(address(operator), 0, SHORT.length);
        _warpToFinal(proposal);
        cheats.expectPartialRevert(IInferenceQueue.WrongOutputLength.selector);
        queue.settle(request, proposal, bytes.concat(SHORT, bytes8(0)));
        queue.settle(request, proposal, SHORT);
        vm.assertEq(consumer.lastOutput(), SHORT);
    }

    function test_request_takesNoLongerOutputThanTheModels() external {
        _addFlags(GENERATES);
        Options memory options = _options();
        options.maxOutputLength = uint32(OUTPUT.length + 1);
        cheats.expectPartialRevert(IInferenceQueue.WrongMaxOutputLength.selector);
        consumer.ask{value: FEE}(model, INPUT, options);
    }

    function test_infer_refusesWhatIsDrawn() external {
        SignedOptions memory options = _signedOptions();
        _addFlags(GENERATES | SAMPLED);
        Signature memory signature = _signed(options);
        cheats.expectPartialRevert(IInferenceQueue.SampleNotSigned.selector);
        this.infer{value: FEE}(consumer, model, options, OUTPUT, signature);
    }

    function test_publish_takesNoModelThatGenerates() external {
        IModelRegistry.Model memory generating = _model();
        generating.generation = keccak256("how");
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.GenerationUnsupported.selector, generating.generation
            )
        );
        publisher.publish(generating, "");
    }

    function _addFlags(uint256 flags) private {
        bytes32 slot = keccak256(abi.encode(model, uint256(0)));
        uint256 terms = uint256(vm.load(address(registry), slot));
        vm.assertEq(terms, ModelTerms.unwrap(registry.termsOf(model)));
        vm.store(address(registry), slot, bytes32(terms | flags));
    }
}
