// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Code} from "./evaluation/Code.sol";
import {Folds} from "./evaluation/Folds.sol";
import {Forest} from "./evaluation/Forest.sol";
import {Known} from "./evaluation/Known.sol";
import {Pointwise} from "./evaluation/Pointwise.sol";
import {Moves} from "./evaluation/Moves.sol";
import {Plan} from "./evaluation/Plan.sol";
import {Matrix, Rows} from "./evaluation/Rows.sol";
import {Transcendentals} from "./evaluation/Transcendentals.sol";
import {Words} from "./evaluation/Words.sol";
import {IEvaluator} from "./interfaces/IEvaluator.sol";
import {IModelCode} from "./interfaces/IModelCode.sol";
import {TensorType} from "./libraries/TensorType.sol";

/// @title Evaluator
/// @dev All that could be wrong with a program was found out when it was bound. A value is a word an element (`Words`).
contract Evaluator is IEvaluator {
    uint256 private constant WHERE = 0x020A;
    uint256 private constant CAST = 0x020B;
    uint256 private constant TRANSPOSE = 0x0500;
    uint256 private constant CONCAT = 0x0501;

    IModelCode public immutable CODE;
    Transcendentals public immutable TRANSCENDENTALS;

    /// @dev A run.
    /// @param plan Offset in memory, as are all of these.
    /// @param slots A word a slot: where its words are, 0 for a constant that nobody has read yet.
    /// @param table The words of constants.
    /// @param firstConstant Its slot.
    struct Machine {
        uint256 plan;
        uint256 slots;
        uint256 table;
        uint256 firstConstant;
    }

    /// @dev A node of the plan.
    /// @param at Offset in memory.
    struct Node {
        uint256 at;
        uint256 op;
        uint256 operands;
        uint256 count;
        TensorType type_;
    }

    constructor(IModelCode code, Transcendentals transcendentals) {
        CODE = code;
        TRANSCENDENTALS = transcendentals;
    }

    /// @inheritdoc IEvaluator
    function infer(bytes32 programRoot, bytes calldata input)
        external
        view
        returns (bytes memory output)
    {
        address plan = CODE.planOf(programRoot);
        require(plan != address(0), NotBound(programRoot));
        unchecked {
            Machine memory machine;
            machine.plan = _load(plan);
            uint256 counts = Words.at(machine.plan);
            uint256 inputs = counts >> 240;
            uint256 nodes = uint16(counts >> 208);
            uint256 outputs = uint16(counts >> 192);
            machine.firstConstant = inputs + nodes;
            machine.table = machine.plan + uint32(counts >> 160);
            machine.slots = _slots(inputs + nodes + uint16(counts >> 224));

            uint256 at = _readInputs(machine, input, inputs);
            uint256 outputsAt = at;
            at += 64 * outputs;
            uint256 slot = machine.slots + 32 * inputs;
            Node memory node;
            for (uint256 i; i < nodes; ++i) {
                uint256 head = Words.at(at);
                node.at = at;
                node.op = head >> 240;
                node.operands = uint8(head >> 232);
                node.count = uint32(head >> 176);
                node.type_ = TensorType.wrap(Words.at(at + 32));
                Words.set(slot, _run(machine, node));
                slot += 32;
                at += 32 * uint256(uint16(head >> 208));
            }
            return _packOutputs(machine, outputsAt, outputs);
        }
    }

    /* NODES */

    /// @return out Offset of the node's value.
    function _run(Machine memory machine, Node memory node) private view returns (uint256 out) {
        out = Words.allocate(node.count);
        uint256 family = node.op >> 8;
        if (family == 0x02) _map(machine, node, out);
        else if (family == 0x01) _dot(machine, node, out);
        else if (family == 0x04) _reduce(machine, node, out);
        else if (family == 0x03) _transcend(machine, node, out);
        else if (family == 0x05) _move(machine, node, out);
        else _walk(machine, node, out);
    }

    function _map(Machine memory machine, Node memory node, uint256 out) private view {
        Pointwise.Operand memory a = _mapped(machine, node, 0);
        if (node.op == CAST) return Pointwise.cast(a, node.type_, out);
        Pointwise.Operand memory b = node.operands == 1 ? a : _mapped(machine, node, 1);
        if (node.op != WHERE) return Pointwise.apply_(node.op, a, b, node.type_, node.count, out);
        Pointwise.where(a, b, _mapped(machine, node, 2), node.type_, node.count, out);
    }

    function _mapped(Machine memory machine, Node memory node, uint256 operand)
        private
        view
        returns (Pointwise.Operand memory)
    {
        return Pointwise.Operand(
            _words(machine, node, operand), _typeOf(node, operand), _elements(node, operand)
        );
    }

    function _transcend(Machine memory machine, Node memory node, uint256 out) private view {
        uint256 x = _words(machine, node, 0);
        address transcendentals = address(TRANSCENDENTALS);
        uint256 op = node.op;
        uint256 count = node.count;
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, count)
            mstore(free, op)
            mcopy(add(free, 0x20), x, size)
            let done := staticcall(gas(), transcendentals, free, add(size, 0x20), out, size)
            if iszero(and(done, eq(returndatasize(), size))) {
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    function _reduce(Machine memory machine, Node memory node, uint256 out) private view {
        // The one attribute of ARG_MAX; of others what lies there does not matter.
        bool isLast = Words.at(node.at + 128) != 0;
        uint256 x = _words(machine, node, 0);
        Folds.reduce(node.op, x, _typeOf(node, 0), isLast, node.count, out);
    }

    function _move(Machine memory machine, Node memory node, uint256 out) private view {
        unchecked {
            TensorType type_ = _typeOf(node, 0);
            if (node.op == CONCAT) {
                uint256 whole = node.type_.dim(1);
                for (uint256 i; i < node.operands; ++i) {
                    uint256 width = _typeOf(node, i).dim(1);
                    Moves.put(_words(machine, node, i), type_.dim(0), width, whole, out);
                    out += 32 * width;
                }
                return;
            }
            if (node.op == TRANSPOSE) {
                uint256 x = _words(machine, node, 0);
                Moves.transpose(x, type_, node.at + 128, node.count, out);
                return;
            }
            _gather(machine, node, type_, out);
        }
    }

    /// @dev Of a constant that nobody has read yet, only what is chosen becomes words: forests choose few of many
    /// leaves.
    function _gather(Machine memory machine, Node memory node, TensorType type_, uint256 out)
        private
        view
    {
        unchecked {
            uint256 indices = _words(machine, node, 1);
            uint256 count = _elements(node, 1);
            uint256 inner = type_.dim(2);
            if (Words.at(machine.slots + 32 * _slot(node, 0)) != 0) {
                uint256 x = _words(machine, node, 0);
                return Moves.gather(x, type_, 32 * inner, indices, count, out);
            }
            uint256 raw = _bytes(machine, _constant(machine, node, 0));
            uint256 size = inner * type_.itemSize();
            uint256 chosen = Words.allocate((type_.dim(0) * count * size) / 32 + 2);
            Moves.gather(raw, type_, size, indices, count, chosen);
            Words.unpackTo(chosen, node.count, type_.dtype(), out);
        }
    }

    function _dot(Machine memory machine, Node memory node, uint256 out) private view {
        unchecked {
            TensorType type_ = node.type_;
            uint256 rows = type_.dimFromEnd(1);
            if (node.count == 0) return;
            uint256 bias = node.operands == 3 ? _words(machine, node, 2) : 0;
            uint256 constant_ = _constant(machine, node, 1);
            uint256 form = Plan.formOf(constant_);
            if (form != Plan.ROWS && form != Plan.ROW_PIECES) {
                return _dotOfValues(machine, node, bias, out);
            }
            uint256 a = _words(machine, node, 0);
            Matrix memory matrix;
            matrix.plan = machine.plan;
            matrix.rows = Plan.rowsOf(constant_);
            matrix.columns = Plan.columnsOf(constant_);
            matrix.pieces = machine.plan + Plan.offsetOf(constant_);
            // Of a bias a row, or one number, each product of a vector takes the same; others are laid out first.
            uint256 step = 32;
            uint256 ahead;
            if (bias != 0) {
                uint256 elements = _elements(node, 2);
                TensorType own = _typeOf(node, 2);
                if (elements == 1) {
                    step = 0;
                } else if (elements != rows || own.dimFromEnd(1) != rows) {
                    bias = _spread(bias, own, node);
                    ahead = 32 * rows;
                }
            } else {
                step = 0;
            }
            for (uint256 end = out + 32 * node.count; out < end; out += 32 * rows) {
                Rows.dot(a, matrix, bias, step, out);
                a += 32 * matrix.columns;
                bias += ahead;
            }
        }
    }

    /// @dev A [*batch, M, K] and B [*batch, N, K], by the plain rules.
    function _dotOfValues(Machine memory machine, Node memory node, uint256 bias, uint256 out)
        private
        view
    {
        unchecked {
            TensorType type_ = node.type_;
            TensorType typeA = _typeOf(node, 0);
            TensorType typeB = _typeOf(node, 1);
            TensorType batch = type_.leading(type_.rank() - 2);
            uint256 a = _words(machine, node, 0);
            uint256 b = _words(machine, node, 1);
            uint256 k = typeA.dimFromEnd(1);
            uint256 columns = type_.dimFromEnd(1);
            uint256 rows = type_.dimFromEnd(2);
            if (bias != 0) bias = _spread(bias, _typeOf(node, 2), node);
            uint256 free = Words.freeMemory();
            for (uint256 i; i < node.count; ++i) {
                uint256 row = i / columns;
                uint256 matrix = row / rows;
                uint256 left = batch.placeIn(typeA.leading(typeA.rank() - 2), matrix) * rows;
                uint256 right = batch.placeIn(typeB.leading(typeB.rank() - 2), matrix) * columns;
                left = a + 32 * k * (left + row % rows);
                right = b + 32 * k * (right + i % columns);
                uint256 term = bias == 0 ? 0 : Words.at(bias + 32 * i);
                Words.set(out + 32 * i, Folds.dot(left, right, k, term, typeA));
                Words.release(free);
            }
        }
    }

    /// @notice Broadcasts a bias to the node's value.
    function _spread(uint256 bias, TensorType type_, Node memory node)
        private
        pure
        returns (uint256 words)
    {
        unchecked {
            words = Words.allocate(node.count);
            for (uint256 i; i < node.count; ++i) {
                uint256 place = node.type_.placeIn(type_, i);
                Words.set(words + 32 * i, Words.at(bias + 32 * place));
            }
        }
    }

    function _walk(Machine memory machine, Node memory node, uint256 out) private view {
        unchecked {
            uint256 x = _words(machine, node, 0);
            TensorType type_ = _typeOf(node, 0);
            uint256 features = type_.dim(1);
            uint256 trees = _elements(node, 2);
            if (trees == 0) return;
            uint256 forest = _constant(machine, node, 1);
            uint256 roots = machine.plan + Plan.offsetOf(_constant(machine, node, 2));
            uint256 pieces = machine.plan + Plan.offsetOf(forest);
            for (uint256 i; i < type_.dim(0); ++i) {
                Forest.walk(x, features, roots, trees, pieces, Plan.piecesOf(forest), out);
                x += 32 * features;
                out += 32 * trees;
            }
        }
    }

    /* OPERANDS */

    function _slot(Node memory node, uint256 operand) private pure returns (uint256) {
        unchecked {
            return Words.at(node.at + 64 + 64 * operand) >> 240;
        }
    }

    function _elements(Node memory node, uint256 operand) private pure returns (uint256) {
        unchecked {
            return uint32(Words.at(node.at + 64 + 64 * operand) >> 208);
        }
    }

    function _typeOf(Node memory node, uint256 operand) private pure returns (TensorType) {
        unchecked {
            return TensorType.wrap(Words.at(node.at + 96 + 64 * operand));
        }
    }

    /// @return The word of a constant; 0 where the operand is none.
    function _constant(Machine memory machine, Node memory node, uint256 operand)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 slot = _slot(node, operand);
            if (slot < machine.firstConstant) return 0;
            return Words.at(machine.table + 32 * (slot - machine.firstConstant));
        }
    }

    /// @return words Of a constant when it is first read.
    function _words(Machine memory machine, Node memory node, uint256 operand)
        private
        view
        returns (uint256 words)
    {
        unchecked {
            uint256 place = machine.slots + 32 * _slot(node, operand);
            words = Words.at(place);
            if (words != 0) return words;
            uint256 constant_ = _constant(machine, node, operand);
            uint256 raw = _bytes(machine, constant_);
            words = Words.unpack(raw, Plan.elementsOf(constant_), Plan.dtypeOf(constant_));
            Words.set(place, words);
        }
    }

    /// @return raw Offset of a constant's bytes, in the plan or joined.
    function _bytes(Machine memory machine, uint256 constant_) private view returns (uint256 raw) {
        unchecked {
            raw = machine.plan + Plan.offsetOf(constant_);
            if (Plan.formOf(constant_) != Plan.RAW_PIECES) return raw;
            return _join(raw, Plan.piecesOf(constant_));
        }
    }

    /* MEMORY */

    function _load(address plan) private view returns (uint256 at) {
        uint256 length = Code.lengthOf(plan);
        at = Words.allocate(length / 32 + 2);
        assembly ("memory-safe") {
            extcodecopy(plan, at, 1, length)
        }
    }

    /// @param pieces Offset of their addresses.
    /// @return raw Offset of what they hold.
    function _join(uint256 pieces, uint256 count) private view returns (uint256 raw) {
        unchecked {
            raw = Words.allocate(0);
            uint256 to = raw;
            for (uint256 end = pieces + 32 * count; pieces < end; pieces += 32) {
                address piece = address(uint160(Words.at(pieces)));
                uint256 length = Code.lengthOf(piece);
                assembly ("memory-safe") {
                    extcodecopy(piece, to, 1, length)
                }
                to += length;
            }
            Words.allocate((to - raw) / 32 + 2);
        }
    }

    function _slots(uint256 count) private pure returns (uint256 slots) {
        slots = Words.allocate(count);
        assembly ("memory-safe") {
            calldatacopy(slots, calldatasize(), shl(5, count))
        }
    }

    /// @return at Offset of what follows the inputs' types in the plan.
    function _readInputs(Machine memory machine, bytes calldata input, uint256 inputs)
        private
        pure
        returns (uint256 at)
    {
        unchecked {
            uint256 raw = Words.allocate(input.length / 32 + 2);
            assembly ("memory-safe") {
                calldatacopy(raw, input.offset, input.length)
            }
            at = machine.plan + 32;
            uint256 needed;
            for (uint256 i; i < inputs; ++i) {
                TensorType type_ = TensorType.wrap(Words.at(at));
                uint256 length = type_.length();
                needed += length;
                require(needed <= input.length, WrongInputLength(input.length, needed));
                uint256 words = Words.unpack(raw, type_.elements(), type_.dtype());
                Words.set(machine.slots + 32 * i, words);
                raw += length;
                at += 32;
            }
            require(needed == input.length, WrongInputLength(input.length, needed));
        }
    }

    function _packOutputs(Machine memory machine, uint256 at, uint256 count)
        private
        pure
        returns (bytes memory output)
    {
        unchecked {
            uint256 to;
            assembly ("memory-safe") {
                output := mload(0x40)
                to := add(output, 32)
            }
            uint256 from = to;
            for (uint256 end = at + 64 * count; at < end; at += 64) {
                uint256 words = Words.at(machine.slots + 32 * Words.at(at));
                to = Words.pack(words, TensorType.wrap(Words.at(at + 32)), to);
            }
            assembly ("memory-safe") {
                mstore(output, sub(to, from))
                mstore(0x40, and(add(to, 63), not(31)))
            }
        }
    }
}
