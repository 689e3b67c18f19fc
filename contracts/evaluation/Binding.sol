// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IModelCode} from "../interfaces/IModelCode.sol";
import {IReferee} from "../interfaces/IReferee.sol";
import {DescriptorLibrary, Header, NodeRecord} from "../libraries/Descriptor.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Reader, ReaderLibrary} from "../libraries/Reader.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Code} from "./Code.sol";
import {ForestPacker} from "./ForestPacker.sol";
import {Known} from "./Known.sol";
import {Plan} from "./Plan.sol";
import {RowPacker} from "./RowPacker.sol";
import {Words} from "./Words.sol";

/// @dev A constant as a node reads it.
/// @param form `Plan.RAW`, `Plan.ROWS` or `Plan.FOREST_PIECES`, wherever it will stand.
/// @param node The first that reads it.
/// @param steps Of a TREE_WALK: as many comparisons as a walk may take, and as many `features` as there are.
/// @param roots Of a TREE_WALK: the number of the constant with its trees' roots.
struct Constant {
    bytes32 root;
    TensorType type_;
    uint256 form;
    uint256 node;
    int256 steps;
    uint256 features;
    uint256 roots;
}

/// @dev A plan that is being written.
/// @param from Offset of the records in the calldata.
/// @param values Types of the nodes' values.
/// @param start Offset of the plan in memory, and `to` where it goes on.
/// @param table Offset of the words of constants in it.
struct Binding {
    Header header;
    uint256 from;
    TensorType[] values;
    Constant[] constants;
    uint256 count;
    uint256 start;
    uint256 to;
    uint256 table;
}

using BindingLibrary for Binding global;

/// @dev From a program's records to its plan (`Plan`).
library BindingLibrary {
    /// @dev Bytes of a piece of a constant that is not packed: whole leaves.
    uint256 internal constant PIECE = 24_448;
    /// @dev A constant of so many bytes stands in the plan, if the plan then ends before `MOST_IN_PLAN`.
    uint256 internal constant MOST_OF_ONE = 8_192;
    uint256 internal constant MOST_IN_PLAN = 18_000;

    uint256 private constant INPUT = 0;
    uint256 private constant CONSTANT = 1;
    uint256 private constant VALUE = 2;

    /// @dev The shortest record of a node: of one operand.
    uint256 private constant LEAST_RECORD = 192;

    /// @notice Checks that the records are those under the root, and begins the plan.
    function begin(bytes calldata records, bytes32 programRoot)
        internal
        pure
        returns (Binding memory self)
    {
        Reader memory reader = ReaderLibrary.readerOf(records);
        self.header = DescriptorLibrary.takeHeader(reader);
        Header memory header = self.header;
        self.from = reader.at;
        _must(0, header.isSound(), "header");
        uint256 nodes = header.nodes;
        _must(0, nodes <= records.length / LEAST_RECORD, "nodes");
        uint256 hashes = Words.allocate(nodes + 1);
        Words.set(hashes, _hash(reader.start, reader.at));
        for (uint256 i; i < nodes; ++i) {
            NodeRecord memory record = DescriptorLibrary.takeNode(reader);
            _must(i + 1, record.isSound(i), "node");
            Words.set(hashes + 32 * (i + 1), _hash(record.at, reader.at));
        }
        reader.finish();
        bytes32 root = _top(hashes, nodes + 1);
        require(root == programRoot, IModelCode.WrongRoot(root, programRoot));

        // Behind the plan words are written whole.
        self.start = Words.allocate((Code.MOST + 127) / 32) + 32;
        self.to = self.start + 32;
        self.values = new TensorType[](nodes);
    }

    /// @notice Writes what the header says, and the nodes, whose types the referee knows.
    function addNodes(Binding memory self, IReferee referee) internal view {
        Header memory header = self.header;
        for (uint256 i; i < header.inputs; ++i) {
            TensorType type_ = header.inputType(i);
            _must(0, type_.isSound(), "input");
            _put(self, TensorType.unwrap(type_));
        }
        // Of the outputs only when the values are known.
        uint256 outputs = self.to;
        _must(0, header.outputs <= Code.MOST, "outputs");
        _reserve(self, 64 * header.outputs);
        self.constants = new Constant[](Code.MOST / 64);
        Reader memory reader = Reader(self.from, self.from, type(uint256).max);
        for (uint256 i; i < header.nodes; ++i) {
            NodeRecord memory record = DescriptorLibrary.takeNode(reader);
            self.values[i] = _typeOf(referee, i, record, reader.at);
            _putNode(self, i, record);
        }
        for (uint256 i; i < header.outputs; ++i) {
            (uint256 node, TensorType type_) = header.output(i);
            _must(0, node < header.nodes && type_.isReshapeOf(self.values[node]), "output");
            Words.set(outputs, header.inputs + node);
            Words.set(outputs + 32, TensorType.unwrap(type_));
            outputs += 64;
        }
        self.table = self.to;
        _reserve(self, 32 * self.count);
    }

    /// @notice Writes where the constants are, or themselves.
    function addConstants(
        Binding memory self,
        bytes[] calldata given,
        uint256[] calldata pasts,
        mapping(bytes32 => mapping(uint256 => uint256)) storage pieces
    ) internal view {
        require(given.length == self.count, IModelCode.WrongConstant(given.length, "count"));
        uint256 used;
        for (uint256 i; i < self.count; ++i) {
            Constant memory constant_ = self.constants[i];
            if (constant_.form == Plan.RAW) _addRaw(self, i, given[i], pieces);
            else if (constant_.form == Plan.ROWS) _addRows(self, i, given[i], pieces);
            else used = _addForest(self, i, given[constant_.roots], pasts, used, pieces);
        }
        require(used == pasts.length, IModelCode.WrongConstant(self.count, "pasts"));
    }

    /// @return from Offset in memory of the plan.
    /// @return length Bytes of it.
    function finish(Binding memory self) internal pure returns (uint256 from, uint256 length) {
        Header memory header = self.header;
        Words.set(
            self.start,
            (header.inputs << 240) | (self.count << 224) | (header.nodes << 208)
                | (header.outputs << 192) | ((self.table - self.start) << 160)
        );
        return (self.start, self.to - self.start);
    }

    function rowsKey(bytes32 root, uint256 rows, uint256 columns) internal pure returns (bytes32) {
        return keccak256(abi.encode(Plan.ROWS, root, rows, columns));
    }

    function treesKey(bytes32 root, uint256 nodes) internal pure returns (bytes32) {
        return keccak256(abi.encode(Plan.FOREST_PIECES, root, nodes));
    }

    function bytesKey(bytes32 root, uint256 length) internal pure returns (bytes32) {
        return keccak256(abi.encode(Plan.RAW, root, length));
    }

    /* RECORDS */

    function _hash(uint256 at, uint256 end) private pure returns (uint256 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, at, sub(end, at))
            hash := keccak256(free, sub(end, at))
        }
    }

    /// @param hashes Offset of `count` words, which are written over.
    function _top(uint256 hashes, uint256 count) private pure returns (bytes32 root) {
        assembly ("memory-safe") {
            let empty := 0
            for {} gt(count, 1) {} {
                let to := hashes
                let end := add(hashes, shl(5, count))
                for { let from := hashes } lt(from, end) { from := add(from, 64) } {
                    mstore(0, mload(from))
                    mstore(0x20, empty)
                    if lt(add(from, 32), end) { mstore(0x20, mload(add(from, 32))) }
                    mstore(to, keccak256(0, 0x40))
                    to := add(to, 32)
                }
                mstore(0, empty)
                mstore(0x20, empty)
                empty := keccak256(0, 0x40)
                count := shr(5, sub(to, hashes))
            }
            root := mload(hashes)
        }
    }

    function _typeOf(IReferee referee, uint256 node, NodeRecord memory record, uint256 end)
        private
        view
        returns (TensorType type_)
    {
        bytes calldata bytes_;
        uint256 at = record.at;
        assembly ("memory-safe") {
            bytes_.offset := at
            bytes_.length := sub(end, at)
        }
        type_ = referee.typeOf(bytes_);
        _must(node + 1, type_ == record.outputType(), "type");
    }

    function _putNode(Binding memory self, uint256 node, NodeRecord memory record) private pure {
        uint256 operands = record.operands;
        uint256 attributes = record.attributes;
        TensorType type_ = self.values[node];
        Known.require_(node, record);
        uint256 words = 2 + 2 * operands + attributes;
        bool fits = operands < 1 << 8 && attributes < 1 << 8 && type_.elements() < 1 << 20;
        require(fits, IModelCode.NotEvaluable(node, record.op, "size"));
        _put(
            self,
            (record.op << 240) | (operands << 232) | (attributes << 224) | (words << 208)
                | (type_.elements() << 176)
        );
        _put(self, TensorType.unwrap(type_));
        for (uint256 i; i < operands; ++i) {
            _putOperand(self, node, record, i);
        }
        for (uint256 i; i < attributes; ++i) {
            _put(self, uint256(record.attribute(i)));
        }
    }

    function _putOperand(Binding memory self, uint256 node, NodeRecord memory record, uint256 i)
        private
        pure
    {
        Header memory header = self.header;
        (uint256 source, TensorType type_, bytes32 root) = record.operand(i);
        uint256 kind = source >> 248;
        uint256 index = uint32(source >> 216);
        uint256 slot;
        if (kind == INPUT) {
            bool isInput = index < header.inputs && type_.isReshapeOf(header.inputType(index));
            _must(node + 1, isInput, "input");
            slot = index;
        } else if (kind == VALUE) {
            bool isValue = index < node && type_.isReshapeOf(self.values[index]);
            _must(node + 1, isValue, "value");
            slot = header.inputs + index;
        } else {
            slot = header.inputs + header.nodes + _constant(self, node, record, i, type_, root);
        }
        require(type_.elements() < 1 << 20, IModelCode.NotEvaluable(node, record.op, "size"));
        _put(self, (slot << 240) | (type_.elements() << 208));
        _put(self, TensorType.unwrap(type_));
    }

    /* CONSTANTS */

    /// @return number Of the constant, which is new unless it was read in the same form before.
    function _constant(
        Binding memory self,
        uint256 node,
        NodeRecord memory record,
        uint256 operand,
        TensorType type_,
        bytes32 root
    ) private pure returns (uint256 number) {
        Constant memory new_;
        new_.root = root;
        new_.type_ = type_;
        new_.node = node;
        new_.form = Known.formOf(record.op, operand, type_);
        if (new_.form == Plan.FOREST_PIECES) {
            new_.steps = record.attribute(0);
            (, TensorType x,) = record.operand(0);
            new_.features = x.dim(1);
            (, TensorType roots, bytes32 rootOfRoots) = record.operand(2);
            new_.roots = self.count + 1;
            for (; number < self.count; ++number) {
                Constant memory other = self.constants[number];
                bool isIt = other.root == rootOfRoots && other.type_ == roots;
                if (isIt && other.form == Plan.RAW) new_.roots = number;
            }
        } else {
            for (; number < self.count; ++number) {
                Constant memory other = self.constants[number];
                bool isIt = other.root == root && other.type_ == type_;
                if (isIt && other.form == new_.form) return number;
            }
        }
        self.constants[number] = new_;
        self.count = number + 1;
    }

    function _addRaw(
        Binding memory self,
        uint256 number,
        bytes calldata given,
        mapping(bytes32 => mapping(uint256 => uint256)) storage pieces
    ) private view {
        Constant memory constant_ = self.constants[number];
        uint256 length = constant_.type_.length();
        uint256 offset = self.to - self.start;
        if (_isInPlan(self, length)) {
            _requireGiven(constant_, number, given);
            uint256 to = self.to;
            _reserve(self, (length + 31) & ~uint256(31));
            assembly ("memory-safe") {
                calldatacopy(to, given.offset, length)
            }
            _setConstant(self, number, Plan.RAW, offset, 0, 0, 0);
            return;
        }
        require(given.length == 0, IModelCode.WrongConstant(number, "given"));
        uint256 count = (length + PIECE - 1) / PIECE;
        bytes32 key = bytesKey(constant_.root, length);
        for (uint256 i; i < count; ++i) {
            _putPiece(self, number, pieces[key][i], i);
        }
        _setConstant(self, number, Plan.RAW_PIECES, offset, count, 0, 0);
    }

    function _addRows(
        Binding memory self,
        uint256 number,
        bytes calldata given,
        mapping(bytes32 => mapping(uint256 => uint256)) storage pieces
    ) private view {
        Constant memory constant_ = self.constants[number];
        uint256 rows = constant_.type_.dimFromEnd(2);
        uint256 columns = constant_.type_.dimFromEnd(1);
        uint256 count = RowPacker.piecesOf(rows, columns);
        uint256 offset = self.to - self.start;
        uint256 groups = (rows + RowPacker.HEIGHT - 1) / RowPacker.HEIGHT;
        if (_isInPlan(self, 32 * groups * (columns + 1))) {
            _requireGiven(constant_, number, given);
            _packInPlan(self, given, rows, columns);
            _setConstant(self, number, Plan.ROWS, offset, count, rows, columns);
            return;
        }
        require(given.length == 0, IModelCode.WrongConstant(number, "given"));
        bytes32 key = rowsKey(constant_.root, rows, columns);
        for (uint256 i; i < count; ++i) {
            _putPiece(self, number, pieces[key][i], i);
        }
        _setConstant(self, number, Plan.ROW_PIECES, offset, count, rows, columns);
    }

    /// @dev Words that say where each lot lies, and then the lots. One that is in the plan fits one piece.
    function _packInPlan(Binding memory self, bytes calldata given, uint256 rows, uint256 columns)
        private
        pure
    {
        uint256 step = RowPacker.rowsOfLot(columns);
        uint256 words = self.to;
        _reserve(self, 32 * ((rows + step - 1) / step));
        for (uint256 first; first < rows; first += step) {
            uint256 here = rows - first < step ? rows - first : step;
            uint256 size = 4 * columns;
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
                let length := mul(here, size)
                calldatacopy(free, add(given.offset, mul(first, size)), length)
                mstore(0x40, add(free, and(add(length, 63), not(31))))
            }
            (uint256 stream, uint256 outliers) = RowPacker.pack(free, here, columns);
            uint256 groups = (here + RowPacker.HEIGHT - 1) / RowPacker.HEIGHT;
            uint256 bytes_ = 32 * groups * (columns + 1) + 8 * outliers;
            uint256 to = self.to;
            _reserve(self, (bytes_ + 31) & ~uint256(31));
            Words.set(words, (to - self.start) << 160);
            words += 32;
            assembly ("memory-safe") {
                mcopy(to, stream, bytes_)
                mstore(0x40, free)
            }
        }
    }

    /// @dev Pieces of whole trees, each as long as it can be, from the first node to the last.
    function _addForest(
        Binding memory self,
        uint256 number,
        bytes calldata roots,
        uint256[] calldata pasts,
        uint256 used,
        mapping(bytes32 => mapping(uint256 => uint256)) storage pieces
    ) private view returns (uint256) {
        Constant memory constant_ = self.constants[number];
        uint256 nodes = constant_.type_.dim(0);
        bytes32 key = treesKey(constant_.root, nodes);
        uint256 offset = self.to - self.start;
        uint256 count;
        uint256 first;
        // Roots stand in the plan, and are checked when their own turn comes: so they must be all there.
        uint256 needed = self.constants[constant_.roots].type_.length();
        require(roots.length == needed, IModelCode.WrongConstant(number, "roots"));
        uint256 at;
        for (; first < nodes; ++count) {
            require(used < pasts.length, IModelCode.WrongConstant(number, "pasts"));
            uint256 past = pasts[used++];
            bool isAhead = past > first && past <= nodes;
            require(isAhead, IModelCode.WrongConstant(number, "pasts"));
            uint256 piece = pieces[key][(first << 32) | (past - first)];
            require(piece != 0, IModelCode.MissingPiece(number, count));
            bool isWalked = int256(uint256(uint16(piece >> 160))) <= constant_.steps
                && uint16(piece >> 176) <= constant_.features;
            require(isWalked, IModelCode.WrongConstant(number, "walks"));
            at = _passRoots(number, roots, at, first, past, nodes);
            _put(self, (first << 160) | uint160(piece));
            first = past;
        }
        require(4 * at == roots.length, IModelCode.WrongConstant(number, "roots"));
        _setConstant(self, number, Plan.FOREST_PIECES, offset, count, 0, 0);
        return used;
    }

    /// @notice Passes the roots that lie in a piece. They ascend, a piece begins and ends with a tree, and the next
    /// tree would not have fitted: so there is one way to cut a table, and nobody can bind a worse one.
    /// @param at Number of the first root that is not passed yet.
    function _passRoots(
        uint256 number,
        bytes calldata roots,
        uint256 at,
        uint256 first,
        uint256 past,
        uint256 nodes
    ) private pure returns (uint256) {
        bool isRight = _rootAt(roots, at, nodes) == first;
        uint256 last = first;
        for (uint256 root = first; root < past; root = _rootAt(roots, ++at, nodes)) {
            isRight = isRight && root >= last;
            last = root;
        }
        isRight = isRight && _rootAt(roots, at, nodes) == past;
        uint256 beyond = past;
        for (uint256 i = at; beyond == past && past != nodes; ++i) {
            beyond = _rootAt(roots, i, nodes);
        }
        bool isFull = past == nodes || beyond > first + ForestPacker.MOST_NODES;
        require(isRight && isFull, IModelCode.WrongConstant(number, "roots"));
        return at;
    }

    /// @return Behind the last, as many as there are nodes.
    function _rootAt(bytes calldata roots, uint256 at, uint256 nodes)
        private
        pure
        returns (uint256)
    {
        if (4 * at >= roots.length) return nodes;
        return uint32(bytes4(roots[4 * at:]));
    }

    function _setConstant(
        Binding memory self,
        uint256 number,
        uint256 form,
        uint256 offset,
        uint256 pieces,
        uint256 rows,
        uint256 columns
    ) private pure {
        TensorType type_ = self.constants[number].type_;
        Words.set(
            self.table + 32 * number,
            Plan.packConstant(form, type_.dtype(), type_.elements(), offset, pieces, rows, columns)
        );
    }

    /* WRITING */

    /// @return Whether a constant that takes so many bytes stands in the plan.
    function _isInPlan(Binding memory self, uint256 length) private pure returns (bool) {
        return length <= MOST_OF_ONE && self.to - self.start + length <= MOST_IN_PLAN;
    }

    function _requireGiven(Constant memory constant_, uint256 number, bytes calldata given)
        private
        pure
    {
        bool isLong = given.length == constant_.type_.length();
        require(isLong, IModelCode.WrongConstant(number, "length"));
        bytes32 root = Merkle.payloadRoot(given);
        require(root == constant_.root, IModelCode.WrongConstant(number, "root"));
    }

    function _putPiece(Binding memory self, uint256 number, uint256 piece, uint256 index)
        private
        pure
    {
        require(piece != 0, IModelCode.MissingPiece(number, index));
        _put(self, piece);
    }

    function _put(Binding memory self, uint256 word) private pure {
        uint256 to = self.to;
        _reserve(self, 32);
        Words.set(to, word);
    }

    function _reserve(Binding memory self, uint256 length) private pure {
        self.to += length;
        uint256 used = self.to - self.start;
        require(used <= Code.MOST, IModelCode.PlanTooLong(used, Code.MOST));
    }

    function _must(uint256 record, bool condition, string memory part) private pure {
        require(condition, IModelCode.WrongRecord(record, part));
    }
}
