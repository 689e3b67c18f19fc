// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Elements} from "../libraries/Elements.sol";
import {ExactSum} from "../libraries/ExactSum.sol";
import {Float32} from "../libraries/Float32.sol";
import {Products} from "../libraries/Products.sol";
import {Task, TaskLibrary} from "../libraries/Task.sol";
import {TensorType, TensorTypeLibrary} from "../libraries/TensorType.sol";
import {Operation} from "./Operation.sol";

/// @title CONV, MAX_POOL, AVERAGE_POOL
/// @dev One window of an image [N, *size, C]. Reads, for CONV, the weights of the output channel and the bias; then the
/// elements that the window's taps stand on, in C order: along the last axis as one run where they are neighbours, else
/// tap by tap.
contract Window is Operation {
    uint256 private constant CONV = 0x0600;
    uint256 private constant MAX_POOL = 0x0601;
    uint256 private constant AVERAGE_POOL = 0x0602;

    /// @dev Operands.
    uint256 private constant X = 0;
    uint256 private constant WEIGHTS = 1;
    uint256 private constant BIAS = 2;

    /// @dev Attributes of an axis, behind the primitive's own.
    uint256 private constant AN_AXIS = 6;

    /// @param first The spot of the first tap; element p stands at the spot p·spacing.
    /// @param from The first tap that stands on an element, and of the others every `step`th before `to`.
    struct Axis {
        uint256 size;
        uint256 kernel;
        int256 dilation;
        int256 spacing;
        int256 end;
        int256 first;
        uint256 from;
        uint256 to;
        uint256 step;
    }

    /// @param channels Of the image.
    /// @param perTap How many of them a tap reads, from `channel` on.
    /// @param isOff Whether no tap stands on an element.
    /// @param taps Those that stood on an element.
    /// @param extreme Of a MAX_POOL: the largest so far, a float's key or a number.
    /// @param whole Of a CONV of integers: the sum so far.
    struct Walk {
        Task task;
        Axis[] axes;
        uint256 channels;
        uint256 perTap;
        uint256 channel;
        uint256 weights;
        bool isOff;
        uint256 taps;
        ExactSum.Sum sum;
        int256 extreme;
        int256 whole;
    }

    /* TYPES */

    function _infer(Task memory task) internal pure override returns (TensorType) {
        TensorType x = task.typeOf(X);
        bool isConv = task.op == CONV;
        require(isConv || task.op == MAX_POOL || task.op == AVERAGE_POOL, UnknownOp(task.op));
        uint256 operands = task.operands.length;
        task.must(operands == 1 || (isConv && (operands == 2 || operands == 3)), "operands");
        task.must(operands > 1 || !isConv, "operands");
        task.must(x.rank() >= 3 && x.elements() != 0, "x");
        uint256 axes = x.rank() - 2;
        task.expect(operands, 1 + AN_AXIS * axes);
        _checkDtype(task, x.dtype());

        TensorType output = x.leading(1);
        for (uint256 axis; axis < axes; ++axis) {
            output = output.append(_windows(task, axis, x.dim(1 + axis)));
        }
        return output.append(isConv ? _outputChannels(task, x) : x.dim(1 + axes));
    }

    function _checkDtype(Task memory task, uint256 dtype) private pure {
        bool isFloat = dtype == TensorTypeLibrary.FLOAT;
        bool isInt32 = dtype == TensorTypeLibrary.INT32;
        bool isOf = task.op == AVERAGE_POOL
            ? isFloat
            : task.op == CONV ? isFloat || isInt32 : dtype != TensorTypeLibrary.BOOL;
        task.must(isOf, "dtype");
        for (uint256 operand = WEIGHTS; operand < task.operands.length; ++operand) {
            task.must(task.typeOf(operand).dtype() == dtype, "dtype");
        }
    }

    /// @return How many windows an axis has.
    function _windows(Task memory task, uint256 axis, uint256 size) private pure returns (uint256) {
        (int256 kernel, int256 stride, int256 dilation, int256 begin, int256 end, int256 last) =
            _axisOf(task, axis);
        bool isConv = task.op == CONV;
        (int256 spacing, int256 overhang) = isConv ? (last, int256(0)) : (int256(1), last);
        bool isSound = kernel > 0 && stride > 0 && dilation > 0 && spacing > 0 && overhang >= 0;
        task.must(isSound, "axis");

        int256 extent = (int256(size) - 1) * spacing + 1 + begin + end + overhang;
        int256 reach = (kernel - 1) * dilation + 1;
        task.must(extent >= reach, "axis");
        return uint256((extent - reach) / stride + 1);
    }

    /// @dev weights [O, *kernel, C / group], bias [O]
    function _outputChannels(Task memory task, TensorType x)
        private
        pure
        returns (uint256 outputs)
    {
        TensorType weights = task.typeOf(WEIGHTS);
        uint256 axes = x.rank() - 2;
        task.must(weights.rank() == x.rank(), "weights");
        for (uint256 axis; axis < axes; ++axis) {
            (int256 kernel,,,,,) = _axisOf(task, axis);
            task.must(int256(weights.dim(1 + axis)) == kernel, "weights");
        }
        outputs = weights.dim(0);
        uint256 group = uint256(_int32(task, 0));
        bool fits = int256(group) > 0 && weights.dim(1 + axes) * group == x.dim(1 + axes)
            && outputs % group == 0;
        task.must(fits, "group");
        if (task.operands.length == 3) {
            TensorType bias = task.typeOf(BIAS);
            task.must(bias.rank() == 1 && bias.dim(0) == outputs, "bias");
        }
    }

    /// @return kernel, stride, dilation, begin, end and CONV's spacing or a pool's overhang
    function _axisOf(Task memory task, uint256 axis)
        private
        pure
        returns (int256, int256, int256, int256, int256, int256)
    {
        uint256 at = 1 + AN_AXIS * axis;
        return (
            _int32(task, at),
            _int32(task, at + 1),
            _int32(task, at + 2),
            _int32(task, at + 3),
            _int32(task, at + 4),
            _int32(task, at + 5)
        );
    }

    /// @dev So that nothing that is made of them overflows.
    function _int32(Task memory task, uint256 index) private pure returns (int256 value) {
        value = task.attribute(index);
        task.must(value == int32(value), "attributes");
    }

    /* ONE WINDOW */

    function _compute(Task memory task) internal pure override returns (uint256) {
        TensorType x = task.typeOf(X);
        Walk memory walk;
        walk.task = task;
        walk.channels = x.dimFromEnd(1);
        uint256 outputs = task.output.dimFromEnd(1);
        uint256 output = task.element % outputs;
        uint256 image = _place(walk, task.element / outputs);

        if (task.op == CONV) return _convolve(walk, image, output, outputs);

        walk.perTap = 1;
        walk.channel = output;
        if (task.op == MAX_POOL) {
            (walk.extreme,) = Elements.limitsOf(x);
            if (x.isFloat()) walk.extreme = -int256(uint256(Float32.INFINITY));
            _scan(walk, image);
            return x.isFloat() ? Elements.bitsOfKey(walk.extreme) : Elements.bitsOf(walk.extreme, x);
        }
        walk.sum = ExactSum.create();
        _scan(walk, image);
        uint256 count = task.attribute(0) == 0 ? walk.taps : _paddedTaps(walk);
        return count == 0 ? Float32.NAN : ExactSum.roundQuotient(walk.sum, count);
    }

    function _convolve(Walk memory walk, uint256 image, uint256 output, uint256 outputs)
        private
        pure
        returns (uint256)
    {
        Task memory task = walk.task;
        TensorType weights = task.typeOf(WEIGHTS);
        uint256 row = weights.elementsFrom(1);
        uint256 group = uint256(task.attribute(0));
        walk.perTap = weights.dimFromEnd(1);
        walk.channel = output / (outputs / group) * walk.perTap;
        walk.weights = task.read(WEIGHTS, output * row, row);
        bool hasBias = task.operands.length == 3;

        if (!task.output.isFloat()) {
            if (hasBias) walk.whole = task.integer(BIAS, output);
            _scan(walk, image);
            return Elements.bitsOf(walk.whole, task.output);
        }
        walk.sum = ExactSum.create();
        if (hasBias) ExactSum.addTerm(walk.sum, task.float(BIAS, output));
        _scan(walk, image);
        return ExactSum.round(walk.sum);
    }

    /// @dev Where the window lies, by its place among all windows of all images.
    /// @return image Its number.
    function _place(Walk memory walk, uint256 window) private pure returns (uint256 image) {
        Task memory task = walk.task;
        TensorType x = task.typeOf(X);
        walk.axes = new Axis[](x.rank() - 2);
        for (uint256 left = walk.axes.length; left > 0; --left) {
            uint256 axis = left - 1;
            uint256 windows = task.output.dim(1 + axis);
            (int256 kernel, int256 stride, int256 dilation, int256 begin, int256 end, int256 last) =
                _axisOf(task, axis);
            walk.axes[axis] = Axis({
                size: x.dim(1 + axis),
                kernel: uint256(kernel),
                dilation: dilation,
                spacing: task.op == CONV ? last : int256(1),
                end: end,
                first: int256(window % windows) * stride - begin,
                from: 0,
                to: 0,
                step: 1
            });
            if (!_stands(walk.axes[axis])) walk.isOff = true;
            window /= windows;
        }
        return window;
    }

    /// @dev Each round of its loops ends in a read: where an axis has no tap on an element, none has a round.
    function _scan(Walk memory walk, uint256 image) private pure {
        if (!walk.isOff) _scan(walk, 0, 0, image);
    }

    /// @param tap, place So far: of the axes before, in C order.
    function _scan(Walk memory walk, uint256 number, uint256 tap, uint256 place) private pure {
        Axis memory axis = walk.axes[number];
        (uint256 from, uint256 to, uint256 step) = (axis.from, axis.to, axis.step);
        tap *= axis.kernel;
        place *= axis.size;
        bool isLast = number + 1 == walk.axes.length;

        bool areNeighbours = axis.dilation == axis.spacing && walk.perTap == walk.channels;
        if (isLast && areNeighbours) {
            return _fold(walk, tap + from, place + _elementAt(axis, from), to - from);
        }
        for (uint256 k = from; k < to; k += step) {
            uint256 element = _elementAt(axis, k);
            if (isLast) _fold(walk, tap + k, place + element, 1);
            else _scan(walk, number + 1, tap + k, place + element);
        }
    }

    /// @param tap One that stands on an element.
    function _elementAt(Axis memory axis, uint256 tap) private pure returns (uint256) {
        return uint256((axis.first + int256(tap) * axis.dilation) / axis.spacing);
    }

    /// @notice Finds the taps that stand on elements.
    /// @return Whether there are any.
    function _stands(Axis memory axis) private pure returns (bool) {
        (uint256 from, uint256 to) = _onImage(axis);
        if (axis.spacing != 1) {
            uint256 step = uint256(axis.spacing) / _gcd(axis.spacing, axis.dilation);
            // Of so many neighbours one stands on an element, or none ever does. Only a CONV has a spacing, and its
            // proof has a weight for each tap.
            uint256 past = to < from + step ? to : from + step;
            while (from < past && !_isOnElement(axis, from)) {
                ++from;
            }
            if (from == past) to = from;
            axis.step = step;
        }
        axis.from = from;
        axis.to = to;
        return from < to;
    }

    function _isOnElement(Axis memory axis, uint256 tap) private pure returns (bool) {
        return (axis.first + int256(tap) * axis.dilation) % axis.spacing == 0;
    }

    function _gcd(int256 a, int256 b) private pure returns (uint256) {
        while (b != 0) (a, b) = (b, a % b);
        return uint256(a);
    }

    /// @return from The first tap that stands on the image, or between its elements.
    /// @return to Past the last.
    function _onImage(Axis memory axis) private pure returns (uint256 from, uint256 to) {
        if (axis.first < 0) from = uint256((-axis.first + axis.dilation - 1) / axis.dilation);
        int256 left = (int256(axis.size) - 1) * axis.spacing - axis.first;
        if (left >= 0) to = uint256(left / axis.dilation) + 1;
        if (to > axis.kernel) to = axis.kernel;
    }

    /// @dev Takes in what `count` neighbouring taps stand on. The memory that it reads into is free after it: a window
    /// may have thousands of runs, and memory costs more the more there is.
    function _fold(Walk memory walk, uint256 tap, uint256 place, uint256 count) private pure {
        uint256 free = TaskLibrary.freeMemory();
        uint256 length = count * walk.perTap;
        uint256 data = walk.task.read(X, place * walk.channels + walk.channel, length);
        walk.taps += count;

        if (walk.task.op == AVERAGE_POOL) ExactSum.addTerms(walk.sum, data, length);
        else if (walk.task.op == MAX_POOL) _foldMaximum(walk, data, length);
        else _foldProducts(walk, data, walk.weights + 4 * tap * walk.perTap, length);
        TaskLibrary.release(free);
    }

    function _foldProducts(Walk memory walk, uint256 data, uint256 weights, uint256 length)
        private
        pure
    {
        TensorType type_ = walk.task.output;
        if (type_.isFloat()) return ExactSum.addProducts(walk.sum, data, weights, length);
        unchecked {
            walk.whole += Products.sumOf(data, weights, length, type_);
        }
    }

    function _foldMaximum(Walk memory walk, uint256 data, uint256 length) private pure {
        TensorType type_ = walk.task.output;
        bool isFloat = type_.isFloat();
        int256 extreme = walk.extreme;
        unchecked {
            for (uint256 i; i < length; ++i) {
                int256 key = isFloat ? Elements.keyAt(data, i) : Elements.integerAt(data, i, type_);
                if (key > extreme) extreme = key;
            }
        }
        walk.extreme = extreme;
    }

    /// @return product Of the taps along each axis at spots below the image's end and its padding.
    function _paddedTaps(Walk memory walk) private pure returns (uint256 product) {
        product = 1;
        for (uint256 i; i < walk.axes.length; ++i) {
            Axis memory axis = walk.axes[i];
            int256 left = int256(axis.size) + axis.end - 1 - axis.first;
            uint256 taps = left < 0 ? 0 : uint256(left / axis.dilation) + 1;
            product *= taps < axis.kernel ? taps : axis.kernel;
        }
    }
}
