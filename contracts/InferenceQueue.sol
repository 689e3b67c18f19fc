// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IInferenceQueue, Options} from "./interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "./interfaces/IModelRegistry.sol";
import {Callback} from "./libraries/Callback.sol";
import {Float32} from "./libraries/Float32.sol";
import {ModelTerms} from "./libraries/ModelTerms.sol";
import {Request, RequestLibrary} from "./libraries/Request.sol";
import {RequestId, RequestState, RequestStateLibrary, Status} from "./libraries/RequestState.sol";
import {OperatorStaking} from "./OperatorStaking.sol";

/// @title InferenceQueue
contract InferenceQueue is IInferenceQueue, OperatorStaking {
    uint256 private constant MAX_CALLBACK_GAS = 10_000_000;
    uint256 private constant MIN_TIMEOUT = 1;
    uint256 private constant MAX_TIMEOUT = 365 days;

    address public immutable REGISTRY;
    address public immutable DISPUTES;
    uint256 public immutable MIN_BOND;
    uint256 public immutable MIN_WINDOW;
    uint256 public immutable MAX_WINDOW;

    mapping(RequestId id => RequestState) private _states;
    /// @dev Counts requests that equal another of the same second.
    uint128 private _twins;

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
    }

    /* REQUEST */

    /// @inheritdoc IInferenceQueue
    function request(ModelId model, bytes calldata input, Options calldata options)
        external
        payable
        returns (RequestId id)
    {
        ModelTerms terms = IModelRegistry(REGISTRY).termsOf(model);

        require(terms.exists(), UnknownModel(model));
        require(
            input.length == terms.inputLength(),
            WrongInputLength(model, input.length, terms.inputLength())
        );
        _requireValid(options);
        require(msg.value <= type(uint96).max, FeeTooLarge(msg.value, type(uint96).max));
        require(msg.value >= terms.royalty(), FeeBelowRoyalty(msg.value, terms.royalty()));

        Request memory request_ = Request({
            model: model,
            terms: terms,
            inputHash: keccak256(input),
            consumerAndFee: RequestLibrary.pack(msg.sender, msg.value),
            operatorAndBond: RequestLibrary.pack(options.operator, options.bond),
            refundTo: options.refundTo == address(0) ? msg.sender : options.refundTo,
            timing: RequestLibrary.packTiming(
                block.timestamp + options.timeout, options.window, options.callbackGas
            )
        });
        id = request_.idInMemory();
        if (_states[id].status() != Status.None) {
            // The counter is paid for only here. Its value stands in no other request, so the id is new.
            request_.timing |= ++_twins;
            id = request_.idInMemory();
        }
        _states[id] = RequestStateLibrary.requested();

        emit RequestCreated(id, model, request_, input);
    }

    /// @inheritdoc IInferenceQueue
    function expire(Request calldata request_) external {
        RequestId id = request_.id();

        _requireStatus(id, Status.Requested);
        require(block.timestamp >= request_.deadline(), DeadlineNotPassed(id, request_.deadline()));

        _expire(id, request_);
    }

    /* RESULT */

    /// @inheritdoc IInferenceQueue
    function propose(Request calldata request_, bytes calldata output) external {
        RequestId id = request_.id();

        _requireStatus(id, Status.Requested);
        require(block.timestamp < request_.deadline(), DeadlinePassed(id, request_.deadline()));

        _propose(id, request_, output);
    }

    /// @inheritdoc IInferenceQueue
    function proposeBatch(Request[] calldata requests, bytes[] calldata outputs) external {
        require(requests.length == outputs.length, LengthMismatch(requests.length, outputs.length));

        for (uint256 i; i < requests.length; ++i) {
            RequestId id = requests[i].id();
            bool isOpen = _states[id].status() == Status.Requested
                && block.timestamp < requests[i].deadline();
            if (isOpen) _propose(id, requests[i], outputs[i]);
        }
    }

    /// @inheritdoc IInferenceQueue
    function settle(Request calldata request_, Proposal calldata proposal, bytes calldata output)
        external
    {
        RequestId id = request_.id();

        _requireStatus(id, Status.Proposed);
        bytes32 commitment = _requireProposal(id, proposal, keccak256(output));
        _requireStands(id, proposal);

        _settle(id, request_, proposal, output, commitment);
    }

    /// @inheritdoc IInferenceQueue
    function settleBatch(Settlement[] calldata settlements) external {
        for (uint256 i; i < settlements.length; ++i) {
            Settlement calldata item = settlements[i];
            RequestId id = item.request.id();
            bytes32 commitment = _commitmentOf(item.proposal, keccak256(item.output));
            RequestState state = _states[id];
            bool isOpen = state.status() == Status.Proposed && state.commitsTo(commitment);
            if (isOpen && !_isVoid(item.proposal)) {
                _settle(id, item.request, item.proposal, item.output, commitment);
            }
        }
    }

    /// @inheritdoc IInferenceQueue
    function retryCallback(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external {
        RequestId id = request_.id();

        require(_states[id].isCallbackOwed(), NoCallbackOwed(id));
        bytes32 commitment = _requireProposal(id, proposal, keccak256(output));

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
    function reopen(Request calldata request_, Proposal calldata proposal, bytes32 outputHash)
        external
    {
        RequestId id = request_.id();

        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputHash);
        require(_isVoid(proposal), ProposalNotVoid(id, proposal.operator, proposal.epoch));
        // Until then its lie can still be proven, and its bond is what pays for the proof.
        require(block.timestamp >= proposal.settleAt, WindowNotOver(id, proposal.settleAt));

        _release(proposal.operator, request_.bond(), 0);
        _reopen(id, request_, proposal.operator);
    }

    /// @inheritdoc IInferenceQueue
    function slash(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputHash,
        address challenger
    ) external {
        RequestId id = request_.id();

        require(msg.sender == DISPUTES, NotDisputes(msg.sender, DISPUTES));
        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputHash);
        // INVARIANT: finalResultsStayFinal
        require(block.timestamp < proposal.settleAt, WindowOver(id, proposal.settleAt));

        _reopen(id, request_, proposal.operator);

        _slash(proposal.operator, proposal.epoch, request_.bond(), challenger, request_.refundTo);
    }

    /// @inheritdoc IInferenceQueue
    function moveWindow(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputHash,
        uint256 settleAt
    ) external returns (Proposal memory moved) {
        RequestId id = request_.id();

        require(msg.sender == DISPUTES, NotDisputes(msg.sender, DISPUTES));
        _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, outputHash);
        // INVARIANT: finalResultsStayFinal
        require(block.timestamp < proposal.settleAt, WindowOver(id, proposal.settleAt));

        moved = proposal;
        moved.settleAt = uint64(settleAt);
        // INVARIANT: settledOnlyAfterWindow. And what a slash voided stays void: the slash was not later than now.
        require(block.timestamp < moved.settleAt, WindowNotLater(id, moved.settleAt));

        _states[id] = RequestStateLibrary.proposed(_commitmentOf(moved, outputHash));

        emit WindowMoved(id, proposal.operator, moved);
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

        // Measured by `./dev bench gas`: propose and settle of an empty output, and 50 gas for each of its bytes, which
        // stand in two transactions and an event.
        uint256 operatorGas = 100_000 + 50 * terms.outputLength() + callbackGas;
        return terms.royalty() + operatorGas * gasPrice;
    }

    /// @inheritdoc IInferenceQueue
    function requireFinal(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external view {
        uint256 secondsLeft = requireProposed(request_, proposal, output);
        require(secondsLeft == 0, WindowNotOver(request_.id(), proposal.settleAt));
    }

    /// @inheritdoc IInferenceQueue
    function requireProposed(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) public view returns (uint256 secondsLeft) {
        RequestId id = request_.id();
        bool isSettled = _states[id].status() == Status.Settled;
        if (!isSettled) _requireStatus(id, Status.Proposed);
        _requireProposal(id, proposal, keccak256(output));
        if (isSettled) return 0;

        _requireStands(id, proposal);
        return block.timestamp >= proposal.settleAt ? 0 : proposal.settleAt - block.timestamp;
    }

    /// @inheritdoc IInferenceQueue
    function statusOf(RequestId id) external view returns (Status status, bool isCallbackOwed) {
        RequestState state = _states[id];
        return (state.status(), state.isCallbackOwed());
    }

    /// @inheritdoc IInferenceQueue
    function idOf(Request calldata request_) external view returns (RequestId) {
        return request_.id();
    }

    function _commitmentOf(Proposal memory proposal, bytes32 outputHash)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(proposal, outputHash));
    }

    /* STEPS */

    /// @dev The caller has checked that the request is open.
    function _propose(RequestId id, Request calldata request_, bytes calldata output) private {
        bool isChosen = request_.operator() == address(0) || request_.operator() == msg.sender;
        require(isChosen, NotChosenOperator(id, msg.sender, request_.operator()));
        uint256 needed = request_.terms.outputLength();
        require(output.length == needed, WrongOutputLength(id, output.length, needed));
        if (request_.terms.hasFloat32Output()) {
            uint256 offset = Float32.firstNonCanonical(output);
            require(offset == output.length, NonCanonicalOutput(id, offset));
        }

        Proposal memory proposal = Proposal({
            operator: msg.sender,
            epoch: _lock(msg.sender, request_.bond()),
            proposedAt: uint64(block.timestamp),
            settleAt: uint64(block.timestamp) + request_.window()
        });
        _states[id] = RequestStateLibrary.proposed(_commitmentOf(proposal, keccak256(output)));

        emit ResultProposed(id, msg.sender, proposal, output);
    }

    /// @dev The caller has checked that the proposal is the request's and not void.
    function _settle(
        RequestId id,
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output,
        bytes32 commitment
    ) private {
        require(block.timestamp >= proposal.settleAt, WindowNotOver(id, proposal.settleAt));

        uint256 royalty = request_.terms.royalty();
        uint256 earned = request_.fee() - royalty;
        _states[id] = RequestStateLibrary.settled(commitment, false);
        _release(proposal.operator, request_.bond(), earned);
        _credit(request_.terms.publisher(), royalty);

        emit RequestSettled(id, proposal.operator);

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
        _credit(request_.refundTo, request_.fee());

        emit RequestExpired(id, request_.refundTo, request_.fee());
    }

    /* CHECKS */

    function _requireValid(Options calldata options) private view {
        require(options.bond >= MIN_BOND, BondTooSmall(options.bond, MIN_BOND));
        require(
            options.window >= MIN_WINDOW && options.window <= MAX_WINDOW,
            WindowOutOfRange(options.window, MIN_WINDOW, MAX_WINDOW)
        );
        require(
            options.timeout >= MIN_TIMEOUT && options.timeout <= MAX_TIMEOUT,
            TimeoutOutOfRange(options.timeout, MIN_TIMEOUT, MAX_TIMEOUT)
        );
        require(
            options.callbackGas <= MAX_CALLBACK_GAS,
            CallbackGasTooHigh(options.callbackGas, MAX_CALLBACK_GAS)
        );
    }

    function _requireStatus(RequestId id, Status needed) private view {
        Status actual = _states[id].status();
        require(actual == needed, WrongStatus(id, actual, needed));
    }

    function _requireProposal(RequestId id, Proposal calldata proposal, bytes32 outputHash)
        private
        view
        returns (bytes32 commitment)
    {
        commitment = _commitmentOf(proposal, outputHash);
        require(_states[id].commitsTo(commitment), WrongProposal(id));
    }

    function _requireStands(RequestId id, Proposal calldata proposal) private view {
        require(!_isVoid(proposal), ProposalVoid(id, proposal.operator, proposal.epoch));
    }

    /// @dev A slash voids what was not final at that moment; what was stays final, settled or not.
    function _isVoid(Proposal calldata proposal) private view returns (bool) {
        if (proposal.epoch == _epochOf(proposal.operator)) return false;
        return slashedAt(proposal.operator, proposal.epoch) < proposal.settleAt;
    }
}
