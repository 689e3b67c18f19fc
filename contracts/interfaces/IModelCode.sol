// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Models in contract code, as `IEvaluator` runs them
/// @notice Anybody may add to a model, in as many transactions as it takes: what is written is a function of what the
/// program's root binds, so that nobody can write anything else, and to write it again changes nothing. There is no
/// money here and nobody to ask.
///
/// A constant comes in *pieces*, each checked against its root when it is written; a small one comes with `bind`, which
/// checks the program's records and that nothing is missing, and writes the plan.
///
/// Leaves are those of the constant's tree that hold a piece's elements, whole; siblings are of their common path
/// (`oracle/merkle.py`).
interface IModelCode {
    event PieceWritten(bytes32 indexed root, uint256 index, address place);
    event ProgramBound(bytes32 indexed programRoot, address plan);

    error AlreadyBound(bytes32 programRoot, address plan);
    error WrongRoot(bytes32 actual, bytes32 needed);
    /// @dev Bytes of leaves.
    error WrongLength(uint256 length, uint256 needed);
    error PaddingNotZero();
    error NoSuchPiece(uint256 index, uint256 pieces);
    /// @param part Of the records that is none that a program may have.
    error WrongRecord(uint256 record, string part);
    /// @dev The program is one, and the Evaluator does not know this of it.
    error NotEvaluable(uint256 node, uint256 op, string why);
    /// @param constant_ Counted in the order in which nodes first read them.
    error WrongConstant(uint256 constant_, string part);
    error MissingPiece(uint256 constant_, uint256 index);
    error PlanTooLong(uint256 length, uint256 most);

    /// @notice Writes pieces of a matrix that a DOT reads as its second operand. A piece has whole groups of six rows,
    /// or where a group is too long for one, a part of a group (`RowPacker`).
    /// @param columns 1 to 4,096.
    /// @param first Of the pieces to write, and `count` how many.
    /// @param leaves Of the rows of all groups of which something is written.
    function writeRows(
        bytes32 root,
        uint256 rows,
        uint256 columns,
        uint256 first,
        uint256 count,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external;

    /// @notice Writes whole trees of the table that a TREE_WALK reads.
    /// @param nodes Of the whole table.
    /// @param count Nodes from `first` on, at most 2,457.
    function writeTrees(
        bytes32 root,
        uint256 nodes,
        uint256 first,
        uint256 count,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external;

    /// @notice Writes a piece of any other constant.
    /// @param length Bytes of the whole constant.
    function writeBytes(
        bytes32 root,
        uint256 length,
        uint256 index,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external;

    /// @notice Checks a program whose pieces are written, and writes its plan.
    /// @param records The header's and the nodes', one after the other.
    /// @param constants In the order in which nodes first read them: the elements, big-endian, of those that stand in
    /// the plan (`isInPlan`), and nothing for others.
    /// @param pasts Of each piece of trees, the node behind its last. A piece has as many trees as fit.
    function bind(
        bytes32 programRoot,
        bytes calldata records,
        bytes[] calldata constants,
        uint256[] calldata pasts
    ) external returns (address plan);

    /// @return Zero if nobody has bound it.
    function planOf(bytes32 programRoot) external view returns (address);

    /// @param key `rowsKey`, `treesKey` or `bytesKey`.
    /// @param index Counted from 0; of trees, 2^32 times the first node plus the count.
    /// @return The address (160 bits), and for trees above it the most comparisons of a walk (16) and features (16);
    /// zero if nobody wrote it.
    function pieceOf(bytes32 key, uint256 index) external view returns (uint256);

    function rowsKey(bytes32 root, uint256 rows, uint256 columns) external pure returns (bytes32);

    function treesKey(bytes32 root, uint256 nodes) external pure returns (bytes32);

    function bytesKey(bytes32 root, uint256 length) external pure returns (bytes32);
}
