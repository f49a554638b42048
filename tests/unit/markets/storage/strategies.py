"""Values of the storage market for Hypothesis, and one account to seal them for."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.markets.storage.keys import DataSeed, Slot, SlotKind, phrase_slot_key, seal_slot
from freehold.markets.storage.locator import Locator
from freehold.markets.storage.manifest import Delete, Location, Manifest, Put

NETWORK_ID = bytes(range(32))
ACCOUNT_KEY = Key.from_secret(b"\x11" * 32)
ACCOUNT = ACCOUNT_KEY.address
SEED = DataSeed(b"\x22" * 32)
LOCATOR = Locator(31337, NETWORK_ID, Address("0x" + "00" * 20), 7, ("http://127.0.0.1:8545",))


def seeded(seed: int) -> Callable[[int], bytes]:
    """Randomness that a test can repeat."""
    return random.Random(seed).randbytes


def slots(network_id: bytes = NETWORK_ID) -> tuple[Slot, ...]:
    """A phrase slot of the account."""
    key = phrase_slot_key(ACCOUNT_KEY, network_id)
    kind = SlotKind.PHRASE
    return (seal_slot(SEED, kind=kind, key=key, network_id=network_id, random=seeded(0)),)


ids = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**64 - 1)
_part = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=0, max_size=6
)
names = st.builds(
    lambda bucket, parts, last: "/".join([bucket, *parts, last]),
    st.sampled_from(["bucket", "photos", "b"]),
    st.lists(_part, max_size=3),
    _part.filter(bool),
).filter(lambda name: bool(name.partition("/")[2]))
attributes = st.dictionaries(_part, _part, max_size=3).map(lambda d: tuple(sorted(d.items())))


def locations(object_id: bytes | None = None) -> st.SearchStrategy[Location]:
    """Locations in ``object_id`` (its content key is its id reversed), or anywhere."""
    sizes = st.integers(0, 2**40)
    member = st.none() | ids
    if object_id is not None:
        fixed = (st.just(object_id), st.just(object_id[::-1]))
        return st.builds(Location, *fixed, sizes, sizes, member)
    return st.builds(Location, ids, ids, sizes, sizes, member)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Manifests of puts, links and deletes over several directories."""
    object_id = draw(ids)
    entries: list[Put | Delete] = []
    for name in draw(st.lists(names, max_size=5, unique=True)):
        if draw(st.booleans()):
            entries.append(Delete(name))
        else:
            elsewhere = locations().filter(lambda place: place.object_id != object_id)
            place = draw(locations(object_id) | elsewhere)
            entries.append(Put(name, place, draw(numbers), draw(attributes)))
    return Manifest(object_id, draw(numbers), draw(numbers), tuple(entries))
