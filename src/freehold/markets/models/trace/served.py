"""What a proposer serves of a root's traces: one file that anyone can check against the header.

Layout, all numbers big-endian: ``FREETRC1``, the batch (5 words), for each subnet its trace
(18 words), its leaves (8 words each, one more than uids), the words of permits and of members, and
of every uid its weights; then what is paid (5 words each). Lists of words begin with their length
in two bytes. A word is 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import checksum
from freehold.markets.models.trace.batch import Bundle
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import (
    NODES_MAX,
    SEATS_MAX,
    VERSION,
    Batch,
    Leaf,
    Pay,
    Trace,
    Words,
    vector,
    word,
)

MAGIC = b"FREETRC1"
SUBNETS_MAX, PAYS_MAX = 1 << 16, 1 << 20
_BATCH, _LEAF, _PAY = 5, 8, 5


@dataclass(frozen=True, slots=True)
class ServedTrace:
    """A subnet's trace and the lists behind its hashes, packed as they are hashed."""

    trace: Trace
    leaves: tuple[Leaf, ...]
    permits: Words
    members: Words
    weights: tuple[Words, ...]
    tree: Merkle


@dataclass(frozen=True, slots=True)
class Served:
    """A batch as its proposer serves it; every hash is that of what is here."""

    batch: Batch
    traces: tuple[ServedTrace, ...]
    pays: tuple[Pay, ...]
    trace_tree: Merkle
    pay_tree: Merkle


def serve(bundle: Bundle) -> bytes:
    """The file of a batch."""
    parts = [MAGIC, _joined(bundle.batch.words())]
    for built in bundle.traces:
        parts.append(_joined(built.trace.words()))
        parts.extend(_joined(leaf.words()) for leaf in built.leaves)
        parts.append(_listed(built.permit_words()) + _listed(built.member_words()))
        parts.extend(_listed(built.weight_words(uid)) for uid in range(built.trace.count))
    parts.extend(_joined(pay.words()) for pay in bundle.pays)
    return b"".join(parts)


def read(data: bytes, name: bytes) -> Served:
    """The batch whose hash is ``name``, the ``data`` of a root's header.

    IntegrityError where a byte is missing, left over, or not what a hash says: what is named then
    has to be demanded from the proposer.
    """
    if not data.startswith(MAGIC):
        raise _wrong("it does not begin as a trace of this version does")
    source = _Source(data, len(MAGIC))
    batch = _batch(source)
    if batch.hash() != name:
        raise _wrong("its batch is not what the root names")
    if not (batch.subnet_count <= SUBNETS_MAX and batch.cell_count <= PAYS_MAX):
        raise _wrong("more subnets or cells than there can be")
    traces = tuple(_trace(source, at) for at in range(batch.subnet_count))
    pays = tuple(_pay(source) for _ in range(batch.cell_count))
    source.end()
    trace_tree = Merkle.of([each.trace.hash() for each in traces])
    pay_tree = Merkle.of([pay.hash() for pay in pays])
    if (trace_tree.root, pay_tree.root) != (batch.subnets, batch.cells):
        raise _wrong("traces or cells are not those of its batch")
    return Served(batch, traces, pays, trace_tree, pay_tree)


class _Source:
    """Bytes that are read once from front to back."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, count: int) -> bytes:
        """The next bytes, exactly so many."""
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise _wrong("it ends too early")
        self._at += count
        return found

    def numbers(self, count: int) -> Iterator[int]:
        """The next words."""
        found = self.take(32 * count)
        return (int.from_bytes(found[at : at + 32], "big") for at in range(0, len(found), 32))

    def list_of(self, most: int) -> Words:
        """The next list."""
        count = int.from_bytes(self.take(2), "big")
        if count > most:
            raise _wrong(f"a list of {count} words, more than {most}")
        return tuple(self.numbers(count))

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise _wrong("something follows its end")


def _batch(source: _Source) -> Batch:
    version, subnets, count, cells, cell_count = source.numbers(_BATCH)
    if version != VERSION:
        raise _wrong(f"its batch has version {version}, not {VERSION}")
    return Batch(word(subnets), count, word(cells), cell_count)


def _trace(source: _Source, at: int) -> ServedTrace:
    hashed = {0, 2, 3, 5, 6}
    fields = [word(n) if k in hashed else n for k, n in enumerate(source.numbers(Trace.FIELDS))]
    trace = Trace(*fields)  # type: ignore[arg-type]
    if trace.count > NODES_MAX:
        raise _wrong(f"the trace of subnet {at + 1} has {trace.count} uids")
    leaves = tuple(_leaf(source) for _ in range(trace.count + 1))
    permits, members = source.list_of(SEATS_MAX // 16), source.list_of(SEATS_MAX // 4)
    weights = tuple(source.list_of(SEATS_MAX // 16) for _ in range(trace.count))
    tree = Merkle.of([leaf.hash() for leaf in leaves])
    found = (tree.root, vector(permits), vector(members), *map(vector, weights))
    told = (trace.nodes, trace.permits, trace.members, *(leaf.raw for leaf in leaves[:-1]))
    if found != told:
        raise _wrong(f"leaves or lists of subnet {at + 1} are not those of its trace")
    return ServedTrace(trace, leaves, permits, members, weights, tree)


def _leaf(source: _Source) -> Leaf:
    node, raw, rows, column, sums, bond, dividends, cell = source.numbers(_LEAF)
    return Leaf(
        word(node), word(raw), word(rows), word(column),
        sums, word(bond), word(dividends), word(cell),
    )  # fmt: skip


def _pay(source: _Source) -> Pay:
    account, subnet, uid, grains, before = source.numbers(_PAY)
    if account >> 160:
        raise _wrong("a cell is for no account")
    return Pay(checksum(account.to_bytes(20, "big")), subnet, uid, grains, before)


def _joined(words: Sequence[int | bytes | str]) -> bytes:
    return b"".join(map(word, words))


def _listed(words: Words) -> bytes:
    return len(words).to_bytes(2, "big") + _joined(words)


def _wrong(reason: str) -> IntegrityError:
    return IntegrityError(
        f"this is no trace of a root: {reason}",
        remedy="Take it from another source; if the proposer serves it, demand what is missing.",
    )
