"""The whole way of an object through this room, and back from the recovery kit alone."""

from __future__ import annotations

from collections.abc import Iterable

from freehold.domain.keys import Key
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout, pad, regenerate
from freehold.markets.storage.erasure import Code
from freehold.markets.storage.header import Header, open_header, open_shared, seal_header
from freehold.markets.storage.keys import DataSeed, SlotKind, phrase_slot_key, seal_slot, unlock
from freehold.markets.storage.kit import RecoveryKit
from freehold.markets.storage.listing import fold
from freehold.markets.storage.manifest import Delete, Entry, Location, Manifest, Put, rename
from freehold.markets.storage.pack import Small, extract, pack
from freehold.markets.storage.seal import open_segment, seal_segment
from freehold.markets.storage.share import ShareToken, parse_recipient, recipient_text, share
from unit.markets.storage.strategies import LOCATOR, NETWORK_ID, seeded

_PHRASE = "test test test test test test test test test test test junk"
_ALICE = Key.from_phrase(_PHRASE)
_random = seeded(2026)
_SEGMENT = 5000
Columns = list[bytes]


class _Account:
    """What a client does with this room: seal objects into columns."""

    def __init__(self) -> None:
        self.seed = DataSeed(_random(32))
        key = phrase_slot_key(_ALICE, NETWORK_ID)
        self.slot = seal_slot(
            self.seed, kind=SlotKind.PHRASE, key=key, network_id=NETWORK_ID, random=_random
        )
        self.chain: dict[bytes, Columns] = {}
        self.sequence = 0

    def store(self, object_id: bytes, key: bytes, data: bytes, entries: Iterable[Entry]) -> None:
        manifest = Manifest(object_id, self.sequence, 5, tuple(entries))
        self.sequence += 1
        header = seal_header(
            manifest, seed=self.seed, account=_ALICE.address, slots=(self.slot,), random=_random
        )
        layout = ColumnLayout.plan(
            len(data), k=4, n=6, header_length=len(header), segment_length=_SEGMENT
        )
        columns, data = [layout.prefix() + header] * 6, pad(data, layout.size)
        for i in range(layout.segments):
            part = data[i * _SEGMENT : i * _SEGMENT + layout.plain_length(i)]
            sealed = seal_segment(
                part, key=key, object_id=object_id, index=i, count=layout.segments
            )
            shards = Code(4, 6).encode(sealed)
            columns = [column + bytes(s) for column, s in zip(columns, shards, strict=True)]
        self.chain[object_id] = columns

    def put(self, name: str, data: bytes) -> Put:
        object_id, key = _random(32), _random(32)
        put = Put(name, Location(object_id, key, 0, len(data)), 7)
        self.store(object_id, key, data, [put])
        return put

    def log(self, *entries: Entry) -> None:
        self.store(_random(32), _random(32), b"", entries)


def _read(columns: dict[int, bytes], place: Location) -> bytes:
    layout = ColumnLayout.parse(next(iter(columns.values()))[:PREFIX_LENGTH])
    data = b""
    for i in range(layout.segments):
        begin, length = layout.shard_offset(i), layout.shard_length(i)
        shards = {slot: column[begin : begin + length] for slot, column in columns.items()}
        data += open_segment(
            Code(layout.k, layout.n).decode(shards, layout.sealed_length(i)),
            key=place.content_key,
            object_id=place.object_id,
            index=i,
            count=layout.segments,
        )
    return extract(data, place)


def _header(column: bytes) -> bytes:
    return column[PREFIX_LENGTH : ColumnLayout.parse(column[:PREFIX_LENGTH]).data_offset]


def _stored() -> tuple[_Account, dict[str, bytes]]:
    account = _Account()
    big, old = _random(12_345), _random(50)
    account.put("photos/2026/sea.jpg", big)
    moved = account.put("notes/old.txt", old)
    account.put("notes/gone.txt", b"gone")
    pack_id, pack_key = _random(32), _random(32)
    smalls = [Small("notes/a.txt", b"alpha", 1), Small("photos/b.txt", b"beta", 2)]
    packed = pack(smalls, object_id=pack_id, content_key=pack_key, random=_random)
    account.store(pack_id, pack_key, packed.data, packed.puts)
    account.log(*rename(moved, "photos/new.txt"), Delete("notes/gone.txt"))
    return account, {
        "photos/2026/sea.jpg": big,
        "photos/new.txt": old,
        "notes/a.txt": b"alpha",
        "photos/b.txt": b"beta",
    }


def test_the_kit_and_any_k_columns_give_back_names_and_bytes() -> None:
    account, expected = _stored()
    page = RecoveryKit(_PHRASE, LOCATOR).render()
    nodes = {oid: {i: columns[i] for i in (1, 2, 4, 5)} for oid, columns in account.chain.items()}

    kit = RecoveryKit.parse(page)
    me, network_id = kit.account(), kit.locator.network_id
    headers = {oid: _header(columns[4]) for oid, columns in nodes.items()}
    slots = Header.parse(next(iter(headers.values()))).slots
    keys = {SlotKind.PHRASE: phrase_slot_key(me, network_id)}
    seed = unlock(slots, keys, network_id=network_id)
    listing = fold(
        open_header(data, object_id=oid, seed=seed, account=me.address)
        for oid, data in headers.items()
    )
    found = {
        name: _read(nodes[item.put.location.object_id], item.put.location)
        for name, item in listing.items.items()
    }
    assert found == expected
    assert listing.sequence == account.sequence - 1
    assert len(listing.obsolete) == 1


def test_a_repaired_column_is_the_one_that_was_lost() -> None:
    account, _ = _stored()
    for columns in account.chain.values():
        layout = ColumnLayout.parse(columns[0][:PREFIX_LENGTH])
        readers = {
            i: (lambda offset, length, c=column: c[offset : offset + length])
            for i, column in enumerate(columns)
            if i not in (0, 3)
        }
        for lost in (0, 3):
            assert b"".join(regenerate(layout, lost, readers)) == columns[lost]


def test_a_friend_reads_the_shared_directory_and_the_renamed_file_in_it() -> None:
    account, expected = _stored()
    friend = DataSeed(_random(32))
    key = account.seed.root(_ALICE.address).lineage("photos")[-1]
    token = share(
        key,
        recipient=parse_recipient(recipient_text(friend)),
        locator=LOCATOR,
        owner=_ALICE.address,
        deals=(),
    )
    opened = ShareToken.parse(token.render()).open(friend)
    assert opened == key
    seen = [
        open_shared(_header(columns[0]), object_id=oid, key=key)
        for oid, columns in account.chain.items()
    ]
    listing = fold(page for page in seen if page is not None)
    found = {
        name: _read(dict(enumerate(account.chain[item.put.location.object_id])), item.put.location)
        for name, item in listing.items.items()
    }
    assert found == {name: data for name, data in expected.items() if name.startswith("photos/")}
