// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IDisputes} from "./interfaces/IDisputes.sol";
import {IInferenceQueue} from "./interfaces/IInferenceQueue.sol";
import {ModelId} from "./interfaces/IModelRegistry.sol";
import {IOperatorStaking} from "./interfaces/IOperatorStaking.sol";
import {Claim, IReferee, Verdict} from "./interfaces/IReferee.sol";
import {DemandState, DemandStateLibrary, DemandStatus} from "./libraries/DemandState.sol";
import {DescriptorLibrary, Header} from "./libraries/Descriptor.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {Part, PartLibrary} from "./libraries/Part.sol";
import {Origin, Proposal, WindowLibrary} from "./libraries/Proposal.sol";
import {Reader, ReaderLibrary} from "./libraries/Reader.sol";
import {Request, RequestLibrary} from "./libraries/Request.sol";
import {RequestId} from "./libraries/RequestState.sol";
import {TensorType} from "./libraries/TensorType.sol";
import {Trace} from "./libraries/Trace.sol";

/// @title Disputes
contract Disputes is IDisputes {
    /// @dev What is known of a disputed proposal. It is never deleted: a key stands for one proposal for ever.
    /// @param settleAt Seconds: the end of the window while no demand is open, and what it was while one is.
    struct Dispute {
        bytes32 traceRoot;
        address operator;
        uint48 settleAt;
        uint40 openDemands;
        bool isConvicted;
    }

    uint256 private constant MAX_PERIOD = 365 days;

    /// @dev What an answer costs besides its words: 21,000, execution, and the calldata of its terms; measured in
    /// tests/contracts/Gas.t.sol, with every byte taken for one that is not zero.
    uint256 private constant REVEAL_GAS = 110_000;
    /// @dev For each word of the part and of its siblings: calldata, hashing, and the event.
    uint256 private constant REVEAL_GAS_A_WORD = 1_000;
    /// @dev The same where EIP-7623 asks for more: 40 for each byte, and 21,000.
    uint256 private constant FLOOR_GAS = 58_000;
    uint256 private constant FLOOR_GAS_A_WORD = 40 * 32;
    uint256 private constant COLLECT_GAS = 50_000;

    address public immutable QUEUE;
    address public immutable REFEREE;
    uint256 public immutable REVEAL_PERIOD;
    uint256 public immutable REACTION_PERIOD;
    uint256 public immutable EXTENSION_LIMIT;
    uint256 public immutable REVEAL_TIP;
    uint256 private immutable SCOPE;

    mapping(bytes32 dispute => Dispute) private _disputes;
    mapping(bytes32 demand => DemandState) private _demands;
    mapping(bytes32 commitment => uint256 blockNumber) private _commitments;

    constructor(
        address queue,
        address referee,
        uint256 revealPeriod,
        uint256 reactionPeriod,
        uint256 extensionLimit,
        uint256 revealTip
    ) {
        // A demand in the last second of a window must have its time.
        bool isPossible = revealPeriod != 0 && reactionPeriod != 0 && revealPeriod <= MAX_PERIOD
            && reactionPeriod <= MAX_PERIOD && extensionLimit <= MAX_PERIOD
            && revealPeriod + reactionPeriod <= extensionLimit;
        require(isPossible, WrongPeriods(revealPeriod, reactionPeriod, extensionLimit));
        // The base fee may be nothing, now or one day, and a demand would then be free to whoever makes it.
        require(revealTip != 0, ZeroRevealTip());

        QUEUE = queue;
        REFEREE = referee;
        REVEAL_PERIOD = revealPeriod;
        REACTION_PERIOD = reactionPeriod;
        EXTENSION_LIMIT = extensionLimit;
        REVEAL_TIP = revealTip;
        SCOPE = RequestLibrary.scopeOf(queue);
    }

    /* TRACE */

    /// @inheritdoc IDisputes
    function demand(
        Subject calldata subject,
        Part calldata part,
        bytes calldata model,
        bytes calldata descriptors
    ) external payable {
        RequestId id = subject.request.id(SCOPE);
        Demand memory terms = _termsOf(id, subject, part, model, descriptors);
        bytes32 slot = _slotOf(terms.dispute, part);
        Dispute storage dispute = _disputes[terms.dispute];

        _requireTimeToDemand(id, subject);
        _requireNotConvicted(terms.dispute);
        require(_demands[slot].status() == DemandStatus.None, AlreadyDemanded(terms.dispute, part));

        Proposal memory proposal = _standing(subject, dispute);
        _demands[slot] = DemandStateLibrary.open(keccak256(abi.encode(terms)));
        bool isFirst = dispute.openDemands++ == 0;
        if (isFirst) {
            dispute.operator = proposal.origin.operator();
            dispute.settleAt = uint48(proposal.window.settleAt());
        }

        emit PartDemanded(id, terms.dispute, proposal.origin.operator(), terms);

        // The queue finds out whether the proposal is there and open. While a demand is open it is.
        if (isFirst) _moveWindow(subject, proposal, WindowLibrary.SUSPENDED);
    }

    /// @inheritdoc IDisputes
    function reveal(
        Subject calldata subject,
        Demand calldata demand_,
        bytes calldata data,
        bytes32[] calldata siblings
    ) external {
        RequestId id = subject.request.id(SCOPE);
        bytes32 key = _keyOf(id, subject);
        bytes32 slot = _requireOpen(key, demand_);
        require(block.timestamp <= demand_.deadline, RevealTooLate(key, demand_.deadline));

        _demands[slot] = _demands[slot].to(DemandStatus.Revealed);
        _openTrace(id, key, subject.proposal.origin, _traceRootOf(demand_, data, siblings));
        Dispute storage dispute = _disputes[key];
        Proposal memory proposal = _standing(subject, dispute);
        bool isLast = --dispute.openDemands == 0;
        uint256 settleAt = block.timestamp + REACTION_PERIOD;
        if (settleAt < dispute.settleAt) settleAt = dispute.settleAt;
        if (isLast) dispute.settleAt = uint48(settleAt);

        emit PartRevealed(id, key, demand_.part, data, siblings);

        if (isLast) _moveWindow(subject, proposal, settleAt);
    }

    /// @inheritdoc IDisputes
    function timeout(Subject calldata subject, Demand calldata demand_) external {
        RequestId id = subject.request.id(SCOPE);
        bytes32 key = _keyOf(id, subject);
        _requireOpen(key, demand_);
        // INVARIANT: anHonestOperatorThatAnswersInTimeIsNeverSlashed
        require(block.timestamp > demand_.deadline, RevealNotOver(key, demand_.deadline));

        Dispute storage dispute = _disputes[key];
        dispute.isConvicted = true;

        emit DemandTimedOut(id, key, demand_.part);

        _slash(subject, dispute, demand_.demander);
    }

    /* FRAUD */

    /// @inheritdoc IDisputes
    function commitFraud(bytes32 commitment) external {
        require(_commitments[commitment] == 0, AlreadyCommitted(commitment));

        _commitments[commitment] = block.number;

        emit FraudCommitted(commitment, msg.sender);
    }

    /// @inheritdoc IDisputes
    function proveFraud(
        Subject calldata subject,
        bytes calldata model,
        bytes calldata proof,
        bytes32 salt
    ) external {
        RequestId id = subject.request.id(SCOPE);
        bytes32 key = _keyOf(id, subject);
        _requireCommitted(keccak256(abi.encode(msg.sender, key, keccak256(proof), salt)));
        _requireNotConvicted(key);
        Dispute storage dispute = _disputes[key];
        Claim memory claim = Claim({
            programRoot: _programRootOf(id, subject.request, model),
            traceRoot: dispute.traceRoot,
            inputRoot: subject.request.inputRoot,
            inputLength: subject.request.inputLength(),
            outputRoot: subject.outputRoot,
            outputLength: subject.proposal.origin.outputLength()
        });
        Verdict memory verdict = IReferee(REFEREE).judge(claim, proof);
        // INVARIANT: slashOnlyAfterAVerdictOrATimeout
        require(verdict.claimed != verdict.expected, NotFraud(id, verdict));

        dispute.isConvicted = true;

        emit FraudProven(id, key, msg.sender, verdict);

        _slash(subject, dispute, msg.sender);
    }

    /* MONEY */

    /// @inheritdoc IDisputes
    function collect(Demand calldata demand_) external {
        (bytes32 slot, DemandState state) = _requireDemand(demand_);
        Dispute storage dispute = _disputes[demand_.dispute];
        bool isFinal = dispute.openDemands == 0 && block.timestamp >= dispute.settleAt;
        bool isDue = state.status() != DemandStatus.Collected && (dispute.isConvicted || isFinal);
        require(isDue, NothingToCollect(demand_.dispute, demand_.part));

        _demands[slot] = state.to(DemandStatus.Collected);
        address account = dispute.isConvicted ? demand_.demander : dispute.operator;

        emit PrepaidCollected(demand_.dispute, account, demand_.prepaid);

        _send(account, demand_.prepaid);
    }

    /* VIEWS */

    /// @inheritdoc IDisputes
    function priceOf(Part calldata part, uint256 values, uint256 leaves)
        external
        view
        returns (uint256)
    {
        uint256 nodes = part.nodesThere(values, leaves);
        return part.exists(nodes) ? _priceOf(part, values, nodes) : 0;
    }

    /// @inheritdoc IDisputes
    function keyOf(Subject calldata subject) external view returns (bytes32) {
        return _keyOf(subject.request.id(SCOPE), subject);
    }

    /// @inheritdoc IDisputes
    function disputeOf(bytes32 dispute)
        external
        view
        returns (bytes32 traceRoot, uint256 openDemands, uint256 settleAt, bool isConvicted)
    {
        Dispute memory found = _disputes[dispute];
        return (found.traceRoot, found.openDemands, found.settleAt, found.isConvicted);
    }

    /* STEPS */

    /// @dev The terms of a demand that an honest operator can fulfil, and is paid for.
    function _termsOf(
        RequestId id,
        Subject calldata subject,
        Part calldata part,
        bytes calldata model,
        bytes calldata descriptors
    ) private view returns (Demand memory) {
        bytes32 programRoot = _programRootOf(id, subject.request, model);
        (uint256 values, uint256 leaves, uint256 padding) =
            _sizesOf(id, part, descriptors, programRoot);
        uint256 nodes = part.nodesThere(values, leaves);
        require(part.exists(nodes), WrongPart(part, nodes));
        uint256 price = _priceOf(part, values, nodes);
        require(msg.value >= price, PrepaidTooLittle(msg.value, price));
        require(msg.value <= type(uint96).max, PrepaidTooMuch(msg.value, type(uint96).max));

        return Demand({
            dispute: _keyOf(id, subject),
            part: part,
            programRoot: programRoot,
            values: uint32(values),
            leaves: uint32(leaves),
            padding: uint8(padding),
            demander: msg.sender,
            prepaid: uint96(msg.value),
            deadline: uint64(block.timestamp + REVEAL_PERIOD)
        });
    }

    /// @dev The first trace root is the operator's word; every other must be that.
    function _openTrace(RequestId id, bytes32 key, Origin origin, bytes32 traceRoot) private {
        bytes32 known = _disputes[key].traceRoot;
        if (known == 0) {
            require(_isOperators(msg.sender, origin), NotOperator(msg.sender, origin.operator()));
            _disputes[key].traceRoot = traceRoot;
            emit TraceRevealed(id, key, traceRoot);
        } else {
            require(traceRoot == known, WrongOpening(key, traceRoot, known));
        }
    }

    /// @dev A signer speaks about what was signed in its place, and about nothing that the operator itself proposed: a
    /// false trace root convicts, and a stolen key would cost more than its limit.
    function _isOperators(address account, Origin origin) private view returns (bool) {
        address operator = origin.operator();
        if (account == operator) return true;
        if (!origin.isBySigner()) return false;
        return account == IOperatorStaking(QUEUE).signerIn(operator, origin.epoch()).signer;
    }

    function _moveWindow(Subject calldata subject, Proposal memory proposal, uint256 settleAt)
        private
    {
        IInferenceQueue(QUEUE).moveWindow(subject.request, proposal, subject.outputRoot, settleAt);
    }

    function _slash(Subject calldata subject, Dispute storage dispute, address challenger) private {
        Proposal memory proposal = _standing(subject, dispute);
        IInferenceQueue(QUEUE).slash(subject.request, proposal, subject.outputRoot, challenger);
    }

    function _send(address account, uint256 amount) private {
        // Returned data is not copied: a large answer would cost the caller, not the account.
        bool sent;
        assembly ("memory-safe") {
            sent := call(gas(), account, amount, 0, 0, 0, 0)
        }
        require(sent, PaymentFailed(account, amount));
    }

    /* WHAT FOLLOWS FROM WHAT IS PASSED */

    /// @dev The proposal with the end of its window as the queue has it. Taken from the caller it would be in the liar's
    /// hands: a demand and an answer before a proof would move the window, and the proof would speak of another.
    function _standing(Subject calldata subject, Dispute storage dispute)
        private
        view
        returns (Proposal memory proposal)
    {
        proposal = subject.proposal;
        uint64 settleAt = dispute.openDemands == 0 ? dispute.settleAt : WindowLibrary.SUSPENDED;
        if (settleAt != 0) proposal.window = proposal.window.movedTo(settleAt);
    }

    function _keyOf(RequestId id, Subject calldata subject) private pure returns (bytes32) {
        Proposal calldata proposal = subject.proposal;
        return keccak256(
            abi.encode(id, proposal.origin, proposal.window.proposedAt(), subject.outputRoot)
        );
    }

    function _slotOf(bytes32 dispute, Part calldata part) private pure returns (bytes32) {
        return keccak256(abi.encode(dispute, part));
    }

    function _programRootOf(RequestId id, Request calldata request, bytes calldata model)
        private
        pure
        returns (bytes32)
    {
        require(request.terms.isExact(), NotExact(id));
        bool isRight = keccak256(model) == ModelId.unwrap(request.model);
        require(isRight, WrongModel(id));
        // abi.encode(publisher, model): the publisher, where the model begins, where its name and its version do.
        return bytes32(model[128:160]);
    }

    function _sizesOf(RequestId id, Part calldata part, bytes calldata data, bytes32 programRoot)
        private
        pure
        returns (uint256 values, uint256 leaves, uint256 padding)
    {
        Reader memory reader = ReaderLibrary.readerOf(data);
        Header memory header = DescriptorLibrary.readHeader(reader, programRoot);
        values = header.nodes;
        require(values < PartLibrary.VALUE_TREE, TooLargeToDemand(id, values, 0));
        if (!part.isOfValueTree()) {
            require(part.value < values, WrongPart(part, 0));
            TensorType type_ = DescriptorLibrary.readNode(reader, header, part.value).outputType();
            uint256 length = type_.length();
            leaves = Merkle.leavesOf(length);
            require(leaves <= type(uint32).max, TooLargeToDemand(id, values, leaves));
            padding = leaves * Merkle.LEAF - length;
        }
        reader.finish();
    }

    function _traceRootOf(Demand calldata demand_, bytes calldata data, bytes32[] calldata siblings)
        private
        pure
        returns (bytes32)
    {
        bytes32 top = Trace.topOf(
            demand_.part, demand_.values, demand_.leaves, demand_.padding, data, siblings
        );
        return Merkle.traceRootOf(demand_.programRoot, top);
    }

    /// @param nodes How many there are where the part is, which exists.
    function _priceOf(Part calldata part, uint256 values, uint256 nodes)
        private
        view
        returns (uint256)
    {
        uint256 words = part.size() / 32 + part.siblings(values, nodes);
        uint256 executed = REVEAL_GAS + words * REVEAL_GAS_A_WORD;
        uint256 floor = FLOOR_GAS + words * FLOOR_GAS_A_WORD;
        uint256 gas_ = (executed > floor ? executed : floor) + COLLECT_GAS;
        return gas_ * (2 * block.basefee + REVEAL_TIP);
    }

    /* CHECKS */

    function _requireTimeToDemand(RequestId id, Subject calldata subject) private view {
        uint256 hardEnd =
            subject.proposal.window.proposedAt() + subject.request.window() + EXTENSION_LIMIT;
        uint256 ready = block.timestamp + REVEAL_PERIOD + REACTION_PERIOD;
        require(ready <= hardEnd, TooLateToDemand(id, hardEnd));
    }

    function _requireNotConvicted(bytes32 dispute) private view {
        require(!_disputes[dispute].isConvicted, AlreadyConvicted(dispute));
    }

    function _requireDemand(Demand calldata demand_)
        private
        view
        returns (bytes32 slot, DemandState state)
    {
        slot = _slotOf(demand_.dispute, demand_.part);
        state = _demands[slot];
        bool isKnown =
            state.status() != DemandStatus.None && state.commitsTo(keccak256(abi.encode(demand_)));
        require(isKnown, WrongDemand(demand_.dispute, demand_.part));
    }

    function _requireOpen(bytes32 dispute, Demand calldata demand_)
        private
        view
        returns (bytes32 slot)
    {
        require(demand_.dispute == dispute, WrongDemand(dispute, demand_.part));
        DemandState state;
        (slot, state) = _requireDemand(demand_);
        require(state.status() == DemandStatus.Open, DemandNotOpen(dispute, demand_.part));
        _requireNotConvicted(dispute);
    }

    function _requireCommitted(bytes32 commitment) private view {
        uint256 blockNumber = _commitments[commitment];
        require(blockNumber != 0, NotCommitted(commitment));
        require(blockNumber < block.number, CommittedTooLate(commitment, blockNumber));
    }
}
