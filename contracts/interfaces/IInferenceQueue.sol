// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "./IModelRegistry.sol";
import {Signature} from "../libraries/Answer.sol";
import {Proposal} from "../libraries/Proposal.sol";
import {Request} from "../libraries/Request.sol";
import {RequestId, Status} from "../libraries/RequestState.sol";

/// @notice What a requester may choose.
/// @param operator Who alone may answer; zero for anyone. Choose one where transactions are public before they are
/// mined: an open request's answer can be copied by a faster bidder, who then stands behind it with their bond.
/// @param bond Wei that the operator loses if the output is proven wrong. Choose at least what a lie is worth.
/// @param window Seconds in which a proposed output can be challenged, before it is final.
/// @param timeout Seconds in which a proposal may come; afterwards the request expires.
/// @param callbackGas Gas for `onInference`, exactly; zero for no callback.
/// @param refundTo Who is credited if the request expires or the operator is slashed; zero for the consumer.
/// @param maxOutputLength Bytes: the most of an output, for a model that generates; zero for the model's own.
/// @param entropy What the request's id, the seed of whatever is sampled, holds beside the rest; zero for the block's
/// prevrandao. Give one where the chain has no prevrandao, or the id may be foreseen.
struct Options {
    address operator;
    uint96 bond;
    uint32 window;
    uint32 timeout;
    uint32 callbackGas;
    address refundTo;
    uint32 maxOutputLength;
    uint64 entropy;
}

/// @notice What a requester chooses whose answer is signed before it asks, as in `Options` but for two.
/// @param deadline Seconds: the first moment at which it is too late to use the answer; at most an hour from now.
/// @param nonce Tells requests apart that are equal in all else. Its highest bit is set for you.
struct SignedOptions {
    address operator;
    uint96 bond;
    uint32 window;
    uint64 deadline;
    uint32 callbackGas;
    address refundTo;
    uint32 maxOutputLength;
    uint64 nonce;
}

/// @title Requests for inference, their results and their money
/// @notice A request escrows a fee; an operator proposes an output and locks a bond; after the window the output is
/// final, the fee is the operator's, and the consumer is called. A request that nobody answers expires and is refunded.
///
/// One storage slot a request. The rest is in events, and callers pass it back: a wrong field gives another id, so it
/// meets a request that does not exist.
///
/// @dev Assumptions that break safety: the registry's terms of a model never change; `DISPUTES` slashes only what its
/// referee convicted; block.timestamp never goes back. That break liveness only: events are kept by somebody; blocks
/// have room for a transaction within a window; `DISPUTES` answers.
interface IInferenceQueue {
    /// @notice One item of `settleBatch`.
    struct Settlement {
        Request request;
        Proposal proposal;
        bytes output;
    }

    /// @notice One item of `settleBatchByRoot`.
    struct RootSettlement {
        Request request;
        Proposal proposal;
        bytes32 outputRoot;
    }

    event RequestCreated(RequestId indexed id, ModelId indexed model, Request request, bytes input);
    event ResultProposed(
        RequestId indexed id, address indexed operator, Proposal proposal, bytes output
    );
    event RequestSettled(RequestId indexed id, address indexed operator);
    /// @param reason The first bytes of what the consumer reverted with.
    event CallbackFailed(RequestId indexed id, address indexed consumer, bytes reason);
    event CallbackRetried(RequestId indexed id, address indexed consumer);
    /// @notice The proposal is void, and an answer may be proposed again.
    event RequestReopened(RequestId indexed id, address indexed operator);
    /// @notice A dispute moved the end of the window; `proposal` is what later calls must pass from now on.
    event WindowMoved(RequestId indexed id, address indexed operator, Proposal proposal);
    event RequestExpired(RequestId indexed id, address indexed refundTo, uint256 refund);

    error UnknownModel(ModelId model);
    error WrongInputLength(ModelId model, uint256 length, uint256 needed);
    error WrongMaxOutputLength(ModelId model, uint256 length, uint256 maximum);
    error WrongOutputLength(RequestId id, uint256 length, uint256 needed);
    /// @param offset Byte of the first float32 that is a negative zero or a NaN other than 0x7fc00000.
    error NonCanonicalOutput(RequestId id, uint256 offset);
    error FeeBelowRoyalty(uint256 fee, uint256 royalty);
    error FeeTooLarge(uint256 fee, uint256 maximum);
    error BondTooSmall(uint256 bond, uint256 minimum);
    error WindowOutOfRange(uint256 window, uint256 minimum, uint256 maximum);
    error TimeoutOutOfRange(uint256 timeout, uint256 minimum, uint256 maximum);
    error DeadlineOutOfRange(uint256 deadline, uint256 minimum, uint256 maximum);
    error CallbackGasTooHigh(uint256 callbackGas, uint256 maximum);
    error WrongStatus(RequestId id, Status actual, Status needed);
    error WrongProposal(RequestId id);
    error NotChosenOperator(RequestId id, address caller, address chosen);
    error DeadlinePassed(RequestId id, uint256 deadline);
    error DeadlineNotPassed(RequestId id, uint256 deadline);
    error WindowNotOver(RequestId id, uint256 settleAt);
    error WindowOver(RequestId id, uint256 settleAt);
    error ProposalVoid(RequestId id, address operator, uint32 epoch);
    error ProposalNotVoid(RequestId id, address operator, uint32 epoch);
    error NotEnoughGas(RequestId id, uint256 gasLeft, uint256 needed);
    error NoCallbackOwed(RequestId id);
    /// @dev The root alone settles only where nobody is to be called with the output.
    error CallbackNeedsOutput(RequestId id, uint256 callbackGas);
    /// @dev A signed answer is worth the bond that a proof can take; no answer of this model can be proven wrong.
    error NotProvable(RequestId id);
    /// @dev Whoever picks deadline and nonce of a signed answer would pick what is drawn.
    error SampleNotSigned(RequestId id);
    error NoSignature(RequestId id);
    error NotDisputes(address caller, address disputes);
    error WindowNotLater(RequestId id, uint256 settleAt);
    error LengthMismatch(uint256 requests, uint256 outputs);

    /// @notice Asks for one inference and escrows the value sent as its fee. The caller is the consumer.
    /// @param input The payload: the input tensors' elements, big-endian, in the signature's order, nothing between.
    function request(ModelId model, bytes calldata input, Options calldata options)
        external
        payable
        returns (RequestId id);

    /// @notice Posts the output of a request and locks its bond out of the caller's free stake.
    /// @dev Warning: wrong by one bit is enough to lose the bond.
    function propose(Request calldata request_, bytes calldata output) external;

    /// @notice `propose` in the name of an operator that has signed the answer. Anyone who has the signature may call.
    /// @param signature Of `Answer(bytes32 requestId,bytes32 outputRoot,uint32 outputLength,uint32 epoch)` by EIP-712, in
    /// this queue's domain ("Exactum", "1", the chain's id at the deployment), by the operator or its signer, for the
    /// operator's present epoch. Only for models of assurance EXACT.
    function proposeSigned(
        Request calldata request_,
        address operator,
        bytes calldata output,
        Signature calldata signature
    ) external;

    /// @notice Request and proposal in one, from an answer that the operator has signed: the caller, who is the consumer,
    /// may act on it at once. It is attested, not final: wrong, it costs the operator its bond.
    /// @dev Warning: safe to act on before it is final only for a value below 0.7 of the bond, or below 0.4 where whoever
    /// gains may choose or share `refundTo` (docs/protocol.md). The signature binds the consumer, not the consumer's
    /// caller: whoever sees it in the mempool can call the consumer with it first.
    /// @param signature As of `proposeSigned`. `InsufficientStake` means that there is no answer.
    function infer(
        ModelId model,
        bytes calldata input,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) external payable returns (RequestId id);

    /// @notice `propose` for many, skipping requests that are no longer open, so that nobody can spoil a batch by
    /// answering one of it first. Anything else that is wrong with one reverts them all.
    function proposeBatch(Request[] calldata requests, bytes[] calldata outputs) external;

    /// @notice Pays the operator and calls the consumer back, once the window is over. Anyone may call.
    /// @dev Reverts with `NotEnoughGas` rather than call back with less gas than was asked for.
    function settle(Request calldata request_, Proposal calldata proposal, bytes calldata output)
        external;

    /// @notice `settle` for many, skipping those that are settled or void already.
    function settleBatch(Settlement[] calldata settlements) external;

    /// @notice `settle` where no callback was asked for: the output need not be sent again.
    function settleByRoot(Request calldata request_, Proposal calldata proposal, bytes32 outputRoot)
        external;

    /// @notice `settleByRoot` for many, skipping those that are settled or void already.
    function settleBatchByRoot(RootSettlement[] calldata settlements) external;

    /// @notice Repeats a callback that failed, with all the gas that the caller gives but at least what was asked for.
    function retryCallback(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external;

    /// @notice Ends a request that nobody answered in time and credits the whole fee. Anyone may call.
    function expire(Request calldata request_) external;

    /// @notice Opens a request again whose proposal was voided by a slash, or ends it where its deadline has passed, and
    /// frees the bond. Anyone may call, once the window is over: until then the proposal can still be proven wrong.
    function reopen(Request calldata request_, Proposal calldata proposal, bytes32 outputRoot)
        external;

    /// @notice Slashes the operator of a wrong output, void or not, and opens the request again. Only `DISPUTES`, and
    /// only while the window is open.
    function slash(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputRoot,
        address challenger
    ) external;

    /// @notice Moves the end of a window that is open: far off while a part of the trace is demanded, and back to some
    /// moment to come when all is answered. Only `DISPUTES`. The bond stays locked and a void proposal stays void.
    /// @param settleAt Seconds: later than now, so that nothing becomes final by being moved; below 2^64.
    /// @return moved What later calls must pass from now on.
    function moveWindow(
        Request calldata request_,
        Proposal calldata proposal,
        bytes32 outputRoot,
        uint256 settleAt
    ) external returns (Proposal memory moved);

    /// @notice The fee that covers the model's royalty and an operator's gas at `gasPrice`, from typical payloads.
    /// @dev A floor to start from: which fee is enough is for operators to decide.
    function quote(ModelId model, uint256 callbackGas, uint256 gasPrice)
        external
        view
        returns (uint256 fee);

    /// @notice Reverts unless `output` is the final result of the request: settled, or its window is over.
    function requireFinal(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external view;

    /// @notice Reverts unless `output` stands as proposed, final or not.
    /// @dev Warning: an output that is not final may be wrong, and be replaced by another. Show it; do not pay on it.
    /// @return secondsLeft Until it is final; zero if it is. More than 2^62 while a dispute suspends the window.
    function requireProposed(
        Request calldata request_,
        Proposal calldata proposal,
        bytes calldata output
    ) external view returns (uint256 secondsLeft);

    function statusOf(RequestId id) external view returns (Status status, bool isCallbackOwed);

    /// @notice The id of a request as the queue hashes it.
    function idOf(Request calldata request_) external view returns (RequestId);

    /// @notice The model registry.
    function REGISTRY() external view returns (address);

    /// @notice The only one who may slash; zero where there is none.
    function DISPUTES() external view returns (address);

    /// @notice Wei: the least bond of a request.
    function MIN_BOND() external view returns (uint256);

    /// @notice Seconds.
    function MIN_WINDOW() external view returns (uint256);

    /// @notice Seconds.
    function MAX_WINDOW() external view returns (uint256);
}
