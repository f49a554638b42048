"""The machine code of piece commitments: many SHA-256 tree nodes at once, one in each lane.

A vector holds the same 32-bit word of 32, 16, 8 or 4 neighbouring nodes, so that one instruction
advances all of them. A *group* is the 16 message words of that many nodes (64 bytes a node).
Digests are written straight into the groups of the level above: left children are words 0-7,
right children words 8-15. This module writes LLVM's intermediate language and does nothing else;
``kernel`` compiles, keeps and runs it, and ``commp`` has the plain form of the same calculation.

Sources: FIPS 180-4 for the rounds; the Filecoin specification, "Piece commitment", for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isqrt
from typing import Any

from llvmlite import ir

from freehold.markets.storage.commp import UNIT_HEIGHT, UNIT_RAW
from freehold.markets.storage.kernel import ENTRY

_I8 = ir.IntType(8)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_BYTES = _I8.as_pointer()
_QUAD = ir.VectorType(_I64, 4)
_LEAF = ir.VectorType(_I32, 8)
STRIDE = 8
"""Rounds of SHA-256 in one turn of a loop."""
_LEAF_AT = ((0, 0), (31, 6), (63, 4), (95, 2))
"""First byte and right shift of each of the four 254-bit leaves in 127 bytes."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(value: int) -> int:
    low, high = 0, 1 << (value.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle)
    return low


_START = [isqrt(prime << 64) & 0xFFFFFFFF for prime in _primes(8)]
_ROUND = [_cube_root(prime << 96) & 0xFFFFFFFF for prime in _primes(64)]


def _rotate(value: int, count: int) -> int:
    return (value >> count | value << (32 - count)) & 0xFFFFFFFF


def _padding_schedule() -> list[int]:
    """Round inputs of the second block: it is the same for every 64-byte message."""
    words = [0x80000000, *[0] * 14, 512]
    for i in range(16, 64):
        x, y = words[i - 15], words[i - 2]
        low = _rotate(x, 7) ^ _rotate(x, 18) ^ x >> 3
        high = _rotate(y, 17) ^ _rotate(y, 19) ^ y >> 10
        words.append((words[i - 16] + low + words[i - 7] + high) & 0xFFFFFFFF)
    return [(word + constant) & 0xFFFFFFFF for word, constant in zip(words, _ROUND, strict=True)]


def _splat(kind: Any, value: int) -> Any:
    return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)


def _shuffle(b: Any, x: Any, y: Any, picks: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(picks)), [ir.Constant(_I32, i) for i in picks])
    return b.shuffle_vector(x, y, mask)


def _times(b: Any, value: Any, factor: int) -> Any:
    return b.mul(value, ir.Constant(_I64, factor))


def _at(b: Any, base: Any, offset: Any) -> Any:
    return b.gep(base, [ir.Constant(_I64, offset) if isinstance(offset, int) else offset])


def _load(b: Any, base: Any, offset: int, kind: Any) -> Any:
    loaded = b.load(b.bitcast(_at(b, base, offset), kind.as_pointer()))
    loaded.align = 1
    return loaded


def _store(b: Any, value: Any, base: Any, offset: int) -> None:
    stored = b.store(value, b.bitcast(_at(b, base, offset), value.type.as_pointer()))
    stored.align = 1


def _builtin(b: Any, name: str, *values: Any) -> Any:
    kind = values[0].type
    full = f"llvm.{name}.v{kind.count}i{kind.element.width}"
    if full not in b.module.globals:
        ir.Function(b.module, ir.FunctionType(kind, [kind] * len(values)), full)
    return b.call(b.module.globals[full], values)


@contextmanager
def _loop(b: Any, count: Any) -> Iterator[Any]:
    """Emit the body of the ``with`` as ``for index in range(count)``; ``count`` is at least 1."""
    before = b.block
    body, after = b.append_basic_block(), b.append_basic_block()
    b.branch(body)
    b.position_at_end(body)
    index = b.phi(_I64)
    index.add_incoming(ir.Constant(_I64, 0), before)
    yield index
    following = b.add(index, ir.Constant(_I64, 1))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_unsigned("<", following, count), body, after)
    b.position_at_end(after)


def _rotations(b: Any, x: Any, *counts: int) -> Any:
    """Exclusive or of ``x`` rotated right by each of ``counts``."""
    first, *others = (_builtin(b, "fshr", x, x, _splat(x.type, count)) for count in counts)
    for other in others:
        first = b.xor(first, other)
    return first


def _round(b: Any, state: list[Any], word: Any) -> list[Any]:
    s, t, u, v, e, f, g, h = state
    choice = b.xor(g, b.and_(e, b.xor(f, g)))
    first = b.add(b.add(h, word), b.add(_rotations(b, e, 6, 11, 25), choice))
    majority = b.or_(b.and_(s, t), b.and_(u, b.or_(s, t)))
    second = b.add(_rotations(b, s, 2, 13, 22), majority)
    return [b.add(first, second), s, t, u, b.add(v, first), e, f, g]


def _rounds(b: Any, state: list[Any], span: range, word: Callable[[Any], Any]) -> list[Any]:
    """The rounds of ``span`` over ``state``, a few in each turn of a loop; ``word`` gives the
    input of a round.

    Unrolled as a whole, the halves of a vector that is wider than the machine's would be
    calculated one after the other; so both are under way at the same time.
    """
    before = b.block
    with _loop(b, ir.Constant(_I64, len(span) // STRIDE)) as turn:
        entering = [b.phi(value.type) for value in state]
        first = b.add(_times(b, turn, STRIDE), ir.Constant(_I64, span.start))
        after: list[Any] = list(entering)
        for step in range(STRIDE):
            after = _round(b, after, word(b.add(first, ir.Constant(_I64, step))))
        for phi, start, end in zip(entering, state, after, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(end, b.block)
    return after


def _joined(b: Any, parts: list[Any]) -> Any:
    """Vectors of a power of two, one behind the other in one."""
    while len(parts) > 1:
        picks = list(range(2 * parts[0].type.count))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [_shuffle(b, x, y, picks) for x, y in pairs]
    return parts[0]


def _transpose(b: Any, rows: list[Any]) -> list[Any]:
    """Transpose square blocks of ``len(rows)`` words by swapping ever larger off-diagonals."""
    step = 1
    while step < len(rows):
        for i in (i for i in range(len(rows)) if not i & step):
            x, y = rows[i], rows[i + step]
            size = x.type.count
            low = [j if not j & step else size + j - step for j in range(size)]
            high = [j + step if not j & step else size + j for j in range(size)]
            rows[i], rows[i + step] = _shuffle(b, x, y, low), _shuffle(b, x, y, high)
        step *= 2
    return rows


def _leaf(b: Any, source: Any, chunk: int, index: int) -> Any:
    """Words of one 254-bit leaf: two overlapping 64-bit reads a lane, shifted together."""
    first, shift = _LEAF_AT[index]
    bits = _load(b, source, chunk + first, _QUAD)
    if shift:
        if index == 3:
            # The last lane needs nothing from above, and one byte more may not be ours to read.
            above = _load(b, source, chunk + 88, _QUAD)
            above = _shuffle(b, above, _splat(_QUAD, 0), [1, 2, 3, 4])
        else:
            above = _load(b, source, chunk + first + 1, _QUAD)
        bits = b.lshr(bits, _splat(_QUAD, shift))
        bits = b.or_(bits, b.shl(above, _splat(_QUAD, 8 - shift)))
    keep = [2**64 - 1] * 3 + [2**62 - 1]
    bits = b.and_(bits, ir.Constant(_QUAD, [ir.Constant(_I64, lane) for lane in keep]))
    return _builtin(b, "bswap", b.bitcast(bits, _LEAF))


class _Writer:
    """Writes the functions of one module, for vectors of ``lanes`` words."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.vector = ir.VectorType(_I32, lanes)
        self.group = 64 * lanes
        self.module = ir.Module(name=ENTRY)
        self.keys = self._table("keys", _ROUND)
        self.padding = self._table("padding", _padding_schedule())
        self.leaf_group = self._function("leaf_group", [_BYTES, _BYTES])
        self.node_group = self._function("node_group", [_BYTES, _BYTES])

    def _function(self, name: str, arguments: list[Any]) -> Any:
        made = ir.Function(self.module, ir.FunctionType(ir.VoidType(), arguments), name)
        made.linkage = "internal"
        made.attributes.add("noinline")
        return made

    def _table(self, name: str, entries: list[int]) -> Any:
        kind = ir.ArrayType(_I32, len(entries))
        made = ir.GlobalVariable(self.module, kind, name)
        made.linkage, made.global_constant = "internal", True
        made.initializer = ir.Constant(kind, entries)
        return made

    def write_leaf_group(self) -> None:
        """(raw, group): fr32-expand the raw bytes of one group into its messages."""
        raw, group = self.leaf_group.args
        b = ir.IRBuilder(self.leaf_group.append_basic_block())
        leaves = [_leaf(b, raw, 127 * (i // 4), i % 4) for i in range(2 * self.lanes)]
        words = self._columns(b, leaves[0::2]) + self._columns(b, leaves[1::2])
        for word, column in enumerate(words):
            _store(b, column, group, word * self.lanes * 4)
        b.ret_void()

    def _columns(self, b: Any, leaves: list[Any]) -> list[Any]:
        """Words 0..7 of ``lanes`` leaves, each as one vector with a lane for every leaf."""
        if self.lanes >= 8:
            return _transpose(b, [_joined(b, leaves[row::8]) for row in range(8)])
        low, high = ([_shuffle(b, x, x, list(range(i, i + 4))) for x in leaves] for i in (0, 4))
        return _transpose(b, low) + _transpose(b, high)

    def write_node_group(self) -> None:
        """(group, target): hash a group; digests fill half of the group at ``target``."""
        group, target = self.node_group.args
        b = ir.IRBuilder(self.node_group.append_basic_block())
        for word, digest in enumerate(self._digests(b, group)):
            for side in (0, 1):
                children = _shuffle(b, digest, digest, list(range(side, self.lanes, 2)))
                _store(b, children, target, (word + 8 * side) * self.lanes * 4)
        b.ret_void()

    def _digests(self, b: Any, group: Any) -> list[Any]:
        words = b.bitcast(b.alloca(self.vector, size=64), _BYTES)
        for word in range(16):
            at = word * self.lanes * 4
            _store(b, _load(b, group, at, self.vector), words, at)
        start = [_splat(self.vector, word) for word in _START]
        state = _rounds(b, start, range(16), lambda i: self._keyed(b, self._word(b, words, i), i))
        state = _rounds(b, state, range(16, 64), lambda i: self._scheduled(b, words, i))
        middle = [b.add(x, y) for x, y in zip(start, state, strict=True)]
        state = _rounds(b, middle, range(64), lambda i: self._constant(b, self.padding, i))
        final = [b.add(x, y) for x, y in zip(middle, state, strict=True)]
        final[7] = b.and_(final[7], _splat(self.vector, 0xFFFFFF3F))
        return final

    def _scheduled(self, b: Any, words: Any, index: Any) -> Any:
        """The input of round ``index``, 16 or more, from words before it; the word is kept."""
        far, x, near, y = (
            self._word(b, words, b.sub(index, ir.Constant(_I64, back))) for back in (16, 15, 7, 2)
        )
        low = b.xor(_rotations(b, x, 7, 18), b.lshr(x, _splat(self.vector, 3)))
        high = b.xor(_rotations(b, y, 17, 19), b.lshr(y, _splat(self.vector, 10)))
        word = b.add(b.add(far, low), b.add(near, high))
        _store(b, word, _at(b, words, _times(b, index, self.lanes * 4)), 0)
        return self._keyed(b, word, index)

    def _word(self, b: Any, words: Any, index: Any) -> Any:
        return _load(b, _at(b, words, _times(b, index, self.lanes * 4)), 0, self.vector)

    def _keyed(self, b: Any, word: Any, index: Any) -> Any:
        return b.add(word, self._constant(b, self.keys, index))

    def _constant(self, b: Any, table: Any, index: Any) -> Any:
        """Entry ``index`` of a table, in every lane."""
        entry = b.load(b.gep(table, [ir.Constant(_I64, 0), index]))
        one = b.insert_element(ir.Constant(self.vector, ir.Undefined), entry, ir.Constant(_I32, 0))
        return _shuffle(b, one, one, [0] * self.lanes)

    def write_unit_roots(self) -> None:
        """(raw, units, scratch, roots): the exported loop over batches of ``lanes`` units."""
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _I64, _BYTES, _BYTES])
        function = ir.Function(self.module, kind, ENTRY)
        raw, units, scratch, roots = function.args
        b = ir.IRBuilder(function.append_basic_block())
        lanes = ir.Constant(_I64, self.lanes)
        batches = b.udiv(b.add(units, ir.Constant(_I64, self.lanes - 1)), lanes)
        joined = _at(b, scratch, self.group + (64 << (UNIT_HEIGHT - 1)))
        with _loop(b, batches) as batch:
            first = b.mul(batch, lanes)
            left = b.sub(units, first)
            count = b.select(b.icmp_unsigned("<", left, lanes), left, lanes)
            with _loop(b, count) as unit:
                source = _at(b, raw, _times(b, b.add(first, unit), UNIT_RAW))
                self._unit(b, source, scratch, self._slot(b, joined, unit))
            last = self._join(b, joined, count)
            self._write_roots(b, last, _at(b, roots, _times(b, first, 32)))
        b.ret_void()

    def _slot(self, b: Any, level: Any, index: Any) -> Any:
        """Where the digests of group ``index`` go: groups 2j and 2j + 1 share the j-th above."""
        one = ir.Constant(_I64, 1)
        half = _times(b, b.and_(index, one), 2 * self.lanes)
        return _at(b, level, b.add(_times(b, b.lshr(index, one), self.group), half))

    def _unit(self, b: Any, source: Any, scratch: Any, target: Any) -> None:
        """Hash one unit down to ``lanes`` nodes."""
        level = _at(b, scratch, self.group)
        groups = (1 << (UNIT_HEIGHT - 1)) // self.lanes
        with _loop(b, ir.Constant(_I64, groups)) as index:
            b.call(
                self.leaf_group, [_at(b, source, _times(b, index, 127 * self.lanes // 2)), scratch]
            )
            b.call(self.node_group, [scratch, self._slot(b, level, index)])
        while groups > 2:
            groups //= 2
            level = self._level(b, level, ir.Constant(_I64, groups), room=groups)
        b.call(self.node_group, [level, target])

    def _level(self, b: Any, level: Any, groups: Any, *, room: int) -> Any:
        above = _at(b, level, room * self.group)
        with _loop(b, groups) as index:
            group = _at(b, level, _times(b, index, self.group))
            b.call(self.node_group, [group, self._slot(b, above, index)])
        return above

    def _join(self, b: Any, level: Any, count: Any) -> Any:
        """Hash ``lanes`` nodes of each of ``count`` units down to one root a unit."""
        share = self.lanes // 2
        while share:
            nodes = b.add(_times(b, count, share), ir.Constant(_I64, self.lanes - 1))
            groups = b.udiv(nodes, ir.Constant(_I64, self.lanes))
            level = self._level(b, level, groups, room=share)
            share //= 2
        return level

    def _write_roots(self, b: Any, group: Any, roots: Any) -> None:
        half = ir.VectorType(_I32, self.lanes // 2)
        for word in range(16):
            digests = _load(b, group, word * self.lanes * 4, half)
            digests = _builtin(b, "bswap", digests)
            for lane in range(half.count):
                value = b.extract_element(digests, ir.Constant(_I32, lane))
                _store(b, value, roots, (2 * lane + word // 8) * 32 + word % 8 * 4)


def module(lanes: int) -> str:
    """Text of the module that exports ``ENTRY(raw, units, scratch, roots)``.

    ``raw`` has 65,024 bytes a unit, ``scratch`` ``kernel.scratch_size(lanes)`` bytes, ``roots``
    32 bytes a unit, the number of units, which is positive, rounded up to a multiple of ``lanes``.
    """
    writer = _Writer(lanes)
    writer.write_leaf_group()
    writer.write_node_group()
    writer.write_unit_roots()
    return str(writer.module)
