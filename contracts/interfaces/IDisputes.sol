// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Verdict} from "./IReferee.sol";
import {Part} from "../libraries/Part.sol";
import {Proposal} from "../libraries/Proposal.sol";
import {Request} from "../libraries/Request.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title Convicts wrong results
/// @notice The only one who may slash, and only in two ways: an operator that does not answer a demand in time, and an
/// element of a result that the referee finds wrong. Anyone may challenge, any number at once, without a stake.
///
/// A challenger who knows what the operator committed to needs two transactions: `commitFraud`, then `proveFraud` in a
/// later block. To find out where a wrong result leaves the right one, it makes demands: each asks for a part of the
/// trace, which the operator must `reveal` within `REVEAL_PERIOD`. While a demand is open the result cannot become
/// final, and after each answer there are at least `REACTION_PERIOD` to act on it.
///
/// Demands are prepaid. The money goes to the operator once the result is final, whoever answered, and back to the
/// demander if the operator is slashed for it. So an honest operator is paid for answering, a challenger who was right
/// gets its costs back, and nobody gains by copying an answer.
///
/// @dev One storage slot a demand: what was demanded is in `PartDemanded`, and later calls pass it back.
///
/// Assumptions that break safety: the referee convicts only what the law says is wrong; the queue moves windows and
/// slashes only for this contract, and a proposal that is final never changes. That break liveness only: blocks have
/// room for an answer within `REVEAL_PERIOD` and for a proof within `REACTION_PERIOD`; events are kept by somebody.
interface IDisputes {
    /// @notice The proposal that is disputed. The end of its window may be the first or any later one: what it is now this
    /// contract knows, so that a transaction stays right whatever others do before it.
    struct Subject {
        Request request;
        Proposal proposal;
        bytes32 outputRoot;
    }

    /// @notice What a demand's slot holds the hash of. Where it is, and what its answer must lead to, is in it.
    /// @param values Nodes of the program.
    /// @param leaves Leaves of the value's tree; zero for the value tree.
    /// @param padding Bytes of the last leaf that are beyond the value; zero for the value tree.
    /// @param prepaid Wei.
    /// @param deadline Seconds: the last moment for an answer.
    struct Demand {
        bytes32 dispute;
        Part part;
        bytes32 programRoot;
        uint32 values;
        uint32 leaves;
        uint8 padding;
        address demander;
        uint96 prepaid;
        uint64 deadline;
    }

    /// @param dispute The key of the disputed proposal: `keyOf`.
    event PartDemanded(
        RequestId indexed id, bytes32 indexed dispute, address indexed operator, Demand demand
    );
    /// @notice A demand was answered, with what `reveal` was called with.
    event PartRevealed(
        RequestId indexed id, bytes32 indexed dispute, Part part, bytes data, bytes32[] siblings
    );
    /// @notice The operator's trace root, revealed with the first part; it never changes.
    event TraceRevealed(RequestId indexed id, bytes32 indexed dispute, bytes32 traceRoot);
    event FraudCommitted(bytes32 indexed commitment, address indexed challenger);
    event FraudProven(
        RequestId indexed id, bytes32 indexed dispute, address indexed challenger, Verdict verdict
    );
    event DemandTimedOut(RequestId indexed id, bytes32 indexed dispute, Part part);
    event PrepaidCollected(bytes32 indexed dispute, address indexed account, uint256 amount);

    error WrongPeriods(uint256 revealPeriod, uint256 reactionPeriod, uint256 extensionLimit);
    error ZeroRevealTip();
    error NotExact(RequestId id);
    error WrongModel(RequestId id);
    /// @dev A program or a value of 2^32 nodes or leaves: no part of it can be named.
    error TooLargeToDemand(RequestId id, uint256 values, uint256 leaves);
    /// @param nodes How many there are at that height, or how many leaves; zero where there is no such value or height.
    error WrongPart(Part part, uint256 nodes);
    error AlreadyConvicted(bytes32 dispute);
    error AlreadyDemanded(bytes32 dispute, Part part);
    error PrepaidTooLittle(uint256 prepaid, uint256 needed);
    error PrepaidTooMuch(uint256 prepaid, uint256 maximum);
    error TooLateToDemand(RequestId id, uint256 hardEnd);
    error WrongDemand(bytes32 dispute, Part part);
    error DemandNotOpen(bytes32 dispute, Part part);
    error RevealTooLate(bytes32 dispute, uint256 deadline);
    error RevealNotOver(bytes32 dispute, uint256 deadline);
    /// @dev Only the operator, or for what its signer signed the signer, may say what its trace root is: another could say
    /// a false one and convict it.
    error NotOperator(address caller, address operator);
    error WrongOpening(bytes32 dispute, bytes32 traceRoot, bytes32 expected);
    error AlreadyCommitted(bytes32 commitment);
    error NotCommitted(bytes32 commitment);
    error CommittedTooLate(bytes32 commitment, uint256 blockNumber);
    error NotFraud(RequestId id, Verdict verdict);
    error NothingToCollect(bytes32 dispute, Part part);
    error PaymentFailed(address account, uint256 amount);

    /// @notice Asks the operator for a part of its trace and suspends the window until all demands are answered.
    /// Anyone, while the result is not final.
    /// @param model What the model's id is the hash of: abi.encode(publisher, model).
    /// @param descriptors The program's header record and its path, and for a part of a value the node's record and its
    /// path, as in a proof (`IReferee`). Nothing after them.
    /// @dev The value sent must be `priceOf` at least; all of it is the answer's. A part is demanded once; at most 128
    /// nodes or 64 leaves at a time. A demand must leave time for its answer and `REACTION_PERIOD` before the hard end,
    /// `EXTENSION_LIMIT` after the end of the first window.
    /// @dev Warning: the price follows the base fee of the block that the demand gets into. Send more than `priceOf` says;
    /// what is too much comes back to whoever was right to ask, and to nobody else.
    function demand(
        Subject calldata subject,
        Part calldata part,
        bytes calldata model,
        bytes calldata descriptors
    ) external payable;

    /// @notice Answers a demand. Anyone may, but the first answer of a dispute, which says what the trace root is, is
    /// the operator's alone, or of a result that its signer signed also the signer's (`IOperatorStaking.signerIn` the
    /// result's epoch). After the last open demand the window runs again, for `REACTION_PERIOD` at least.
    /// @dev Trees are read strictly: an answer with anything but empty subtrees beyond the last leaf or value, or anything
    /// but zeros beyond a value's last byte, is refused.
    /// @param data The part: 32 bytes a node, or 128 bytes a leaf.
    /// @param siblings Of the common path up to the top of the part's tree; and for a part of a value, then the path of
    /// its root in the value tree.
    function reveal(
        Subject calldata subject,
        Demand calldata demand_,
        bytes calldata data,
        bytes32[] calldata siblings
    ) external;

    /// @notice Slashes an operator that did not answer in time. Anyone may call; the reward is the demander's.
    function timeout(Subject calldata subject, Demand calldata demand_) external;

    /// @notice Announces a proof, so that nobody who sees it coming can take the reward.
    /// @dev Reverts where somebody sent the same bytes before: then it is committed already, and to the same challenger.
    /// @param commitment keccak256(abi.encode(challenger, keyOf(subject), keccak256(proof), salt)).
    function commitFraud(bytes32 commitment) external;

    /// @notice Proves that one element is wrong, and slashes the operator. The caller committed to the proof in an
    /// earlier block.
    /// @param proof As `IReferee.judge` takes it.
    function proveFraud(
        Subject calldata subject,
        bytes calldata model,
        bytes calldata proof,
        bytes32 salt
    ) external;

    /// @notice Pays what was prepaid for a demand: back to the demander if the operator was slashed for this result, else
    /// to the operator once nothing can happen to the result any more. Anyone may call.
    /// @dev Reverts where the account refuses ether; the money waits.
    function collect(Demand calldata demand_) external;

    /// @notice Wei to prepay for a demand: what answering and collecting costs at twice the current base fee and
    /// `REVEAL_TIP`. Zero for a part that cannot be demanded.
    /// @param values Nodes of the program.
    /// @param leaves Leaves of the value's tree; anything for the value tree.
    function priceOf(Part calldata part, uint256 values, uint256 leaves)
        external
        view
        returns (uint256);

    /// @notice The key of a proposal. Suspending and resuming its window does not change it.
    function keyOf(Subject calldata subject) external view returns (bytes32);

    /// @return traceRoot Zero while none is revealed.
    /// @return openDemands How many wait for an answer.
    /// @return settleAt Seconds: when the result is final if no demand is open and none comes; zero without a demand.
    /// @return isConvicted Whether the operator was slashed for this proposal.
    function disputeOf(bytes32 dispute)
        external
        view
        returns (bytes32 traceRoot, uint256 openDemands, uint256 settleAt, bool isConvicted);

    function QUEUE() external view returns (address);
    function REFEREE() external view returns (address);

    /// @notice Seconds in which a demand must be answered.
    function REVEAL_PERIOD() external view returns (uint256);

    /// @notice Seconds that an answer leaves for the next step, at least.
    function REACTION_PERIOD() external view returns (uint256);

    /// @notice Seconds beyond the end of the first window after which no demand can keep a result from being final.
    function EXTENSION_LIMIT() external view returns (uint256);

    /// @notice Wei a gas, added to twice the base fee in `priceOf`.
    function REVEAL_TIP() external view returns (uint256);
}
