"""Arithmetic on float32, several operations in one pass over blocks that the first cache holds.

Each operation is IEEE's, rounded on its own, as if its result had been stored; `ops/elementwise.py`
says what is then left to do for the law: the sign of zero after MUL and DIV.
"""

import numpy as np
from numba import types

from oracle.exact.kernels.compiled import compiled, compiled_for, inlined
from oracle.tensor import Array

ADD, SUB, MUL, DIV, MAX, MIN, LESS, EQUAL, WHERE, NEG, ABS, SQRT = range(12)
OPERANDS = 6
BLOCK = 1 << 10
_NUMBERS = types.Array(types.float32, 1, "C", readonly=True)
_TABLE = types.Array(types.int64, 2, "C", readonly=True)


@compiled
def _load(data: Array, repeat: int, size: int, start: int, block: int, into: Array) -> None:
    """Loads elements (i // repeat) mod size of `data`, from i = `start`, a multiple of `block`."""
    count = into.size
    if repeat == 1 and size >= start + count:
        part = data[start : start + count]
        for at in range(count):
            into[at] = part[at]
        return
    if size == 1:
        if start == 0:
            into[:] = data[0]
        return
    if repeat == 1 and start > 0 and block % size == 0:
        return  # they are there since the first block
    done = 0
    while done < count:
        place, begun = divmod(start + done, repeat)
        place %= size
        if repeat == 1:
            run = min(size - place, count - done)
            for at in range(run):
                into[done + at] = data[place + at]
        else:
            run = min(repeat - begun, count - done)
            for at in range(run):
                into[done + at] = data[place]
        done += run


@inlined
def _apply(op: int, x: Array, y: Array, z: Array, out: Array) -> None:
    zero, one = np.float32(0), np.float32(1)
    if op == ADD:
        for at in range(out.size):
            out[at] = x[at] + y[at]
    elif op == SUB:
        for at in range(out.size):
            out[at] = x[at] - y[at]
    elif op == MUL:
        for at in range(out.size):
            out[at] = x[at] * y[at] + zero
    elif op == DIV:
        for at in range(out.size):
            out[at] = x[at] / y[at] + zero
    elif op == MAX:
        for at in range(out.size):
            out[at] = x[at] if x[at] >= y[at] or x[at] != x[at] else y[at]
    elif op == MIN:
        for at in range(out.size):
            out[at] = x[at] if x[at] <= y[at] or x[at] != x[at] else y[at]
    elif op == LESS:
        for at in range(out.size):
            out[at] = one if x[at] < y[at] else zero
    elif op == EQUAL:
        for at in range(out.size):
            out[at] = one if x[at] == y[at] else zero
    elif op == WHERE:
        for at in range(out.size):
            yes, no = y[at], z[at]
            out[at] = yes if x[at] != zero else no
    elif op == NEG:
        for at in range(out.size):
            out[at] = zero - x[at]
    elif op == ABS:
        for at in range(out.size):
            out[at] = abs(x[at])
    else:
        for at in range(out.size):
            out[at] = np.sqrt(x[at])


@compiled_for(types.void(_TABLE, _TABLE, types.int64, *[_NUMBERS] * OPERANDS, types.float32[::1]))
def run(
    code: Array,
    modes: Array,
    block: int,
    a: Array,
    b: Array,
    c: Array,
    d: Array,
    e: Array,
    f: Array,
    out: Array,
) -> None:
    """Runs `code` block by block and writes the last operation's results to `out`.

    `modes` has repeat and size of each operand. `code` has for each operation its number and three
    places, which count the operands and after them the results in order. An operand whose size
    divides `block` reads alike in every block, and is laid out once.
    """
    given, size = len(modes), out.size
    block = min(block, size)
    registers = np.empty((given + len(code), block), np.float32)
    for start in range(0, size, block):
        count = min(block, size - start)
        if given > 0:
            _load(a, modes[0, 0], modes[0, 1], start, block, registers[0, :count])
        if given > 1:
            _load(b, modes[1, 0], modes[1, 1], start, block, registers[1, :count])
        if given > 2:
            _load(c, modes[2, 0], modes[2, 1], start, block, registers[2, :count])
        if given > 3:
            _load(d, modes[3, 0], modes[3, 1], start, block, registers[3, :count])
        if given > 4:
            _load(e, modes[4, 0], modes[4, 1], start, block, registers[4, :count])
        if given > 5:
            _load(f, modes[5, 0], modes[5, 1], start, block, registers[5, :count])
        for at in range(len(code) - 1):
            x, y, z = registers[code[at, 1]], registers[code[at, 2]], registers[code[at, 3]]
            _apply(code[at, 0], x, y, z, registers[given + at, :count])
        at = len(code) - 1
        x, y, z = registers[code[at, 1]], registers[code[at, 2]], registers[code[at, 3]]
        _apply(code[at, 0], x, y, z, out[start : start + count])
