// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IInferenceQueue, Options, SignedOptions} from "./interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "./interfaces/IModelRegistry.sol";
import {Answer, Signature} from "./libraries/Answer.sol";
import {Callback} from "./libraries/Callback.sol";
import {Float32} from "./libraries/Float32.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {ModelTerms} from "./libraries/ModelTerms.sol";
import {Origin, OriginLibrary, Proposal, WindowLibrary} from "./libraries/Proposal.sol";
import {Request, RequestLibrary} from "./libraries/Request.sol";
import {RequestId, RequestState, RequestStateLibrary, Status} from "./libraries/RequestState.sol";
import {OperatorStaking} from "./OperatorStaking.sol";

/// @title InferenceQueue
contract InferenceQueue is IInferenceQueue, OperatorStaking {
    uint256 private constant MAX_CALLBACK_GAS = 10_000_000;
    uint256 private constant MIN_TIMEOUT = 1;
    uint256 private constant MAX_TIMEOUT = 365 days;
    /// @dev Until it the operator keeps a bond free for what it signed, and after a slash the fee waits for it.
    uint256 private constant MAX_SIGNED_TIMEOUT = 1 hours;

    address public immutable REGISTRY;
    address public immutable DISPUTES;
    uint256 public immutable MIN_BOND;
    uint256 public immutable MIN_WINDOW;
    uint256 public immutable MAX_WINDOW;
    uint256 private immutable SCOPE;
    bytes32 private immutable DOMAIN;

    mapping(RequestId id => RequestState) private _states;
    /// @dev Counts requests that equal another of the same second.
    uint64 private _twins;

    constructor(
        address registry,
        address disputes,
        uint256 minBond,
        uint256 minWindow,
        uint256 maxWindow,
        uint256 withdrawalDelay
    ) OperatorStaking(withdrawalDelay) {
        // A window of zero would make a lie final at once.
        require(minWindow != 0 && minWindow <= maxWindow, WindowOutOfRange(minWindow, 1, maxWindow));

        REGISTRY = registry;
        DISPUTES = disputes;
        MIN_BOND = minBond;
        MIN_WINDOW = minWindow;
        MAX_WINDOW = maxWindow;
        SCOPE = RequestLibrary.scopeOf(address(this));
        DOMAIN = Answer.domainOf(address(this));
    }

    /* REQUEST */

    /// @inheritdoc IInferenceQueue
    function request(ModelId model, bytes calldata input, Options calldata options)
        external
        payable
        returns (RequestId id)
    {
        ModelTerms terms = _termsFor(model, input);
        _requireValid(options.bond, options.window, options.callbackGas);
        require(
            options.timeout >= MIN_TIMEOUT && options.timeout <= MAX_TIMEOUT,
            TimeoutOutOfRange(options.timeout, MIN_TIMEOUT, MAX_TIMEOUT)
        );

        uint256 deadline = block.timestamp + options.timeout;
        uint64 entropy = options.entropy == 0 ? uint64(block.prevrandao) : options.entropy;
        Request memory request_ = Request({
            model: model,
            terms: terms,
            inputRoot: Merkle.payloadRoot(input),
            consumerAndFee: RequestLibrary.pack(msg.sender, msg.value),
            operatorAndBond: RequestLibrary.pack(options.operator, options.bond),
            refundToAndLengths: _packLengths(
                model, terms, options.refundTo, input.length, options.maxOutputLength
            ),
            timing: RequestLibrary.packTiming(
                deadline, options.window, options.callbackGas, 0, entropy
            )
        });
        id = request_.idInMemory(SCOPE);
        if (_states[id].status() != Status.None) {
            // The counter is paid for only here. Its value stands in no other request, so the id is new.
            request_.timing |= uint256(++_twins) << 64;
            id = request_.idInMemory(SCOPE);
        }
        _states[id] = RequestStateLibrary.requested();

        emit RequestCreated(id, model, request_, input);
    }

    /// @inheritdoc IInferenceQueue
    function infer(
        ModelId model,
        bytes calldata input,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) external payable returns (RequestId id) {
        Request memory request_ = _signedRequest(model, input, options);
        id = request_.idInMemory(SCOPE);
        _requireStatus(id, Status.None);
        require(!request_.terms.isSampled(), SampleNotSigned(id));
        _requireProvable(id, request_.terms);

        emit RequestCreated(id, model, request_, input);

        uint256 maxLength = uint32(request_.refundToAndLengths);
        bytes32 outputRoot = _rootOf(id, request_.terms, maxLength, output);
        uint32 epoch = _lock(options.operator, options.bond);
        Origin origin =
            _requireSigned(id, options.operator, epoch, outputRoot, output.length, signature);
        _post(id, origin, options.window, outputRoot, output);
    }

    /// @inheritdoc IInferenceQueue
    function expire(Request calldata request_) external {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Requested);
        require(block.timestamp >= request_.deadline(), DeadlineNotPassed(id, request_.deadline()));

        _expire(id, request_);
    }

    /* RESULT */

    /// @inheritdoc IInferenceQueue
    function propose(Request calldata request_, bytes calldata output) external {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Requested);
        require(block.timestamp < request_.deadline(), DeadlinePassed(id, request_.deadline()));

        _propose(id, request_, output);
    }

    /// @inheritdoc IInferenceQueue
    function proposeSigned(
        Request calldata request_,
        address operator,
        bytes calldata output,
        Signature calldata signature
    ) external {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Requested);
        require(block.timestamp < request_.deadline(), DeadlinePassed(id, request_.deadline()));
        _requireMayAnswer(id, request_, operator);
        _requireProvable(id, request_.terms);

        bytes32 outputRoot = _rootOf(id, request_.terms, request_.maxOutputLength(), output);
        uint32 epoch = _lock(operator, request_.bond());
        Origin origin = _requireSigned(id, operator, epoch, outputRoot, output.length, signature);
        _post(id, origin, request_.window(), outputRoot, output);
    }

    /// @inheritdoc IInferenceQueue
    function proposeBatch(Request[] calldata requests, bytes[] calldata outputs) external {
        require(requests.length == outputs.length, LengthMismatch(requests.length, outputs.length));

        for (uint256 i; i < requests.length; ++i) {
            RequestId id = requests[i].id(SCOPE);
            bool isOpen = _states[id].status() == Status.Requested
                && block.timestamp < requests[i].deadline();
            if (isOpen) _propose(id, requests[i], outputs[i]);
        }
    }

    /// @inheritdoc IInferenceQueue
    function settle(Request calldata request_, Proposal calldata proposal, bytes calldata output)
        external
    {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Proposed);
        bytes32 commitment = _requireOutput(id, proposal, output);
        _requireStands(id, proposal);

        _settle(id, request_, proposal, output, commitment);
    }

    /// @inheritdoc IInferenceQueue
    function settleBatch(Settlement[] calldata settlements) external {
        for (uint256 i; i < settlements.length; ++i) {
            Settlement calldata item = settlements[i];
            RequestId id = item.request.id(SCOPE);
            bytes32 commitment = _commitmentOf(item.proposal, Merkle.payloadRoot(item.output));
            bool isWhole = item.output.length == item.proposal.origin.outputLength();
            if (isWhole && _isToSettle(id, item.proposal, commitment)) {
                _settle(id, item.request, item.proposal, item.output, commitment);
            }
        }
    }

    /// @inheritdoc IInferenceQueue
    function settleByRoot(Request calldata request_, Proposal calldata proposal, bytes32 outputRoot)
        external
    {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Proposed);
        bytes32 commitment = _requireProposal(id, proposal, outputRoot);
        _requireStands(id, proposal);
        _requireNoCallback(id, request_);

        _settle(id, request_, proposal, msg.data[:0], commitment);
    }

    /// @inheritdoc IInferenceQueue
    function settleBatchByRoot(RootSettlement[] calldata settlements) external {
        for (uint256 i; i < settlements.length; ++i) {
            RootSettlement calldata item = settlements[i];
            RequestId id = item.request.id(SCOPE);
            bytes32 commitment = _commitmentOf(item.proposal, item.outputRoot);
            if (_isToSettle(id, item.proposal, commitment)) {
                _requireNoCallback(id, item.request);
                _settle(id, item.request, item.proposal, msg.data[:0], commitment);
            }
        }
    }

    /// @inheritdoc IInferenceQueue
    function retryCallback(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external {
        RequestId id = request_.id(SCOPE);

        require(_states[id].isCallbackOwed(), NoCallbackOwed(id));
        bytes32 commitment = _requireOutput(id, proposal, output);

        _states[id] = RequestStateLibrary.settled(commitment, false);

        (bool delivered, bytes memory reason) =
            Callback.deliver(request_.consumer(), request_.callbackGas(), true, id, output);
        if (delivered) {
            emit CallbackRetried(id, request_.consumer());
        } else {
            _states[id] = RequestStateLibrary.settled(commitment, true);
            emit CallbackFailed(id, request_.consumer(), reason);
        }
    }

    /* FAULT */

    /// @inheritdoc IInferenceQueue
    function reopen(Request calldata request_, Proposal calldata proposal, bytes32 outputRoot)
        external
    {
        RequestId id = request_.id(SCOPE);

        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputRoot);
        require(
            _isVoid(proposal),
            ProposalNotVoid(id, proposal.origin.operator(), proposal.origin.epoch())
        );
        // Until then its lie can still be proven, and its bond is what pays for the proof.
        require(
            block.timestamp >= proposal.window.settleAt(),
            WindowNotOver(id, proposal.window.settleAt())
        );

        _release(proposal.origin.operator(), request_.bond(), 0);
        _reopen(id, request_, proposal.origin.operator());
    }

    /// @inheritdoc IInferenceQueue
    function slash(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputRoot,
        address challenger
    ) external {
        RequestId id = request_.id(SCOPE);

        require(msg.sender == DISPUTES, NotDisputes(msg.sender, DISPUTES));
        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputRoot);
        // INVARIANT: finalResultsStayFinal
        require(
            block.timestamp < proposal.window.settleAt(), WindowOver(id, proposal.window.settleAt())
        );

        _reopen(id, request_, proposal.origin.operator());

        _slash(
            proposal.origin.operator(),
            proposal.origin.epoch(),
            request_.bond(),
            challenger,
            request_.refundTo()
        );
    }

    /// @inheritdoc IInferenceQueue
    function moveWindow(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputRoot,
        uint256 settleAt
    ) external returns (Proposal memory moved) {
        RequestId id = request_.id(SCOPE);

        require(msg.sender == DISPUTES, NotDisputes(msg.sender, DISPUTES));
        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputRoot);
        // INVARIANT: finalResultsStayFinal
        require(
            block.timestamp < proposal.window.settleAt(), WindowOver(id, proposal.window.settleAt())
        );

        moved = Proposal(proposal.origin, proposal.window.movedTo(uint64(settleAt)));
        uint64 movedTo = moved.window.settleAt();
        // INVARIANT: settledOnlyAfterWindow. And what a slash voided stays void: the slash was not later than now.
        require(block.timestamp < movedTo, WindowNotLater(id, movedTo));

        _states[id] = RequestStateLibrary.proposed(_commitmentOf(moved, outputRoot));

        emit WindowMoved(id, proposal.origin.operator(), moved);
    }

    /* VIEWS */

    /// @inheritdoc IInferenceQueue
    function quote(ModelId model, uint256 callbackGas, uint256 gasPrice)
        external
        view
        returns (uint256 fee)
    {
        ModelTerms terms = IModelRegistry(REGISTRY).termsOf(model);
        require(terms.exists(), UnknownModel(model));

        // Measured by `./dev bench gas`: propose and settle of an empty output, and 42 gas for each of its bytes in a
        // transaction, by the floor of EIP-7623. Where nobody is called back, the output's root settles.
        uint256 copies = callbackGas == 0 ? 1 : 2;
        uint256 operatorGas = 100_000 + 42 * copies * terms.outputLength() + callbackGas;
        return terms.royalty() + operatorGas * gasPrice;
    }

    /// @inheritdoc IInferenceQueue
    function requireFinal(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external view {
        uint256 secondsLeft = requireProposed(request_, proposal, output);
        require(secondsLeft == 0, WindowNotOver(request_.id(SCOPE), proposal.window.settleAt()));
    }

    /// @inheritdoc IInferenceQueue
    function requireProposed(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) public view returns (uint256 secondsLeft) {
        RequestId id = request_.id(SCOPE);
        bool isSettled = _states[id].status() == Status.Settled;
        if (!isSettled) _requireStatus(id, Status.Proposed);
        _requireOutput(id, proposal, output);
        if (isSettled) return 0;

        _requireStands(id, proposal);
        uint256 settleAt = proposal.window.settleAt();
        return block.timestamp >= settleAt ? 0 : settleAt - block.timestamp;
    }

    /// @inheritdoc IInferenceQueue
    function statusOf(RequestId id) external view returns (Status status, bool isCallbackOwed) {
        RequestState state = _states[id];
        return (state.status(), state.isCallbackOwed());
    }

    /// @inheritdoc IInferenceQueue
    function idOf(Request calldata request_) external view returns (RequestId) {
        return request_.id(SCOPE);
    }

    /// @return commitment keccak256(abi.encode(proposal, outputRoot)), without a copy of what is hashed.
    function _commitmentOf(Proposal memory proposal, bytes32 outputRoot)
        private
        pure
        returns (bytes32 commitment)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, mload(proposal))
            mstore(add(free, 0x20), mload(add(proposal, 0x20)))
            mstore(add(free, 0x40), outputRoot)
            commitment := keccak256(free, 0x60)
        }
    }

    /* STEPS */

    /// @dev What `infer` asks for. The caller is the consumer, so that nobody else can use what was signed for it.
    function _signedRequest(ModelId model, bytes calldata input, SignedOptions calldata options)
        private
        view
        returns (Request memory request_)
    {
        ModelTerms terms = _termsFor(model, input);
        _requireValid(options.bond, options.window, options.callbackGas);
        uint256 maximum = block.timestamp + MAX_SIGNED_TIMEOUT;
        require(
            block.timestamp < options.deadline && options.deadline <= maximum,
            DeadlineOutOfRange(options.deadline, block.timestamp + 1, maximum)
        );

        uint64 nonce = options.nonce | RequestLibrary.CALLERS;
        return Request({
            model: model,
            terms: terms,
            inputRoot: Merkle.payloadRoot(input),
            consumerAndFee: RequestLibrary.pack(msg.sender, msg.value),
            operatorAndBond: RequestLibrary.pack(options.operator, options.bond),
            refundToAndLengths: _packLengths(
                model, terms, options.refundTo, input.length, options.maxOutputLength
            ),
            timing: RequestLibrary.packTiming(
                options.deadline, options.window, options.callbackGas, nonce, 0
            )
        });
    }

    /// @dev The caller has checked that the request is open.
    function _propose(RequestId id, Request calldata request_, bytes calldata output) private {
        _requireMayAnswer(id, request_, msg.sender);
        bytes32 outputRoot = _rootOf(id, request_.terms, request_.maxOutputLength(), output);
        uint32 epoch = _lock(msg.sender, request_.bond());
        Origin origin = OriginLibrary.pack(msg.sender, epoch, output.length);
        _post(id, origin, request_.window(), outputRoot, output);
    }

    /// @dev The caller has checked the output, and locked the bond.
    function _post(
        RequestId id,
        Origin origin,
        uint32 window,
        bytes32 outputRoot,
        bytes calldata output
    ) private {
        uint64 time = uint64(block.timestamp);
        Proposal memory proposal = Proposal(origin, WindowLibrary.pack(time, time + window));
        _states[id] = RequestStateLibrary.proposed(_commitmentOf(proposal, outputRoot));

        emit ResultProposed(id, origin.operator(), proposal, output);
    }

    /// @dev The caller has checked that the proposal is the request's and not void.
    function _settle(
        RequestId id,
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output,
        bytes32 commitment
    ) private {
        require(
            block.timestamp >= proposal.window.settleAt(),
            WindowNotOver(id, proposal.window.settleAt())
        );

        uint256 royalty = request_.terms.royalty();
        uint256 earned = request_.fee() - royalty;
        _states[id] = RequestStateLibrary.settled(commitment, false);
        _release(proposal.origin.operator(), request_.bond(), earned);
        _credit(request_.terms.publisher(), royalty);

        emit RequestSettled(id, proposal.origin.operator());

        bool isCallbackOwed = request_.callbackGas() != 0 && !_callBack(id, request_, output);
        if (isCallbackOwed) _states[id] = RequestStateLibrary.settled(commitment, true);
    }

    function _callBack(RequestId id, Request calldata request_, bytes calldata output)
        private
        returns (bool)
    {
        (bool delivered, bytes memory reason) =
            Callback.deliver(request_.consumer(), request_.callbackGas(), false, id, output);
        if (!delivered) emit CallbackFailed(id, request_.consumer(), reason);
        return delivered;
    }

    function _reopen(RequestId id, Request calldata request_, address operator) private {
        if (block.timestamp >= request_.deadline()) return _expire(id, request_);

        _states[id] = RequestStateLibrary.requested();

        emit RequestReopened(id, operator);
    }

    function _expire(RequestId id, Request calldata request_) private {
        _states[id] = RequestStateLibrary.expired();
        _credit(request_.refundTo(), request_.fee());

        emit RequestExpired(id, request_.refundTo(), request_.fee());
    }

    /* CHECKS */

    /// @return terms Of a model that takes the input, and the fee that was sent.
    function _termsFor(ModelId model, bytes calldata input)
        private
        view
        returns (ModelTerms terms)
    {
        terms = IModelRegistry(REGISTRY).termsOf(model);

        require(terms.exists(), UnknownModel(model));
        uint256 needed = terms.inputLength();
        require(terms.admits(input.length, needed), WrongInputLength(model, input.length, needed));
        require(msg.value <= type(uint96).max, FeeTooLarge(msg.value, type(uint96).max));
        require(msg.value >= terms.royalty(), FeeBelowRoyalty(msg.value, terms.royalty()));
    }

    function _requireValid(uint96 bond, uint32 window, uint32 callbackGas) private view {
        require(bond >= MIN_BOND, BondTooSmall(bond, MIN_BOND));
        require(
            window >= MIN_WINDOW && window <= MAX_WINDOW,
            WindowOutOfRange(window, MIN_WINDOW, MAX_WINDOW)
        );
        require(callbackGas <= MAX_CALLBACK_GAS, CallbackGasTooHigh(callbackGas, MAX_CALLBACK_GAS));
    }

    /// @param refundTo Zero for the caller.
    /// @param maxOutputLength Zero for the model's.
    function _packLengths(
        ModelId model,
        ModelTerms terms,
        address refundTo,
        uint256 inputLength,
        uint256 maxOutputLength
    ) private view returns (uint256) {
        uint256 maximum = terms.outputLength();
        if (maxOutputLength != 0) {
            require(
                terms.admits(maxOutputLength, maximum),
                WrongMaxOutputLength(model, maxOutputLength, maximum)
            );
            maximum = maxOutputLength;
        }
        if (refundTo == address(0)) refundTo = msg.sender;
        return RequestLibrary.packLengths(refundTo, inputLength, maximum);
    }

    function _requireMayAnswer(RequestId id, Request calldata request_, address operator)
        private
        pure
    {
        address chosen = request_.operator();
        bool isChosen = chosen == address(0) || chosen == operator;
        require(isChosen, NotChosenOperator(id, operator, chosen));
    }

    /// @dev Else no bond stands behind the answer: nobody could prove it wrong.
    function _requireProvable(RequestId id, ModelTerms terms) private pure {
        require(terms.isExact(), NotProvable(id));
    }

    function _requireSigned(
        RequestId id,
        address operator,
        uint32 epoch,
        bytes32 outputRoot,
        uint256 outputLength,
        Signature calldata signature
    ) private view returns (Origin origin) {
        address signer = Answer.signerOf(DOMAIN, id, outputRoot, outputLength, epoch, signature);
        require(signer != address(0), NoSignature(id));
        origin = OriginLibrary.pack(operator, epoch, outputLength);
        if (signer == operator) return origin;

        _requireMaySign(signer, operator, epoch);
        return origin.bySigner();
    }

    function _requireNoCallback(RequestId id, Request calldata request_) private pure {
        uint256 callbackGas = request_.callbackGas();
        require(callbackGas == 0, CallbackNeedsOutput(id, callbackGas));
    }

    /// @return outputRoot Of an output that has the form that the model's have.
    function _rootOf(RequestId id, ModelTerms terms, uint256 maxLength, bytes calldata output)
        private
        pure
        returns (bytes32 outputRoot)
    {
        require(
            terms.admits(output.length, maxLength), WrongOutputLength(id, output.length, maxLength)
        );
        if (terms.hasFloat32Output()) {
            uint256 offset = Float32.firstNonCanonical(output);
            require(offset == output.length, NonCanonicalOutput(id, offset));
        }
        return Merkle.payloadRoot(output);
    }

    function _requireStatus(RequestId id, Status needed) private view {
        Status actual = _states[id].status();
        require(actual == needed, WrongStatus(id, actual, needed));
    }

    function _requireProposal(RequestId id, Proposal calldata proposal, bytes32 outputRoot)
        private
        view
        returns (bytes32 commitment)
    {
        commitment = _commitmentOf(proposal, outputRoot);
        require(_states[id].commitsTo(commitment), WrongProposal(id));
    }

    /// @dev The length first: a root is also the root of the output and zeros behind it.
    function _requireOutput(RequestId id, Proposal calldata proposal, bytes calldata output)
        private
        view
        returns (bytes32 commitment)
    {
        uint256 needed = proposal.origin.outputLength();
        require(output.length == needed, WrongOutputLength(id, output.length, needed));
        return _requireProposal(id, proposal, Merkle.payloadRoot(output));
    }

    /// @dev Of a batch: what is settled or void already is passed over.
    function _isToSettle(RequestId id, Proposal calldata proposal, bytes32 commitment)
        private
        view
        returns (bool)
    {
        RequestState state = _states[id];
        bool isOpen = state.status() == Status.Proposed && state.commitsTo(commitment);
        return isOpen && !_isVoid(proposal);
    }

    function _requireStands(RequestId id, Proposal calldata proposal) private view {
        require(
            !_isVoid(proposal),
            ProposalVoid(id, proposal.origin.operator(), proposal.origin.epoch())
        );
    }

    /// @dev A slash voids what was not final at that moment; what was stays final, settled or not.
    function _isVoid(Proposal calldata proposal) private view returns (bool) {
        address operator = proposal.origin.operator();
        uint32 epoch = proposal.origin.epoch();
        if (epoch == _epochOf(operator)) return false;
        return slashedAt(operator, epoch) < proposal.window.settleAt();
    }
}
