// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Code} from "./evaluation/Code.sol";
import {ForestPacker} from "./evaluation/ForestPacker.sol";
import {RowPacker} from "./evaluation/RowPacker.sol";
import {IModelCode} from "./interfaces/IModelCode.sol";
import {Binding, BindingLibrary} from "./evaluation/Binding.sol";
import {IReferee} from "./interfaces/IReferee.sol";
import {Merkle} from "./libraries/Merkle.sol";

/// @title ModelCode
contract ModelCode is IModelCode {
    IReferee public immutable REFEREE;

    /// @inheritdoc IModelCode
    mapping(bytes32 programRoot => address) public planOf;
    /// @inheritdoc IModelCode
    mapping(bytes32 key => mapping(uint256 index => uint256)) public pieceOf;

    /// @dev Pieces of a matrix that are to be written: from `first` on, and before `past`.
    struct Pieces {
        bytes32 key;
        bytes32 root;
        uint256 columns;
        uint256 first;
        uint256 past;
    }

    constructor(IReferee referee) {
        REFEREE = referee;
    }

    /// @inheritdoc IModelCode
    function writeRows(
        bytes32 root,
        uint256 rows,
        uint256 columns,
        uint256 first,
        uint256 count,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external {
        bool isMatrix = rows != 0 && columns != 0 && columns <= RowPacker.MOST_COLUMNS;
        require(isMatrix && rows < 1 << 31, WrongLength(rows * columns, RowPacker.MOST_COLUMNS));
        uint256 all = RowPacker.piecesOf(rows, columns);
        bool fits = first < all && count != 0 && count <= all - first;
        require(fits, NoSuchPiece(first + count, all));

        Pieces memory wanted =
            Pieces(rowsKey(root, rows, columns), root, columns, first, first + count);
        (uint256 row, uint256 past) = _rowsOf(wanted, rows);
        uint256 size = 4 * columns;
        uint256 raw = _open(root, rows * size, row * size, past * size, leaves, siblings);
        _writeLots(wanted, row, past, raw);
    }

    /// @inheritdoc IModelCode
    function writeTrees(
        bytes32 root,
        uint256 nodes,
        uint256 first,
        uint256 count,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external {
        require(nodes < 1 << 31 && first < nodes, NoSuchPiece(first, nodes));
        bool fits = count != 0 && count <= ForestPacker.MOST_NODES && count <= nodes - first;
        require(fits, NoSuchPiece(first + count, nodes));
        uint256 raw = _open(root, 32 * nodes, 32 * first, 32 * (first + count), leaves, siblings);
        (uint256 stream, uint256 steps, uint256 features) = ForestPacker.pack(raw, first, count);

        uint256 word = (features << 176) | (steps << 160);
        _write(treesKey(root, nodes), (first << 32) | count, root, stream, 10 * count, word);
    }

    /// @inheritdoc IModelCode
    function writeBytes(
        bytes32 root,
        uint256 length,
        uint256 index,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) external {
        uint256 first = index * BindingLibrary.PIECE;
        require(length < 1 << 31 && first < length, NoSuchPiece(index, length));
        uint256 past = first + BindingLibrary.PIECE;
        if (past > length) past = length;
        uint256 raw = _open(root, length, first, past, leaves, siblings);

        _write(bytesKey(root, length), index, root, raw, past - first, 0);
    }

    /// @inheritdoc IModelCode
    function bind(
        bytes32 programRoot,
        bytes calldata records,
        bytes[] calldata constants,
        uint256[] calldata pasts
    ) external returns (address plan) {
        address bound = planOf[programRoot];
        require(bound == address(0), AlreadyBound(programRoot, bound));
        Binding memory binding = BindingLibrary.begin(records, programRoot);
        binding.addNodes(REFEREE);
        binding.addConstants(constants, pasts, pieceOf);
        (uint256 from, uint256 length) = binding.finish();
        plan = Code.write(from, length);
        planOf[programRoot] = plan;

        emit ProgramBound(programRoot, plan);
    }

    /// @inheritdoc IModelCode
    function rowsKey(bytes32 root, uint256 rows, uint256 columns) public pure returns (bytes32) {
        return BindingLibrary.rowsKey(root, rows, columns);
    }

    /// @inheritdoc IModelCode
    function treesKey(bytes32 root, uint256 nodes) public pure returns (bytes32) {
        return BindingLibrary.treesKey(root, nodes);
    }

    /// @inheritdoc IModelCode
    function bytesKey(bytes32 root, uint256 length) public pure returns (bytes32) {
        return BindingLibrary.bytesKey(root, length);
    }

    /// @return row Of whole lots the first row, and `past` the one behind the last: of the first lot and the last
    /// perhaps not all pieces are wanted.
    function _rowsOf(Pieces memory wanted, uint256 rows)
        private
        pure
        returns (uint256 row, uint256 past)
    {
        uint256 step = RowPacker.rowsOfLot(wanted.columns);
        uint256 parts = RowPacker.partsOf(wanted.columns);
        row = wanted.first / parts * step;
        past = (wanted.past + parts - 1) / parts * step;
        if (past > rows) past = rows;
    }

    function _writeLots(Pieces memory wanted, uint256 row, uint256 past, uint256 raw) private {
        uint256 step = RowPacker.rowsOfLot(wanted.columns);
        uint256 parts = RowPacker.partsOf(wanted.columns);
        for (; row < past; row += step) {
            uint256 here = past - row < step ? past - row : step;
            _writeLot(wanted, row / step * parts, here, raw);
            raw += here * 4 * wanted.columns;
        }
    }

    /// @dev Packs a lot, whose first row lies at `raw`, and writes those of its pieces that are wanted.
    /// @param piece Its first.
    function _writeLot(Pieces memory wanted, uint256 piece, uint256 rows, uint256 raw) private {
        (uint256 stream, uint256 outliers) = RowPacker.pack(raw, rows, wanted.columns);
        uint256 words = (rows + RowPacker.HEIGHT - 1) / RowPacker.HEIGHT * (wanted.columns + 1);
        uint256 parts = RowPacker.partsOf(wanted.columns);
        uint256 size = 32 * ((words + parts - 1) / parts);
        // The outliers go behind the first part: from the last on, what was written may be written over.
        uint256 past = stream + 32 * words;
        for (uint256 from = stream + (parts - 1) * size; from > stream; from -= size) {
            _writePart(wanted, piece + (from - stream) / size, from, past - from);
            past = from;
        }
        uint256 behind = stream + 32 * words;
        assembly ("memory-safe") {
            mcopy(past, behind, shl(3, outliers))
        }
        _writePart(wanted, piece, stream, past - stream + 8 * outliers);
    }

    function _writePart(Pieces memory wanted, uint256 index, uint256 from, uint256 length) private {
        if (index < wanted.first || index >= wanted.past) return;
        _write(wanted.key, index, wanted.root, from, length, 0);
    }

    /// @param extra What stands above the address.
    function _write(
        bytes32 key,
        uint256 index,
        bytes32 root,
        uint256 from,
        uint256 length,
        uint256 extra
    ) private {
        if (pieceOf[key][index] != 0) return;
        address place = Code.write(from, length);
        pieceOf[key][index] = extra | uint160(place);

        emit PieceWritten(root, index, place);
    }

    /// @notice Copies leaves into memory and checks that they are those of a constant.
    /// @param length Bytes of the constant.
    /// @param first Byte of it that is wanted, and `past` the one behind the last.
    /// @return raw Offset in memory of the first.
    function _open(
        bytes32 root,
        uint256 length,
        uint256 first,
        uint256 past,
        bytes calldata leaves,
        bytes32[] calldata siblings
    ) private pure returns (uint256 raw) {
        uint256 leaf = first / Merkle.LEAF;
        uint256 count = (past + Merkle.LEAF - 1) / Merkle.LEAF - leaf;
        uint256 needed = count * Merkle.LEAF;
        require(leaves.length == needed, WrongLength(leaves.length, needed));
        uint256 beside;
        uint256 data;
        assembly ("memory-safe") {
            beside := siblings.offset
            // Words before and behind may be read or written to by others.
            data := add(mload(0x40), 32)
            mstore(0x40, add(data, add(needed, 32)))
            calldatacopy(data, leaves.offset, needed)
        }
        (bytes32 actual, uint256 end) =
            Merkle.rootOfLeaves(data, count, leaf, Merkle.leavesOf(length), beside);
        require(actual == root, WrongRoot(actual, root));
        uint256 given = beside + 32 * siblings.length;
        require(end == given, WrongLength(32 * siblings.length, end - beside));
        if (past == length) _requireZeros(data + length - leaf * Merkle.LEAF, data + needed);
        return data + first % Merkle.LEAF;
    }

    /// @dev Behind its last element a constant's leaf has zeros.
    function _requireZeros(uint256 from, uint256 to) private pure {
        uint256 found;
        assembly ("memory-safe") {
            for {} lt(from, to) { from := add(from, 1) } {
                found := or(found, byte(0, mload(from)))
            }
        }
        require(found == 0, PaddingNotZero());
    }
}
